"""The model card of an adapter: a README that a model hub shows, and that people read."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from fedlora.adapters.folder import Adapter
from fedlora.adapters.scores import Scores
from fedlora.config import keyed
from fedlora.recipes import Recipe

__all__ = ["RunFacts", "card"]

MEBI = 2**20
TAGS = ("federated-learning", "fedlora", "lora")
NAMES = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}

USE = """\
## How to use it

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base_model = {base_model}
tokenizer = AutoTokenizer.from_pretrained(base_model)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_model), "folder of this adapter")
```
"""

PROMPT = """\
It was trained on prompts of this form, the answer following after one space:

```
{prompt}
```
"""
CHAT = "It was trained in the chat template of its base model.\n"

LIMITS = """\
## Limits

A score holds for records like those it was measured on. The records themselves did not leave their owners, but an \
adapter can keep traces of what it was trained on.
"""


@dataclass(frozen=True)
class RunFacts:
    """What a card tells of the run that an adapter comes from.

    Attributes
    ----------
    name, domain : str
        Which run, and what its records are about.
    rounds : int
        Aggregated rounds up to the adapter.
    sites : tuple of str
        Who was in the aggregates.
    names : bool
        Whether the sites may be named; else they are counted.
    records : int
        Records that the updates were trained on, counted again in each round.
    payload_bytes : int
        Both directions, all attempts.
    recipe : Recipe or None
        What was trained with, where the run knows the values.
    strategy : str
        How updates were aggregated, with the strategy's options; empty where nobody says.
    prompt : str
        How a prompt looks that was trained on; empty where that is the base model's own.
    """

    name: str
    domain: str
    rounds: int
    sites: tuple[str, ...]
    names: bool
    records: int
    payload_bytes: int
    recipe: Recipe | None = None
    strategy: str = ""
    prompt: str = ""


def card(adapter: Adapter, facts: RunFacts | None, scores: Scores | None) -> str:
    """Return the README of an adapter; the same adapter, facts and scores give the same text."""
    base_model = json.dumps(_line(adapter.base_model), ensure_ascii=False)  # text in JSON is text in YAML and Python
    parts = [
        _front_matter(base_model),
        f"# {NAMES[adapter.kind]} adapter for {_plain(adapter.base_model)}\n",
        _story(facts) + "\n",
        _table(["", ""], _properties(adapter, facts)),
    ]
    if scores is not None:
        parts += ["## Scores\n", _score_table(scores)]
    parts.append(USE.format(base_model=base_model))
    if facts is not None and facts.recipe is not None:
        form = PROMPT.format(prompt=facts.prompt) if facts.prompt else CHAT
        parts += [form, "## Training\n", _table(["", ""], _values(facts.recipe))]
    if adapter.spec is not None:  # of an adapter that the kit has not made, it says only what it has seen
        parts.append(LIMITS)
    return "\n".join(parts)


def _front_matter(base_model: str) -> str:
    tags = "\n".join(f"- {tag}" for tag in TAGS)
    return f"---\nbase_model: {base_model}\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n{tags}\n---\n"


def _story(facts: RunFacts | None) -> str:
    if facts is None:
        return "Low-rank changes to the weights of a language model, in the layout of PEFT."
    sites = f"{len(facts.sites)} sites" if len(facts.sites) != 1 else "one site"
    return (
        f"Trained by federated learning for the domain {_plain(facts.domain)}: {sites} trained on records of their "
        "own, and only adapters were exchanged."
    )


def _properties(adapter: Adapter, facts: RunFacts | None) -> list[tuple[str, str]]:
    rows = [("base model", _plain(adapter.base_model))]
    if adapter.spec is not None:
        rows += [
            ("SHA-256 of the base model", f"`{adapter.spec.base_model_sha256}`"),
            ("SHA-256 of its tokenizer", f"`{adapter.spec.tokenizer_sha256}`"),
            ("recipe", f"{_plain(adapter.spec.recipe)}, SHA-256 `{adapter.spec.recipe_sha256}`"),
            ("made with", f"fedlora {_plain(adapter.spec.kit_version)}"),
        ]
    rows += [
        ("kind, rank, alpha", f"{NAMES[adapter.kind]}, {adapter.rank}, {adapter.alpha:g}"),
        ("adapted modules", _plain(", ".join(adapter.target_modules))),
        ("parameters", f"{adapter.size:,}"),
    ]
    if facts is not None:
        named = f": {_plain(', '.join(facts.sites))}" if facts.names else ""
        rows += [
            ("run", _plain(facts.name)),
            *([("strategy", _plain(facts.strategy))] if facts.strategy else []),
            ("rounds", str(facts.rounds)),
            ("sites", f"{len(facts.sites)}{named}"),
            (_weighed(facts.recipe), f"{facts.records:,}"),
            ("payload, both directions", f"{facts.payload_bytes:,} bytes ({facts.payload_bytes / MEBI:.1f} MiB)"),
        ]
    elif adapter.checkpoint is not None:
        rows.append(("round", str(adapter.checkpoint.round)))
    return rows


def _weighed(recipe: Recipe | None) -> str:
    """Say what the updates' weights counted."""
    whole = recipe is not None and recipe.weight == "shard"
    return f"records {'of the shards' if whole else 'trained on'}, each counted once a round"


def _values(recipe: Recipe) -> list[tuple[str, str]]:
    """Return every value of a recipe."""
    listed = {key: list(value) if isinstance(value, tuple) else value for key, value in keyed(asdict(recipe)).items()}
    return [(key, _plain(value if isinstance(value, str) else json.dumps(value))) for key, value in listed.items()]


def _score_table(scores: Scores) -> str:
    score = scores.base
    rows = []
    if score.majority is not None:
        rows.append(("always the most frequent label", f"{score.majority:.1%}", ""))
    for name, one in (("base model", scores.base), ("with this adapter", scores.adapted)):
        rows.append((name, f"{one.accuracy:.1%}", f"{one.low:.1%} to {one.high:.1%}"))
    heading = f"{_plain(score.measure)} on {score.records:,} held-out records, n = {score.n:,} {_plain(score.unit)}"
    return _table(["", heading, "95 % interval"], rows)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _plain(text: str) -> str:
    """Return text of somebody else so that neither Markdown nor HTML takes any of it for its own."""
    return "".join(f"\\{letter}" if letter in "|<>[]`*\\" else letter for letter in _line(text))


def _line(text: str) -> str:
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
