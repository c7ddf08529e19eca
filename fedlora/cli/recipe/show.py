"""``fedlora recipe show``."""

import json
from dataclasses import asdict

import typer

from fedlora.cli.options import Format, FormatOption
from fedlora.cli.recipe.arguments import RecipeArgument, clients
from fedlora.config import keyed

__all__ = ["show"]


def show(name: RecipeArgument, output: FormatOption = Format.TABLE) -> None:
    """Show every value of a recipe, what it was made for, and why it differs from the benchmark's."""
    from fedlora.federation.schema import shown
    from fedlora.recipes import CHALLENGES, PRESETS, differences, recipe, recipe_named

    found = recipe_named(name)
    challenge, preset, who = CHALLENGES[found.domain], PRESETS[found.preset], clients(found)
    differing = differences(recipe(found.domain, "flowertune"), found)
    reasons = keyed({field: reason for field, reason in preset.reasons.items() if field in differing})
    values = keyed(asdict(found))
    if output is Format.JSON:
        about = {
            "name": found.name,
            "sha256": found.sha256,
            "summary": preset.summary,
            "benchmark": {"data": challenge.data, "rows": challenge.rows, **who},
            "values": values,
            "reasons": reasons,
        }
        typer.echo(json.dumps(about, indent=2))
        return
    typer.echo(f"{found.name}: {preset.summary}")
    typer.echo(
        f"The benchmark trains it on {challenge.data} (about {challenge.rows:,} rows) in {who['clients']} parts, "
        f"{who['a_round']} of them a round.\n"
    )
    for key, value in values.items():
        text = shown(list(value) if isinstance(value, tuple) else value)
        reason = f"  # {reasons[key]}" if key in reasons else ""
        typer.echo(f"{key} = {text}{reason}")
