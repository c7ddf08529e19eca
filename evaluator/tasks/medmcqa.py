"""MedMCQA: Pal et al. 2022 (arXiv 2203.14371), Indian medical entrance examinations, its validation split."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluator.tasks.exams import ENTRANCE, exam_item, exam_task
from evaluator.tasks.item import LETTERS, Item, check
from evaluator.tasks.rows import field, read_rows

__all__ = ["MEDMCQA"]

OPTIONS = ("opa", "opb", "opc", "opd")


def read(file: Path) -> list[Item]:
    """Return the items of a file whose rows have ``id``, ``question``, ``opa`` to ``opd`` and ``cop``.

    The hub counts ``cop`` from 0, the makers' own file from 1. Which of the two a file does is told by whether it has a
    0 or a 4 anywhere; in a file with neither, the hub's way is taken.
    """
    rows = read_rows(file)
    first = _first(rows, file)
    return check((_item(row, first, file) for row in rows), file)


def _first(rows: Sequence[Mapping[str, Any]], file: Path) -> int:
    """Return the number of the first option."""
    return 1 if max((int(field(row, file, "cop")) for row in rows), default=0) == len(OPTIONS) else 0


def _item(row: Mapping[str, Any], first: int, file: Path) -> Item:
    identity = field(row, file, "id")
    place = f"{file}: item {identity}"
    answer = int(field(row, place, "cop")) - first
    gold = LETTERS[answer] if 0 <= answer < len(LETTERS) else answer
    return exam_item(identity, ENTRANCE, field(row, place, "question"), [row.get(name) or "" for name in OPTIONS], gold)


MEDMCQA = exam_task("medmcqa", "MedMCQA", read, "openlifescienceai/medmcqa", "validation")
