"""What a value must satisfy besides its type: written once, for checking, for messages and for the JSON schema."""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Rule", "above", "at_least", "between", "matching", "one_of", "share", "some", "suggestion"]


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule that stands in an annotation: ``Annotated[int, between(1, 65535)]``.

    Attributes
    ----------
    allowed : str
        What is allowed; ends the sentence "... is not".
    holds : callable
        Whether a value of the right type satisfies it.
    schema : mapping
        The same in the words of JSON schema.
    choices : tuple of str
        All values, where they can be counted; the nearest is suggested for one that is none of them.
    """

    allowed: str
    holds: Callable[[Any], bool]
    schema: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[str, ...] = ()


def between(least: int, most: int) -> Rule:
    """Return the rule of a whole number from `least` to `most`."""
    schema = {"minimum": least, "maximum": most}
    return Rule(f"a whole number from {least} to {most}", lambda value: least <= value <= most, schema)


def at_least(least: float) -> Rule:
    """Return the rule of a finite number, whole if `least` is, that is not below it."""
    kind = "whole number" if isinstance(least, int) else "number"
    return Rule(f"a {kind} of at least {least:g}", lambda value: least <= value < math.inf, {"minimum": least})


def above(bound: float) -> Rule:
    """Return the rule of a finite number above `bound`."""
    return Rule(f"a number above {bound:g}", lambda value: bound < value < math.inf, {"exclusiveMinimum": bound})


def share() -> Rule:
    """Return the rule of a share of something."""
    schema = {"exclusiveMinimum": 0, "maximum": 1}
    return Rule("a number above 0 and at most 1", lambda value: 0 < value <= 1, schema)


def some() -> Rule:
    """Return the rule of a list that is not empty."""
    return Rule("a list of at least one", lambda value: len(value) > 0, {"minItems": 1})


def one_of(choices: Iterable[str], allowed: str = "") -> Rule:
    """Return the rule of a text that is one of `choices`."""
    listed = tuple(choices)
    return Rule(allowed or f"one of {', '.join(listed)}", lambda value: value in listed, {"enum": listed}, listed)


def matching(pattern: str, allowed: str) -> Rule:
    """Return the rule of a text that `pattern` matches from end to end."""
    expression = re.compile(pattern)
    schema = {"pattern": f"^(?:{pattern})$"}
    return Rule(allowed, lambda value: expression.fullmatch(value) is not None, schema)


def suggestion(word: object, choices: Iterable[str]) -> str:
    """Return the question whether the nearest of `choices` was meant; empty if none is near."""
    near = difflib.get_close_matches(word, choices, n=1) if isinstance(word, str) else []
    return f"did you mean {near[0]!r}?" if near else ""
