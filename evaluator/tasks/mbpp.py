"""MBPP: Austin et al. 2021, Program Synthesis with Large Language Models (arXiv 2108.07732), section 2.1."""

import ast
import builtins
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluator.tasks.program import CodeItem, CodeTask, check
from evaluator.tasks.rows import field, read_rows, text
from fedlora.errors import EvaluationError

__all__ = ["MBPP"]

TEST = range(11, 511)  # the ids of the test split; the makers' file holds all splits


def read(file: Path) -> list[CodeItem]:
    """Return the items of the test split.

    Rows have ``task_id``, ``text`` and ``test_list``. What ``test_setup_code`` holds is not run, since the reference
    does not run it: of the 500 items that is one, 367, which no ordinary program can solve for that reason.
    """
    rows = ((_number(row, file), row) for row in read_rows(file))
    return check((_item(number, row, file) for number, row in rows if number in TEST), file)


def _number(row: Mapping[str, Any], file: Path) -> int:
    told = field(row, file, "task_id")
    if not str(told).isdecimal():
        raise EvaluationError(f"{file}: the task_id {told!r} is not a whole number")
    return int(told)


def _item(number: int, row: Mapping[str, Any], file: Path) -> CodeItem:
    place = f"{file}: item {number}"
    tests = field(row, place, "test_list")
    if isinstance(tests, str) or not all(isinstance(test, str) for test in tests) or not len(tests):
        raise EvaluationError(f"{place}: test_list is not a list of tests: {tests!r}")
    prompt = f'"""\n{text(row, place, "text")}\n{tests[0]}\n"""\n'
    joined = "\n".join(tests)
    return CodeItem(str(number), prompt, joined, _tested(joined, place))


def _tested(tests: str, place: str) -> str:
    """Return the name that the tests call: the first that is none of Python's own, or else the first."""
    try:
        calls = [node for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Call)]
    except SyntaxError as error:
        raise EvaluationError(f"{place}: the tests are not Python: {error}") from error
    names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
    return next((name for name in names if not hasattr(builtins, name)), names[0] if names else "")


MBPP = CodeTask(
    name="mbpp",
    title="MBPP",
    hub="google-research-datasets/mbpp",
    revision="4bb6404fdc6cacfda99d4ac4205087b89d32030c",
    subset="full",
    split="test",
    read=read,
    language="python",
    stops=("\nclass", "\nassert", '\n"""', "\nprint", "\nif", "\n<|/", "\n```"),
    most_tokens=2048,
)
