"""Rows of evaluation sets, whatever file they are in; and the split that the reference draws."""

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from fedlora.errors import EvaluationError, ShardError
from fedlora.shards.rows import iterate_rows, json_document, kind_of, opened

__all__ = ["field", "quarter", "read_rows", "text"]

ID = "id"  # the key of a row that stood as a value in an object
Kind = TypeVar("Kind")


def read_rows(file: Path) -> list[Mapping[str, Any]]:
    """Return the rows of `file`; of a folder, those of all its files in the order of their names.

    Parameters
    ----------
    file : Path
        JSON Lines, JSON (a list, or an object whose keys are the rows' ids), CSV or Parquet, the first three also with
        ``.gz`` behind.

    Raises
    ------
    EvaluationError
        If it cannot be read.
    """
    if file.is_dir():
        return [row for one in sorted(file.iterdir()) for row in read_rows(one)]
    try:
        if kind_of(file, (".jsonl", ".json", ".csv", ".parquet")) == ".json":
            return list(opened(file, _json))
        return [row for _, row in iterate_rows(file)]
    except ShardError as error:
        raise EvaluationError(f"the evaluation set cannot be read: {error}") from error


def _json(stream: IO[bytes], file: Path | Traversable) -> Iterator[Mapping[str, Any]]:
    document = json_document(stream, file)
    rows = [{ID: key, **row} for key, row in document.items()] if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ShardError(f"{file}: holds neither a list of objects nor an object of them")
    yield from rows


def field(row: Mapping[str, Any], place: object, *names: str) -> Any:
    """Return the first of the fields `names` that `row` has.

    Raises
    ------
    EvaluationError
        If it has none of them.
    """
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise EvaluationError(f"{place}: lacks {' or '.join(names)}; it has {', '.join(map(str, row)) or 'no field'}")


def text(row: Mapping[str, Any], place: object, name: str) -> str:
    """Return the field `name`, which must be text.

    Raises
    ------
    EvaluationError
        If it is missing or something else.
    """
    value = field(row, place, name)
    if not isinstance(value, str):
        raise EvaluationError(f"{place}: {name} is {value!r}, not text")
    return value


def quarter(rows: Sequence[Kind]) -> list[tuple[int, Kind]]:
    """Return the quarter of `rows` that the reference tests on, each with its place in `rows`.

    It is what ``datasets.Dataset.train_test_split(0.25, seed=42)`` calls the test set: the first quarter, rounded up,
    of a permutation by numpy's default generator.
    """
    permutation = np.random.default_rng(42).permutation(len(rows))
    return [(int(place), rows[place]) for place in permutation[: math.ceil(0.25 * len(rows))]]
