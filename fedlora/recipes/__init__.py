"""Recipes: the training hyper-parameters that all sites of a run share, and the presets they come from."""

from fedlora.recipes.presets import (
    CHALLENGES,
    PRESETS,
    Challenge,
    Preset,
    differences,
    preset_values,
    recipe,
    recipe_named,
)
from fedlora.recipes.recipe import ALL_LINEAR, FAMILY_DEFAULT, Recipe, frozen_factor

__all__ = [
    "ALL_LINEAR",
    "CHALLENGES",
    "FAMILY_DEFAULT",
    "PRESETS",
    "Challenge",
    "Preset",
    "Recipe",
    "differences",
    "frozen_factor",
    "preset_values",
    "recipe",
    "recipe_named",
]
