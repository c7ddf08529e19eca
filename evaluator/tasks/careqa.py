"""CareQA: Arias-Duart et al. 2025 (arXiv 2502.06666), Spanish specialised training examinations, in English."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluator.tasks.exams import ENTRANCE, exam_item, exam_task
from evaluator.tasks.item import LETTERS, Item, check
from evaluator.tasks.rows import field, read_rows

__all__ = ["CAREQA"]


def read(file: Path) -> list[Item]:
    """Return the items of a file.

    Rows have ``unique_id``, ``question``, ``op1`` to ``op4`` and ``cop`` (1 to 4), as the hub has them; or they are an
    object by id, with ``options`` by letter and ``correct_answer``, a letter.
    """
    return check((_item(row, file) for row in read_rows(file)), file)


def _item(row: Mapping[str, Any], file: Path) -> Item:
    identity = field(row, file, "unique_id", "id")
    place = f"{file}: item {identity}"
    if "options" in row:
        choices = [row["options"].get(letter) or "" for letter in LETTERS]
        gold = field(row, place, "correct_answer")
    else:
        choices = [row.get(f"op{number}") or "" for number in (1, 2, 3, 4)]
        answer = int(field(row, place, "cop")) - 1
        gold = LETTERS[answer] if 0 <= answer < len(LETTERS) else answer
    return exam_item(identity, ENTRANCE, field(row, place, "question"), choices, gold)


CAREQA = exam_task("careqa", "CareQA", read, "HPAI-BSC/CareQA", "test", "CareQA_en")
