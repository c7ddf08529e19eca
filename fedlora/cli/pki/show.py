"""``fedlora pki show``."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from fedlora.pki.inspection import Credential

__all__ = ["show"]


def show(
    path: Annotated[
        Path, typer.Argument(metavar="DIR|FILE", help="A folder of credentials, or one file.", show_default=False)
    ],
    output: FormatOption = Format.TABLE,
) -> None:
    """Show what each key and certificate is for, how long it lasts, what belongs together, and what is wrong."""
    from fedlora.pki.inspection import inspect

    found = inspect(path)
    if output is Format.JSON:
        typer.echo(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return
    typer.echo("\n\n".join("\n".join(_lines(one)) for one in found))


def _lines(one: "Credential") -> list[str]:
    facts = [
        ("subject", one.subject),
        ("names", ", ".join(one.names)),
        ("SHA-256", one.sha256),
        ("serial", one.serial),
        ("valid", f"{one.valid_from} to {one.valid_until}" if one.valid_from else None),
        ("days left", None if one.days_left is None else str(one.days_left)),
        ("pair", f"{one.pair}, {'matches' if one.matches else 'DOES NOT MATCH'}" if one.pair else None),
        ("mode", one.mode),
    ]
    what = one.kind if one.role in (one.kind, "other") else f"{one.kind} of a {one.role}"
    lines = [f"{one.file}: {what}", *(f"  {name:<10}{value}" for name, value in facts if value)]
    return [*lines, *(f"  problem   {problem}" for problem in one.problems)]
