"""HumanEval: Chen et al. 2021, Evaluating Large Language Models Trained on Code (arXiv 2107.03374)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluator.tasks.program import CodeItem, CodeTask, check
from evaluator.tasks.rows import read_rows, text
from fedlora.errors import EvaluationError

__all__ = ["HUMANEVAL"]


def read(file: Path) -> list[CodeItem]:
    """Return the items of a file, whose rows have ``task_id``, ``prompt``, ``entry_point`` and ``test``."""
    return check((_item(row, file) for row in read_rows(file)), file)


def _item(row: Mapping[str, Any], file: Path) -> CodeItem:
    identity = text(row, file, "task_id")
    place = f"{file}: item {identity}"
    entry = text(row, place, "entry_point")
    if not entry.isidentifier():
        raise EvaluationError(f"{place}: the entry_point {entry!r} is not a name")
    tests = f"{text(row, place, 'test')}\ncheck({entry})"
    return CodeItem(identity, text(row, place, "prompt").strip(), tests, entry)  # stripped, as the reference does it


HUMANEVAL = CodeTask(
    name="humaneval",
    title="HumanEval",
    hub="openai/openai_humaneval",
    revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
    subset="openai_humaneval",
    split="test",
    read=read,
    language="python",
    stops=("\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", "\n```", "<file_sep>"),
)
