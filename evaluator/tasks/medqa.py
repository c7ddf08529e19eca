"""MedQA: Jin et al. 2020 (arXiv 2009.13081), questions of the US licensing examination with four options."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluator.tasks.exams import LICENSING, exam_item, exam_task
from evaluator.tasks.item import CONVERTED, LETTERS, Item, check
from evaluator.tasks.rows import field, read_rows

__all__ = ["MEDQA"]


def read(file: Path) -> list[Item]:
    """Return the items of a file.

    Rows have ``question``, ``answer`` (the right option's text, or with ``answer_idx`` beside it, its letter there) and
    ``options``: an object by letter, or a list of objects with ``key`` and ``value`` as the hub has it.
    """
    return check((_item(number, row, f"{file}: item {number}") for number, row in enumerate(read_rows(file))), file)


def _item(number: int, row: Mapping[str, Any], place: str) -> Item:
    options = field(row, place, "options")
    if isinstance(options, Sequence):
        options = {str(option["key"]): option["value"] for option in options}
    answer = field(row, place, "answer")
    gold = row.get("answer_idx") or next((key for key, text in options.items() if text == answer), answer)
    return exam_item(
        number, LICENSING, field(row, place, "question"), [options.get(letter) or "" for letter in LETTERS], gold
    )


MEDQA = exam_task("medqa", "MedQA", read, "bigbio/med_qa", "test", "med_qa_en_4options_source", CONVERTED)
