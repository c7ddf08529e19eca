"""What a run's aggregation strategy asks of its options, the recipe, and the sites; for values as in `checks`."""

from collections.abc import Iterator, Mapping
from typing import Any

from fedlora.codecs import LOSSLESS
from fedlora.config import Problem
from fedlora.strategies import DEFAULT, OPTIONS, STRATEGIES, Strategy, least_updates, not_taken, options_of

__all__ = ["check_strategy"]

Values = Mapping[str, Any]
Numbered = list[tuple[int, Values]]


def check_strategy(run: Values, sites: Numbered, recipes: Numbered) -> Iterator[Problem]:
    """Find what does not go with the strategy of `run`; `recipes` holds the recipe that it trains, or nothing."""
    if run["strategy"] is None:
        return
    strategy = STRATEGIES[run["strategy"]]
    yield from _options(strategy, run)
    if strategy.new_basis and run["upload-codec"] not in (*LOSSLESS, None):
        yield Problem(
            "run.upload-codec",
            f"{run['upload-codec']!r} leaves a rest of each update for the next one, which with strategy "
            f"{strategy.name!r} stands in another basis; take {' or '.join(LOSSLESS)}, or another strategy",
        )
    for number, recipe in recipes:
        yield from _recipe(strategy, number, recipe)
        part = [entry for entry in sites if entry[1]["domain"] in (run["domains"] or [recipe["domain"]])]
        yield from _ranks(strategy, part, recipe)


def _options(strategy: Strategy, run: Values) -> Iterator[Problem]:
    given = {key: run[key] for key in OPTIONS if run[key] is not None}
    foreign = [key for key, value in given.items() if value != DEFAULT and key not in strategy.options]
    for key in foreign:
        yield Problem(f"run.{key}", f"{not_taken(strategy, key)}")
    own = {key: given[key] for key in strategy.options if key in given}
    for key in own:
        if own[key] != DEFAULT and key in strategy.needs and not strategy.needs[key].holds(own[key]):
            yield Problem(f"run.{key}", f"{own[key]:g}: {strategy.needs[key].advice}")
            return
    if len(own) < len(strategy.options) or run["min-sites"] is None:
        return  # one that is wrong by itself
    least = least_updates(strategy.name, options_of(strategy, own))
    if run["min-sites"] < least:
        text = f"{run['min-sites']} is below the {least} updates that strategy {strategy.name!r} needs in each round"
        options = ", ".join(f"{key} = {value:g}" for key, value in options_of(strategy, own).items())
        yield Problem("run.min-sites", f"{text}{options and f' with {options}'}; set it to {least} or more")


def _recipe(strategy: Strategy, number: int, recipe: Values) -> Iterator[Problem]:
    for key, need in strategy.needs.items():
        value = recipe.get(key)
        if key not in strategy.options and value is not None and not need.holds(value):
            yield Problem(
                f"recipe[{number}].{key}", f"{value!r} does not go with strategy {strategy.name!r}: {need.advice}"
            )
    if recipe["adapter"] is not None and recipe["adapter"] not in strategy.adapters:
        others = ", ".join(other.name for other in STRATEGIES.values() if recipe["adapter"] in other.adapters)
        yield Problem(
            "run.strategy",
            f"{strategy.name!r} gives no {recipe['adapter']} adapter that can be exported; set the recipe's adapter to "
            f"{' or '.join(strategy.adapters)}, or take one of {others}",
        )


def _ranks(strategy: Strategy, part: Numbered, recipe: Values) -> Iterator[Problem]:
    for number, site in part:
        most, rank = site["policy"]["most-rank"], recipe["rank"]
        if not strategy.mixed_ranks and most and rank and rank > most:
            yield Problem(
                f"site[{number}].policy.most-rank",
                f"{most} is below the recipe's rank {rank}, and strategy {strategy.name!r} compares updates value by "
                f"value: all sites train one rank. Lower the recipe's rank, or take a strategy for mixed ranks "
                f"(fedlora strategy list)",
            )
