"""``fedlora adapter diff``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlora.cli.adapter.arguments import AdapterArgument, EachOption
from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from fedlora.adapters.measures import Comparison

__all__ = ["diff"]


def diff(
    first: AdapterArgument,
    second: Annotated[Path, typer.Argument(metavar="OTHER", help="The other adapter.", show_default=False)],
    each: EachOption = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show how far two adapters of one shape are apart: distance relative to the first one, and cosine.

    Both are taken on the changes that the adapters make to the weights, not on their factors.
    """
    from rich.console import Console

    from fedlora.adapters import open_adapter
    from fedlora.adapters.measures import compare, total

    rows = compare(open_adapter(first), open_adapter(second))
    overall = total(rows, "all")
    if output is Format.JSON:
        modules = [{"module": row.module, **_figures(row)} for row in rows]
        document = {"first": str(first), "second": str(second), **_figures(overall), "modules": modules}
        typer.echo(json.dumps(document, indent=2))
        return
    Console().print(_table(rows, overall, each))


def _figures(row: "Comparison") -> dict[str, float | None]:
    return {"relative_distance": row.relative_distance, "cosine": row.cosine}


def _table(rows: "list[Comparison]", overall: "Comparison", each: bool) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from fedlora.adapters.measures import total

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("module" if each else "kind of module")
    for heading in ("relative distance", "cosine"):
        table.add_column(heading, justify="right")
    kinds = [total([one for one in rows if one.kind == kind], kind) for kind in dict.fromkeys(row.kind for row in rows)]
    for row in [*(rows if each else kinds), overall]:
        table.add_row(row.module, *("-" if value is None else f"{value:.4f}" for value in _figures(row).values()))
    return table
