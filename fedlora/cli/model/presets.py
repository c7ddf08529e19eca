"""``fedlora model presets``."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from fedlora.language_model.presets import ModelPreset

__all__ = ["presets"]


def presets(
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A TOML file that adds base models to them.", show_default=False),
    ] = None,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the adapter that memory is told for.")] = 32,
    output: FormatOption = Format.TABLE,
) -> None:
    """List base models that are known before they are here: modules, sizes, licences, the least memory to train."""
    from fedlora.language_model.presets import known

    rows = [_row(preset, rank) for preset in known(file)]
    if output is Format.JSON:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print(rows)


def _row(preset: "ModelPreset", rank: int) -> dict[str, Any]:
    from fedlora.language_model.presets import PRECISIONS

    return {
        **dataclasses.asdict(preset),
        "parameters": preset.parameters,
        "modules": {"default": preset.default_modules, "all-linear": preset.linear_modules},
        "rank": rank,
        "adapter_values": {
            "default": preset.adapter_values(rank),
            "all-linear": preset.adapter_values(rank, all_linear=True),
        },
        "memory": {precision: preset.memory(precision, rank) for precision in PRECISIONS},
    }


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("base model", "family", "licence"):
        table.add_column(heading, overflow="fold")
    for heading in ("values", "adapter", "in fp4", "in bf16"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("default modules", overflow="fold")
    table.add_column("chat", no_wrap=True)
    for row in rows:
        sizes = [f"{row['parameters'] / 1e6:,.0f} M", f"{row['adapter_values']['default'] / 1e6:,.1f} M"]
        sizes += [f"{row['memory'][precision] / 2**30:,.1f} GiB" for precision in ("fp4", "bf16")]
        licence = f"{row['licence']}, gated" if row["gated"] else row["licence"]
        modules = ", ".join(row["modules"]["default"])
        cells = (row["name"], row["family"], licence, *sizes, modules, "yes" if row["chat_template"] else "no")
        table.add_row(*map(escape, cells))
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "Memory: weights and an adapter of the default modules with its optimiser; activations come on top. Read the "
        "licence before you use a model."
    )
