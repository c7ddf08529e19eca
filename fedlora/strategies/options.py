"""The options of strategies: keys of the table ``run``, their rules, and how they travel to the ServerApp as text."""

import math
from collections.abc import Mapping
from typing import Any, Final

from fedlora.rules import Rule, above
from fedlora.strategies.catalogue import STRATEGIES, Strategy

__all__ = [
    "DEFAULT",
    "OPTIONS",
    "least_updates",
    "not_taken",
    "options_from_text",
    "options_of",
    "options_text",
]

DEFAULT: Final = "default"  # what stands in the file where the strategy's own value is meant


def _below_one(least: str, lowest: float, most: float = 1.0) -> Rule:
    schema = {"exclusiveMinimum" if least == "above" else "minimum": lowest, "exclusiveMaximum": most}

    def holds(value: Any) -> bool:
        return bool(lowest < value < most or (least == "from" and value == lowest))

    return Rule(f"a number {least} {lowest:g} to below {most:g}", holds, schema)


def _count(least: int) -> Rule:
    def holds(value: Any) -> bool:
        return bool(value >= least and float(value).is_integer())

    return Rule(f"a whole number of at least {least}", holds, {"minimum": least})


OPTIONS: Mapping[str, Rule] = {
    "server-learning-rate": above(0.0),
    "server-momentum": _below_one("from", 0.0),
    "server-beta-2": _below_one("from", 0.0),
    "server-adaptivity": above(0.0),
    "trim": _below_one("above", 0.0, 0.5),
    "byzantine": _count(0),
    "selected": _count(0),
}


def options_of(strategy: Strategy, given: Mapping[str, float | str]) -> dict[str, float]:
    """Return all options of a strategy, of which `given` names some; "default" is the strategy's own value.

    Raises
    ------
    ValueError
        If one is not the strategy's, or not allowed: names it, and says what is.
    """
    chosen = {key: float(value) for key, value in given.items() if value != DEFAULT}
    for key, value in chosen.items():
        if key not in strategy.options:
            raise ValueError(f"{key}: {not_taken(strategy, key)}")
        if not OPTIONS[key].holds(value):
            raise ValueError(f"{key}: {value:g} is not {OPTIONS[key].allowed}")
        if key in strategy.needs and not strategy.needs[key].holds(value):
            raise ValueError(f"{key}: {value:g}: {strategy.needs[key].advice}")
    return {**strategy.options, **chosen}


def not_taken(strategy: Strategy, key: str) -> str:
    """Say that a strategy does not take an option, which it takes, and who takes this one."""
    takers = ", ".join(other.name for other in STRATEGIES.values() if key in other.options)
    own = ", ".join(strategy.options) or "none"
    return f"strategy {strategy.name!r} does not take it; its options: {own}. It is one of: {takers or 'no strategy'}"


def options_text(options: Mapping[str, float]) -> str:
    """Write options as one text, which `options_from_text` reads."""
    return ",".join(f"{key}={value!r}" for key, value in options.items())


def options_from_text(text: str) -> dict[str, float]:
    """Read options.

    Raises
    ------
    ValueError
        If the text is not ``key=number`` with commas between.
    """
    options: dict[str, float] = {}
    for entry in filter(None, text.split(",")):
        key, sign, value = entry.partition("=")
        try:
            options[key.strip()] = float(value)
        except ValueError:
            sign = ""
        if not sign:
            raise ValueError(f"{entry!r} is not key=number")
    return options


def least_updates(name: str, options: Mapping[str, float]) -> int:
    """Return the fewest updates of which a strategy with these options, all of them, does what it says."""
    if name in ("krum", "multi-krum"):
        byzantine = int(options["byzantine"])
        return max(2 * byzantine + 3, byzantine + 2 + int(options.get("selected", 0)))
    if name == "trimmed-mean":
        return max(3, math.ceil(1 / options["trim"] - 1e-9))
    return 3 if name == "fedmedian" else 1
