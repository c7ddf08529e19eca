"""``fedlora config show``."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, FileArgument, SetOption, read

__all__ = ["show"]


class Format(StrEnum):
    """How a federation is printed."""

    TABLE = "table"
    JSON = "json"
    TOML = "toml"


def show(
    file: FileArgument = DEFAULT_FILE,
    resolved: Annotated[bool, typer.Option("--resolved", help="Show the values that are defaults as well.")] = False,
    settings: SetOption = [],  # noqa: B006 - Typer makes a new list
    output: Annotated[
        Format, typer.Option("--format", help="How to print it; toml is a file that sets every value.")
    ] = Format.TABLE,
) -> None:
    """Show what a federation's file means, and where each value comes from."""
    from fedlora.federation import Source
    from fedlora.federation.schema import shown
    from fedlora.federation.writing import to_toml

    found = read(file, settings)
    if output is Format.TOML:
        typer.echo(to_toml(found.federation), nl=False)
        return
    values = {
        path: (value, origin)
        for path, (value, origin) in found.values().items()
        if resolved or origin.source is not Source.DEFAULT
    }
    if output is Format.JSON:
        listed = [
            {"key": path, "value": value, "source": str(origin.source), "where": origin.where}
            for path, (value, origin) in values.items()
        ]
        typer.echo(json.dumps({"file": str(file), "values": listed}, indent=2))
        return
    _print_table([(path, shown(value), str(origin)) for path, (value, origin) in values.items()])


def _print_table(rows: list[tuple[str, str, str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("key", "value", "from"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(highlight=False).print(table)
