"""Which items a model has solved, and whether two models solve the same ones equally often."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluator.results.answer import Answer
from evaluator.results.score import sign_test

__all__ = ["Paired", "Solved", "compare", "solved", "solved_by_group"]


@dataclass(frozen=True)
class Solved:
    """The answers to a task in a bit each.

    Attributes
    ----------
    items_sha256 : str
        Hash of the items, in whichever order they were answered.
    n : int
        Answers.
    bits : int
        Bit by item, in the order of their ids; 1 where it is solved.
    """

    items_sha256: str
    n: int
    bits: int


@dataclass(frozen=True)
class Paired:
    """Two models on the same items.

    Attributes
    ----------
    n : int
        Items.
    first_only, second_only : int
        Those that one alone solves.
    p : float
        Of the exact two-sided test of McNemar (1947).
    """

    n: int
    first_only: int
    second_only: int
    p: float


def solved(answers: Sequence[Answer]) -> Solved:
    """Return which of `answers` are right."""
    ordered = sorted(answers, key=lambda one: (one.id, one.sample))
    names = "\n".join(f"{one.id}\0{one.sample}" for one in ordered)
    bits = int("".join("01"[one.correct] for one in ordered) or "0", 2)
    return Solved(hashlib.sha256(names.encode()).hexdigest(), len(ordered), bits)


def solved_by_group(answers: Sequence[Answer]) -> Mapping[str, Solved]:
    """Return which of `answers` are right by group of items; all of them under the empty name."""
    groups = sorted({one.group for one in answers} - {""})
    return {"": solved(answers), **{name: solved([one for one in answers if one.group == name]) for name in groups}}


def compare(first: Solved | None, second: Solved | None) -> Paired | None:
    """Compare two models; None if one was not asked, or they were not asked the same items."""
    if first is None or second is None or first.items_sha256 != second.items_sha256:
        return None
    ours, theirs = (first.bits & ~second.bits).bit_count(), (second.bits & ~first.bits).bit_count()
    return Paired(first.n, ours, theirs, sign_test(ours, theirs))
