"""Whether a recipe fits into the memory of a site, and what would have to change: asked before anything is started."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from fedlora.errors import PolicyError
from fedlora.language_model import BaseModel
from fedlora.recipes import Recipe
from fedlora.recipes.recipe import BasePrecision
from supernode.needs import Needs, needs
from supernode.trainer.settings import Policy

__all__ = ["Change", "Place", "Plan", "plan"]

SMALLER: tuple[BasePrecision, ...] = ("bf16", "nf4")  # base precisions that a plan proposes
FEWEST_RANK = 8


@dataclass(frozen=True)
class Place:
    """Where a trainer is to run.

    Attributes
    ----------
    site : str
        Name of the site.
    device : str
        ``cpu`` or ``cuda``.
    tokens_at_once : int
        As the site has set them.
    memory : int or None
        Bytes that there are; None where that is not known from here.
    of : str
        Whose memory that is, for people.
    """

    site: str
    device: str
    tokens_at_once: int
    memory: int | None
    of: str


@dataclass(frozen=True)
class Change:
    """What could be changed, as it would be written in a file, and the memory that is then taken, in bytes."""

    text: str
    memory: int


@dataclass(frozen=True)
class Plan:
    """What a recipe takes at a site.

    Attributes
    ----------
    site, recipe : str
        Which.
    refused : str
        Why the site does not train it at all; empty if it does.
    needs : Needs or None
        What it takes; None if it is refused.
    fits : bool or None
        Whether there is as much; None where nobody knows how much there is, or it is refused.
    changes : tuple of Change
        Where it does not fit: each change that would do by itself; or else all of them together, which may still not.
    """

    site: str
    recipe: str
    refused: str
    needs: Needs | None
    fits: bool | None
    changes: tuple[Change, ...]


def plan(base: BaseModel, place: Place, policy: Policy) -> list[Plan]:
    """Return what each recipe of `policy` takes at `place`.

    Raises
    ------
    BaseModelError
        If the base model is damaged, or has none of the modules that a recipe targets.
    """
    return [_plan(base, place, policy, recipe) for recipe in policy.recipes]


def _plan(base: BaseModel, place: Place, policy: Policy, recipe: Recipe) -> Plan:
    try:
        rank = policy.rank(recipe)
    except PolicyError as error:
        return Plan(place.site, recipe.name, str(error), None, None, ())
    taken = needs(base, recipe, place.tokens_at_once, device=place.device, rank=rank)
    if place.memory is None or taken.memory <= place.memory:
        return Plan(place.site, recipe.name, "", taken, None if place.memory is None else True, ())
    changes = tuple(_changes(base, place, recipe, rank, place.memory))
    return Plan(place.site, recipe.name, "", taken, False, changes)


def _changes(base: BaseModel, place: Place, recipe: Recipe, rank: int, memory: int) -> Iterator[Change]:
    """Yield what would do by itself; where nothing does, all together."""

    def of(text: str, changed: Recipe = recipe, tokens: int = place.tokens_at_once, trained: int = rank) -> Change:
        return Change(text, needs(base, changed, tokens, device=place.device, rank=trained).memory)

    now = of("").memory
    tokens = place.tokens_at_once
    while tokens // 2 >= recipe.length and of("", tokens=tokens).memory > memory:
        tokens //= 2
    fewest = rank if recipe.adapter == "dora" else min(rank, FEWEST_RANK)
    smaller = [
        (f'base-precision = "{one}" (recipe)', dataclasses.replace(recipe, base_precision=one)) for one in SMALLER
    ]
    held = [(text, changed) for text, changed in smaller if of(text, changed).memory < now]
    choices = [
        of(f"tokens-at-once = {tokens} (site)", tokens=tokens),
        *(of(text, changed) for text, changed in held),
        of(f"most-rank = {fewest} (policy)", trained=fewest),
    ]
    helpful = [change for change in choices if change.memory < now]
    alone = [change for change in helpful if change.memory <= memory]
    yield from alone
    if helpful and not alone:
        text, smallest = held[-1] if held else ("", recipe)
        texts = [change.text for change in helpful if change.text == text or "base-precision" not in change.text]
        yield of(" and ".join(texts), smallest, tokens, fewest)
