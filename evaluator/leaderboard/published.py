"""Scores that others have published: facts from the benchmark's pages and participants' own, not re-checked here."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Annotated

from fedlora.config import from_mapping
from fedlora.domains import DOMAINS
from fedlora.rules import one_of

__all__ = ["TAGS", "PublishedRow", "published_rows"]

# Where a row stands, as people read it.
TAGS = {
    "board": "the leaderboard's own pages, as of early 2026",
    "code": "the README of the benchmark's evaluation code, April 2026",
    "participant": "a participant's own README",
}
MIB = {"MB": 1.0, "GB": 1024.0}  # the benchmark's tracker divides by 1024 squared and prints MB


@dataclass(frozen=True)
class PublishedRow:
    """A score that was published elsewhere.

    Attributes
    ----------
    domain, team, base_model : str
        Which board, whose, and of which base model.
    average : float
        As it was printed, in percent.
    tag : str
        Where it stands: a key of `TAGS`.
    scores : mapping
        By column, in percent; empty where only the average is known.
    communication, unit : float and str
        As they were printed; None and empty where they were not.
    date : str
        Of the row, where it has one.
    rounds : int or None
        Rounds, where they were told.
    strategy, note : str
        What else was told, and what is odd about it.
    """

    domain: Annotated[str, one_of(DOMAINS)]
    team: str
    base_model: str
    average: float
    tag: Annotated[str, one_of(TAGS)]
    scores: Mapping[str, float] = field(default_factory=dict)
    communication: float | None = None
    unit: str = ""
    date: str = ""
    rounds: int | None = None
    strategy: str = ""
    note: str = ""

    @property
    def mib(self) -> float | None:
        """Communication in MiB."""
        return None if self.communication is None else self.communication * MIB[self.unit]


@dataclass(frozen=True)
class _File:
    row: tuple[PublishedRow, ...]


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """Return all rows, in the order of the file."""
    text = (files("evaluator.leaderboard") / "published.toml").read_text(encoding="utf-8")
    return from_mapping(_File, tomllib.loads(text), origin="published.toml").row
