"""What a run's ledger says of an adapter, for its card."""

from fedlora.adapters import Adapter
from fedlora.adapters.card import RunFacts
from fedlora.errors import AdapterError
from fedlora.language_model.prompt import layout
from fedlora.recipes import Recipe
from fedlora.shards import Record
from superlink.ledger import Ledger
from superlink.runs import RunFolder

__all__ = ["run_facts"]

EXAMPLE = Record("what is asked", "what it is asked about", "the answer")


def run_facts(folder: RunFolder, adapter: Adapter, *, names: bool) -> RunFacts:
    """Return what the ledger says of the aggregated rounds up to the adapter's.

    Raises
    ------
    AdapterError
        If the adapter is no checkpoint of the kit.
    """
    if adapter.checkpoint is None or adapter.spec is None:
        raise AdapterError(f"{adapter.directory} is no checkpoint of a run: spec or note is missing")
    recipe, config = folder.recipe, folder.config(1)
    ledger = Ledger(folder.ledger, readonly=True)
    rounds, turns, payload = ledger.rounds(), ledger.turns(), ledger.payload_bytes()
    ledger.close()
    counted = {
        (row.number, row.epoch)
        for row in rounds
        if row.state == "aggregated" and row.number <= adapter.checkpoint.round
    }
    answered = [turn for turn in turns if turn.outcome == "answered" and (turn.round, turn.epoch) in counted]
    return RunFacts(
        name=folder.name,
        domain=adapter.spec.recipe.partition("/")[0],
        rounds=len(counted),
        sites=tuple(sorted({turn.site for turn in answered})),
        names=names,
        records=sum(turn.examples for turn in answered),
        payload_bytes=payload,
        recipe=recipe,
        strategy=", ".join([config.strategy, *(f"{key} {value:g}" for key, value in config.options.items())]),
        prompt=_prompt(recipe) if recipe else "",
    )


def _prompt(recipe: Recipe) -> str:
    """Return how a prompt of `recipe` looks; empty if that is for the base model to say."""
    return "" if recipe.template == "chat" else layout(recipe.template, recipe.question)(EXAMPLE).prompt
