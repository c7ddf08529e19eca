"""``fedlora strategy show``."""

import json
from typing import Annotated

import typer

from fedlora.cli.options import Format, FormatOption

__all__ = ["show"]


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a strategy.", show_default=False)],
    output: FormatOption = Format.TABLE,
) -> None:
    """Show what a strategy states of itself, and what to write into the federation's file for it."""
    from fedlora.errors import ConfigurationError
    from fedlora.rules import suggestion
    from fedlora.strategies import STRATEGIES
    from fedlora.strategies.page import example, facts

    if name not in STRATEGIES:
        near = suggestion(name, STRATEGIES)
        raise ConfigurationError(f"{name!r} is not a strategy: {near or 'see fedlora strategy list'}")
    about = facts(STRATEGIES[name])
    if output is Format.JSON:
        typer.echo(json.dumps(about, indent=2))
        return
    typer.echo(f"{name}: {about['summary']}\n{about['paper']}\n")
    for key in (
        "product",
        "memory",
        "streaming",
        "up",
        "down",
        "weighs-by",
        "mixed-ranks",
        "adapters",
        "fewest-updates",
    ):
        value = about[key]
        text = ", ".join(value) if isinstance(value, list) else value
        text = ("no", "yes")[text] if isinstance(text, bool) else text
        typer.echo(f"{key:<16}{text}")
    for note in STRATEGIES[name].notes:
        typer.echo(f"\n{note}")
    typer.echo(f"\nIn federation.toml:\n\n{example(STRATEGIES[name])}")
