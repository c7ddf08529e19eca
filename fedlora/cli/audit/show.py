"""``fedlora audit show``."""

import dataclasses
import json
from typing import Annotated

import typer

from fedlora.cli.audit.log import LogArgument, log_file
from fedlora.cli.options import Format, FormatOption

__all__ = ["show"]


def show(
    log: LogArgument = None,
    what: Annotated[
        str, typer.Option(metavar="WORD", help="Only lines whose word begins so: node, round.aggregated.")
    ] = "",
    last: Annotated[int, typer.Option(min=0, help="Only the last so many of them; 0 for all.")] = 0,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show who did what and when; whether it is as it was written, `verify` says."""
    from fedlora.audit import read_entries

    entries = [entry for entry in read_entries(log_file(log)) if entry.what.startswith(what)]
    entries = entries[-last:] if last else entries
    if output is Format.JSON:
        typer.echo(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2))
        return
    for entry in entries:
        facts = ", ".join(f"{name} {_text(value)}" for name, value in entry.about.items() if value not in ("", []))
        typer.echo(f"{entry.number:>6}  {entry.at[:19]}Z  {entry.what:<17}  {entry.by}: {facts}")


def _text(value: object) -> str:
    from fedlora.log import printable

    return printable(" ".join(map(str, value)) if isinstance(value, list) else str(value))
