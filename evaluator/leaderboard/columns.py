"""The boards, one a domain: which scores stand side by side, and what the mean of them is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluator.results.score import Share, TaskScore
from fedlora.domains import DOMAINS

__all__ = ["APART", "BOARDS", "SCORINGS", "TASKS", "Board", "Column", "mean", "shares"]

# Never mixed in one number; what each is, as people read it.
SCORINGS = {
    "flowertune": "The benchmark's own scoring: its prompts, greedy decoding, and what can be read out of the text.",
    "likelihood": "The likeliest choice wins; needs no text that has to be parsed.",
}


@dataclass(frozen=True)
class Column:
    """A score of a board.

    Attributes
    ----------
    task : str
        The benchmark's name.
    group : str
        The part of it that counts here; empty for all of it.
    title : str
        What stands above the column.
    items : int
        Size of the whole test set; of MultiPL-E as participants' fractions tell it, else as the sets' makers do.
    """

    task: str
    group: str
    title: str
    items: int

    def share(self, score: TaskScore) -> Share | None:
        """Return the column's part of a task's score; None where it has none."""
        return score.groups.get(self.group) if self.group else score.accuracy


@dataclass(frozen=True)
class Board:
    """The board of a domain; its score is the plain mean of its columns, as the benchmark has it."""

    domain: str
    columns: tuple[Column, ...]

    @property
    def title(self) -> str:
        """The name that people read."""
        return DOMAINS[self.domain].title

    @property
    def items(self) -> int:
        """Size of its test sets together."""
        return sum(column.items for column in self.columns)


BOARDS = {
    board.domain: board
    for board in (
        Board(
            "general-nlp",
            (
                Column("mmlu", "stem", "STEM", 3153),
                Column("mmlu", "social-sciences", "Social sciences", 3077),
                Column("mmlu", "humanities", "Humanities", 4705),
            ),
        ),
        Board(
            "finance",
            (
                Column("fpb", "", "FPB", 1212),
                Column("fiqa", "", "FiQA", 304),
                Column("tfns", "", "TFNS", 2388),
            ),
        ),
        Board(
            "medical",
            (
                Column("pubmedqa", "", "PubMedQA", 500),
                Column("medmcqa", "", "MedMCQA", 4183),
                Column("medqa", "", "MedQA", 1273),
                Column("careqa", "", "CareQA", 5621),
            ),
        ),
        Board(
            "code",
            (
                Column("mbpp", "", "MBPP", 500),
                Column("humaneval", "", "HumanEval", 164),
                Column("multipl-e-js", "", "MultiPL-E JS", 161),
                Column("multipl-e-cpp", "", "MultiPL-E C++", 161),
            ),
        ),
    )
}
TASKS = {column.task: board.domain for board in BOARDS.values() for column in board.columns}
APART = {("mmlu", "other"): "MMLU, other subjects"}  # reported, and in no mean


def shares(board: Board, scores: Mapping[str, TaskScore]) -> tuple[Share | None, ...]:
    """Return the board's columns from the scores by task; None where there is none."""
    return tuple(column.share(scores[column.task]) if column.task in scores else None for column in board.columns)


def mean(found: Sequence[Share | None]) -> Share | None:
    """Return the plain mean of the columns; None unless all are there.

    Its interval recovers each column's variance from the distance to its own limit: Zou and Donner 2008 (Statistics in
    Medicine 27), equation for a sum of independent estimates, divided by their number. n is that of all columns.
    """
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found):
        return None
    k = len(known)
    value = sum(one.value for one in known) / k
    below = math.sqrt(sum((one.value - one.low) ** 2 for one in known)) / k
    above = math.sqrt(sum((one.high - one.value) ** 2 for one in known)) / k
    return Share(sum(one.n for one in known), value, max(0.0, value - below), min(1.0, value + above))
