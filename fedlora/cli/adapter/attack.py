"""``fedlora adapter attack``."""

import dataclasses
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from evaluator.membership import Attack, Losses
    from fedlora.recipes import Recipe
    from fedlora.shards import Record

__all__ = ["attack"]

BASE = "base model"


def attack(
    adapters: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of adapters, or checkpoints.", show_default=False)
    ],
    members: Annotated[
        Path, typer.Option(metavar="FILE", help="Records or a shard that were trained on.", show_default=False)
    ],
    others: Annotated[
        Path, typer.Option(metavar="FILE", help="Records of the same kind that were not.", show_default=False)
    ],
    recipe: Annotated[
        str,
        typer.Option(
            metavar="DOMAIN/PRESET", help="How records become texts; else as the adapter says.", show_default=False
        ),
    ] = "",
    base_model: Annotated[
        str, typer.Option(metavar="MODEL", help="Base model; else the one that the adapter names.", show_default=False)
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="Most records of either kind, drawn by --seed; 0 for all.")] = 200,
    seed: Annotated[int, typer.Option(help="For that draw.")] = 0,
    output: FormatOption = Format.TABLE,
) -> None:
    """Attack adapters: tell by the loss which records they were trained on, and say how often that is right.

    The area under the curve (AUC) is 0.5 for guessing and 1 for certainty. The base model's own says whether members
    and others differ without any training. Give adapters with and without protection to compare them.
    """
    from evaluator.membership import attacks
    from evaluator.scoring.record_losses import adapter_losses
    from fedlora.language_model import obtain

    chosen, base = _taken(adapters[0], recipe, base_model)
    parts = [_records(file, chosen, limit, seed) for file in (members, others)]
    names: dict[str, Path | None] = {BASE: None, **{str(folder): folder for folder in adapters}}
    losses = adapter_losses(obtain(base), names, chosen, *parts)
    rows = [(name, one, attacks(losses[BASE], None if name == BASE else one)) for name, one in losses.items()]
    if output is Format.JSON:
        typer.echo(json.dumps([_fields(*row) for row in rows], indent=2))
        return
    from rich.console import Console

    Console().print(_table(rows))


def _taken(folder: Path, recipe: str, base_model: str) -> "tuple[Recipe, str]":
    """Return recipe and base model: those that are named, or the adapter's."""
    from fedlora.adapters import open_adapter
    from fedlora.errors import ConfigurationError
    from fedlora.recipes import recipe_named

    adapter = open_adapter(folder)
    name = recipe or (adapter.spec.recipe if adapter.spec else "")
    if not name:
        raise ConfigurationError(f"{folder} does not say which recipe it was trained with; name one with --recipe")
    return recipe_named(name), base_model or adapter.base_model


def _records(file: Path, recipe: "Recipe", limit: int, seed: int) -> "list[Record]":
    from fedlora.domains import domain
    from fedlora.shards import load_records

    records = [record for record in load_records(file, domain(recipe.domain)) if record.output.strip()]
    return random.Random(seed).sample(records, limit) if 0 < limit < len(records) else records  # noqa: S311


def _fields(name: str, losses: "Losses", found: "list[Attack]") -> dict[str, Any]:
    means = {"members_loss": float(losses.members.mean()), "others_loss": float(losses.others.mean())}
    return {"adapter": None if name == BASE else name, **means, "attacks": [dataclasses.asdict(one) for one in found]}


def _table(rows: "list[tuple[str, Losses, list[Attack]]]") -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    first = rows[0][2][0]
    title = f"{first.members} members, {first.others} others; loss in nats for each answer token"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("adapter", "attack by"):
        table.add_column(heading, overflow="fold")
    for heading in ("loss:\nmembers", "\nothers", "AUC", "95 %", "found\nat 5 %"):
        table.add_column(heading, justify="right")
    for name, losses, found in rows:
        for number, one in enumerate(found):
            means = (f"{losses.members.mean():.3f}", f"{losses.others.mean():.3f}") if number == 0 else ("", "")
            interval = f"{one.low:.3f} to {one.high:.3f}"
            table.add_row(name if number == 0 else "", one.by, *means, f"{one.auc:.3f}", interval, f"{one.found:.2f}")
    return table
