"""``fedlora recipe diff``."""

import json

import typer

from fedlora.cli.options import Format, FormatOption
from fedlora.cli.recipe.arguments import RecipeArgument
from fedlora.config import keyed

__all__ = ["diff"]


def diff(one: RecipeArgument, other: RecipeArgument, output: FormatOption = Format.TABLE) -> None:
    """Show in which values two recipes differ, and why."""
    from fedlora.federation.schema import shown
    from fedlora.recipes import PRESETS, differences, recipe_named

    first, second = recipe_named(one), recipe_named(other)
    differing = {field: pair for field, pair in differences(first, second).items() if field != "preset"}
    reasons = {**PRESETS[first.preset].reasons, **PRESETS[second.preset].reasons}
    if output is Format.JSON:
        listed = [
            {"key": key, "values": pair, "reason": reasons.get(field, "")}
            for (key, pair), field in zip(keyed(differing).items(), differing, strict=True)
        ]
        typer.echo(json.dumps({"recipes": [first.name, second.name], "differences": listed}, indent=2))
        return
    if not differing:
        typer.echo(f"{first.name} and {second.name} differ in nothing but their names")
    for (key, pair), field in zip(keyed(differing).items(), differing, strict=True):
        values = [shown(list(value) if isinstance(value, tuple) else value) for value in pair]
        typer.echo(f"{key}: {values[0]} -> {values[1]}")
        if field in reasons:
            typer.echo(f"    {reasons[field]}")
