"""``fedlora strategy list``."""

import json

import typer

from fedlora.cli.options import Format, FormatOption

__all__ = ["list_strategies"]


def list_strategies(output: FormatOption = Format.TABLE) -> None:
    """List the aggregation strategies that run.strategy can name."""
    from fedlora.strategies import STRATEGIES
    from fedlora.strategies.page import facts

    if output is Format.JSON:
        typer.echo(json.dumps([facts(strategy) for strategy in STRATEGIES.values()], indent=2))
        return
    row = "{:<13}{:<18}{:<8}{:<32}{:<13}{}"
    typer.echo(row.format("strategy", "mean product", "memory", "sent back", "mixed ranks", "adapters"))
    for one in STRATEGIES.values():
        ranks, adapters = "yes" if one.mixed_ranks else "no", " ".join(one.adapters)
        typer.echo(row.format(one.name, one.product, one.memory, one.up, ranks, adapters))
