"""The recipes of the four domains: the benchmark's two, ours, and one to try things out; and the data they are for.

The benchmark is the FlowerTune LLM Leaderboard. ``flowertune`` is its board's app (github.com/flwrlabs/flower,
examples/flowertune-llm-*, April 2026), ``flowertune-paper`` the code behind Gao et al. 2025 (arXiv 2506.02961).
``default`` is the former, mended: each of its differences has a reason here.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fedlora.domains import DOMAINS
from fedlora.errors import ConfigurationError
from fedlora.recipes.recipe import ALL_LINEAR, PRESET_NAMES, Recipe
from fedlora.rules import suggestion

__all__ = ["CHALLENGES", "PRESETS", "Challenge", "Preset", "differences", "preset_values", "recipe", "recipe_named"]


@dataclass(frozen=True)
class Challenge:
    """What the benchmark prescribes of a domain beside the training itself: a rule for dividing data, not for sites.

    Attributes
    ----------
    data : str
        The training set, as the hub calls it.
    rows : int
        About how many records it has.
    clients : int
        Equal parts that it is divided into.
    fraction : float
        Share of the clients that trains in each round.
    """

    data: str
    rows: int
    clients: int
    fraction: float


CHALLENGES = {
    "general-nlp": Challenge("flwrlabs/alpaca-gpt4", 52_000, 20, 0.1),
    "finance": Challenge("flwrlabs/fingpt-sentiment-train", 76_800, 50, 0.1),
    "medical": Challenge("flwrlabs/medical-meadow-medical-flashcards", 34_000, 20, 0.1),
    "code": Challenge("flwrlabs/code-alpaca-20k", 20_000, 10, 0.2),
}


@dataclass(frozen=True)
class Preset:
    """Values for the recipes of all domains.

    Attributes
    ----------
    summary : str
        What it is for.
    values : mapping
        What it sets, by the recipe's fields.
    by_domain : mapping
        What it sets for one domain.
    reasons : mapping
        Why it differs from ``flowertune``, by the recipe's fields.
    fraction : float or None
        Share of the clients that trains in each round, where it is not the challenge's own.
    """

    summary: str
    values: Mapping[str, Any]
    by_domain: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    fraction: float | None = None


# What the reference does not teach, and what it counts.
AS_THE_REFERENCE = {"end_of_text": False, "records": "same", "weight": "shard"}

PRESETS = {
    "default": Preset(
        "The benchmark's recipe with its faults mended: what to begin with.",
        values={},
        by_domain={"medical": {"question": "input"}},  # the instruction is the same in each record
        reasons={
            "compute_precision": "the reference names none, which leaves it at fp32",
            "question": "in general NLP the reference leaves out the input that an instruction refers to",
            "end_of_text": "the reference never shows the end of an answer, so that models go on talking",
            "records": "the reference draws the same 160 records in each round; most of a shard is never seen",
            "weight": "the reference weighs by records that it has not trained on",
        },
    ),
    "flowertune": Preset(
        "The recipe of the leaderboard's app, to the letter: LoRA of rank 32, 200 rounds.",
        values={**AS_THE_REFERENCE, "compute_precision": "fp32"},
        by_domain={"general-nlp": {"question": "instruction"}, "medical": {"question": "input"}},
    ),
    "flowertune-paper": Preset(
        "The recipe of the paper's code: DoRA of rank 32 in all matrix products, 15 rounds.",
        values={**AS_THE_REFERENCE, "rounds": 15, "adapter": "dora", "target_modules": (ALL_LINEAR,)},
        reasons={
            "rounds": "as the paper",
            "adapter": "as the paper",
            "target_modules": "as the paper, which lists the modules of each base model",
            "compute_precision": "as the paper: FlashAttention-2 takes no fp32",
            "question": "as the paper, whose four folders share one way of reading records",
        },
        fraction=0.2,
    ),
    "quick": Preset(
        "Few steps at a high rate, without dropout: an effect within minutes, also on a CPU.",
        values={
            "rounds": 3,
            "steps": 20,
            "length": 256,
            "learning_rate": 1e-3,
            "final_learning_rate": 1e-4,
            "schedule": "cosine-from-peak",
            "rank": 16,
            "alpha": 32,
            "dropout": 0.0,
            "target_modules": (ALL_LINEAR,),
            "base_precision": "bf16",
            "template": "labelled",
        },
    ),
}
if tuple(sorted(PRESETS)) != tuple(sorted(PRESET_NAMES)):
    raise AssertionError("the presets' names stand in recipe.py as well")


def preset_values(preset: str, domain: str) -> dict[str, Any]:
    """Return what a preset sets for a domain, by the recipe's fields; nothing if there is no such preset or domain."""
    if preset not in PRESETS:
        return {}
    return {**PRESETS[preset].values, **PRESETS[preset].by_domain.get(domain, {})}


def recipe(domain: str, preset: str = "default", **changes: Any) -> Recipe:
    """Return the recipe of a preset for a domain, with `changes`.

    Raises
    ------
    ConfigurationError
        If a value is not allowed.
    """
    return Recipe(domain, preset, **{**preset_values(preset, domain), **changes})


def recipe_named(name: str) -> Recipe:
    """Return the recipe called DOMAIN/PRESET.

    Raises
    ------
    ConfigurationError
        If there is none; suggests the nearest.
    """
    names = [f"{domain}/{preset}" for domain in DOMAINS for preset in PRESETS]
    if name not in names:
        near = suggestion(name, names)
        raise ConfigurationError(f"{name!r} is not a recipe: {near or 'see fedlora recipe list'}")
    return recipe(*name.split("/"))


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two recipes differ, with the values of both."""
    pairs = {entry.name: (getattr(one, entry.name), getattr(other, entry.name)) for entry in dataclasses.fields(Recipe)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
