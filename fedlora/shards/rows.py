"""Rows of data files, one after the other: JSON Lines, JSON, CSV and Parquet, gzip where the name says so.

A file is read as a stream, however large. At once in memory are a line; of Parquet, a row group; and a JSON list, which
is no stream and may not be large for that reason.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar, cast

from fedlora.errors import ShardError

__all__ = [
    "MOST_AT_ONCE",
    "SUFFIXES",
    "Lines",
    "Row",
    "decode",
    "iterate_rows",
    "json_document",
    "json_lines",
    "json_row",
    "kind_of",
    "opened",
    "parquet",
    "table",
    "text_lines",
]

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
MOST_AT_ONCE = 64 * 2**20  # bytes of a line, or of a JSON list; in memory they take several times as many
BATCH = 1024  # rows of Parquet that are turned into Python's objects at once
Row = tuple[str, Mapping[str, Any]]  # where it stands ("line 3"), and its fields
Item = TypeVar("Item")


class Lines(Protocol):
    """What a file is read line by line from."""

    def readline(self, most: int, /) -> bytes:
        """Return the next line, or the next `most` bytes of it; nothing at the end."""


def iterate_rows(file: Path | Traversable) -> Iterator[Row]:
    """Yield every row of `file`.

    Parameters
    ----------
    file : Path or Traversable
        A ``.jsonl``, ``.json`` (a list), ``.csv`` or ``.parquet`` file, or one of the first three with ``.gz`` behind.

    Raises
    ------
    ShardError
        If the file cannot be read, or at the first row that is none: names the file and the line.
    """
    suffix = kind_of(file, SUFFIXES)
    readers = {".jsonl": json_lines, ".json": _json, ".csv": _csv, ".parquet": parquet}
    yield from opened(file, readers[suffix])


def kind_of(file: Path | Traversable, allowed: tuple[str, ...]) -> str:
    """Return the ending of a file's name, without the ``.gz`` that may stand behind it.

    Raises
    ------
    ShardError
        If it is none of those that are allowed.
    """
    name = file.name if file.name.endswith(".parquet.gz") else file.name.removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in allowed:
        raise ShardError(f"{file}: {suffix or 'a name without an ending'} is not one of {', '.join(allowed)}")
    return suffix


def opened(
    file: Path | Traversable, reader: Callable[[IO[bytes], Path | Traversable], Iterator[Item]]
) -> Iterator[Item]:
    """Yield what ``reader(stream, file)`` yields of the bytes of `file`, unpacked if it is compressed.

    Raises
    ------
    ShardError
        If the file cannot be read, or its compression is damaged.
    """
    try:
        with file.open("rb") as stream:
            packed = file.name.endswith(".gz")
            yield from reader(cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if packed else stream, file)
    except (OSError, EOFError, zlib.error) as error:
        raise ShardError(f"{file}: cannot be read: {error}") from error


def text_lines(stream: Lines, file: Path | Traversable) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line, its end included; the first without a byte-order mark.

    Raises
    ------
    ShardError
        If a line is not UTF-8, or longer than ``MOST_AT_ONCE``.
    """
    for number, line in enumerate(iter(lambda: stream.readline(MOST_AT_ONCE + 1), b""), 1):
        yield number, decode(line, number, file)


def decode(line: bytes, number: int, file: Path | Traversable) -> str:
    """Return the text of a line; see `text_lines`."""
    if len(line) > MOST_AT_ONCE:
        raise ShardError(f"{file}, line {number}: is longer than {MOST_AT_ONCE >> 20} MiB, the most that a line may be")
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ShardError(f"{file}, line {number}: byte {byte:#04x} is not UTF-8; convert the file to UTF-8") from error


def json_lines(stream: Lines, file: Path | Traversable) -> Iterator[Row]:
    """Yield the rows of a JSON Lines file, but for empty lines; see `json_row`."""
    for number, line in text_lines(stream, file):
        if line.strip():
            yield f"line {number}", json_row(line.removesuffix("\n"), f"{file}, line {number}")


def json_row(line: str, place: str) -> Mapping[str, Any]:
    """Read one line of a JSON Lines file; `place` is named in the error.

    Raises
    ------
    ShardError
        If it is not an object with fields.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{place}: is not JSON: {_why(error)}") from error
    if not isinstance(row, dict):
        raise ShardError(f"{place}: is a {type(row).__name__}, not an object with fields")
    return row


def json_document(stream: IO[bytes], file: Path | Traversable) -> Any:
    """Read a whole JSON file of at most ``MOST_AT_ONCE`` bytes; nothing if it holds nothing.

    Raises
    ------
    ShardError
        If it is larger, or not JSON.
    """
    content = stream.read(MOST_AT_ONCE + 1)
    if len(content) > MOST_AT_ONCE:
        raise ShardError(
            f"{file}: is larger than {MOST_AT_ONCE >> 20} MiB, and JSON that is not JSON Lines is read at once; "
            "convert it to JSON Lines, for example with: jq --compact-output '.[]'"
        )
    text = "".join(line for _, line in text_lines(io.BytesIO(content), file))
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise ShardError(f"{file}, line {line}: is not JSON: {_why(error)}") from error


def table(stream: Lines, file: Path | Traversable) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row of a CSV file that has any, with the line where the row ends.

    Raises
    ------
    ShardError
        If it is not CSV; names the line.
    """
    csv.field_size_limit(MOST_AT_ONCE)  # an answer may be longer than the 128 KiB that csv stops at
    reader = csv.reader(_table_lines(text_lines(stream, file)), strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise ShardError(f"{file}, line {reader.line_num}: is not CSV: {error}") from error


def parquet(stream: IO[bytes], file: Path | Traversable) -> Iterator[Row]:
    """Yield the rows of a Parquet file, row group by row group."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(stream).iter_batches(BATCH):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ShardError(f"{file}: is not Parquet: {error}") from error


def _table_lines(lines: Iterable[tuple[int, str]]) -> Iterator[str]:
    """Yield lines as CSV knows them, which may also end with a carriage return alone."""
    for _, line in lines:
        yield from io.StringIO(line, newline="")


def _json(stream: IO[bytes], file: Path | Traversable) -> Iterator[Row]:
    rows = json_document(stream, file)
    if rows is None:
        return
    if not isinstance(rows, list):
        raise ShardError(f"{file}: holds a {type(rows).__name__}, not a list of records")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ShardError(f"{file}, record {number}: is a {type(row).__name__}, not an object with fields")
        yield f"record {number}", row


def _csv(stream: Lines, file: Path | Traversable) -> Iterator[Row]:
    names: list[str] = []
    for number, cells in table(stream, file):
        if not names:
            names = cells
            if len(set(names)) < len(names):
                raise ShardError(f"{file}, line {number}: a field is named twice: {', '.join(names)}")
        elif len(cells) > len(names):
            raise ShardError(f"{file}, line {number}: has more fields than the header names")
        else:
            yield f"line {number}", dict(zip(names, cells, strict=False))


def _why(error: Exception) -> str:
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
