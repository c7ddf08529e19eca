"""``fedlora recipe list``."""

import json

import typer

from fedlora.cli.options import Format, FormatOption
from fedlora.cli.recipe.arguments import clients

__all__ = ["list_recipes"]


def list_recipes(output: FormatOption = Format.TABLE) -> None:
    """List the recipes that a federation's file can begin with."""
    from fedlora.domains import DOMAINS
    from fedlora.recipes import PRESETS, recipe

    recipes = [recipe(domain, preset) for preset in PRESETS for domain in DOMAINS]
    if output is Format.JSON:
        listed = [
            {
                "name": one.name,
                "summary": PRESETS[one.preset].summary,
                "rounds": one.rounds,
                "steps": one.steps,
                "batch": one.batch,
                "adapter": one.adapter,
                "rank": one.rank,
                "base-precision": one.base_precision,
                "benchmark": clients(one),
            }
            for one in recipes
        ]
        typer.echo(json.dumps(listed, indent=2))
        return
    for preset, about in PRESETS.items():
        typer.echo(f"{preset}: {about.summary}")
    typer.echo()
    row = "{:<29}{:>6}  {:<9}{:<12}{:<6}{:<15}"
    typer.echo(row.format("recipe", "rounds", "a round", "adapter", "base", "benchmark's clients"))
    for one in recipes:
        who = clients(one)
        share = f"{who['a_round']} of {who['clients']}"
        steps, adapter = f"{one.steps} x {one.batch}", f"{one.adapter} r{one.rank}"
        typer.echo(row.format(one.name, one.rounds, steps, adapter, one.base_precision, share).rstrip())
