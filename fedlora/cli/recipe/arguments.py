"""What the commands on recipes share."""

from typing import Annotated, Any

import typer

from fedlora.recipes import CHALLENGES, PRESETS, Recipe

__all__ = ["RecipeArgument", "clients"]

RecipeArgument = Annotated[str, typer.Argument(metavar="DOMAIN/PRESET", help="Name of a recipe.", show_default=False)]


def clients(recipe: Recipe) -> dict[str, Any]:
    """Return how many clients the benchmark has for a recipe, and how many of them train in each round."""
    challenge, preset = CHALLENGES[recipe.domain], PRESETS[recipe.preset]
    fraction = preset.fraction or challenge.fraction
    return {"clients": challenge.clients, "fraction": fraction, "a_round": round(challenge.clients * fraction)}
