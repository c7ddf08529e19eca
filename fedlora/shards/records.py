"""Reading and writing records: JSON Lines, JSON, CSV and Parquet, gzip where the name says so."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from fedlora.domains import Domain
from fedlora.errors import ShardError

__all__ = [
    "SUFFIXES",
    "Record",
    "Row",
    "decode",
    "json_lines",
    "json_row",
    "read_records",
    "to_record",
    "to_records",
    "write_records",
]

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
Row = tuple[str, Mapping[str, Any]]  # where it stands ("line 3"), and its fields


@dataclass(frozen=True)
class Record:
    """One example: what is asked, what it is asked about, and the answer."""

    instruction: str
    input: str
    output: str


def read_records(file: Path | Traversable, domain: Domain) -> list[Record]:
    """Read every record of `file`.

    Parameters
    ----------
    file : Path or Traversable
        A ``.jsonl``, ``.json`` (a list), ``.csv`` or ``.parquet`` file, or one of the first three with ``.gz`` behind.
        Each row holds ``instruction``, ``output`` and, if it likes, ``input``; or, in a domain with sentiment labels,
        ``text`` and ``label`` (a number or its word).
    domain : Domain
        Decides what ``text`` and ``label`` mean.

    Raises
    ------
    ShardError
        If the file cannot be read, or at the first row that is no record: names the file, the line and the field.
    """
    name = file.name if file.name.endswith(".parquet.gz") else file.name.removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in SUFFIXES:
        raise ShardError(f"{file}: {suffix or 'a name without an ending'} is not one of {', '.join(SUFFIXES)}")
    try:
        content = file.read_bytes()
        if file.name.endswith(".gz"):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ShardError(f"{file}: cannot be read: {error}") from error
    rows = _parquet(content, file) if suffix == ".parquet" else _text_rows(suffix, decode(content, file), file)
    return to_records(rows, str(file), domain)


def to_records(rows: Iterable[Row], origin: str, domain: Domain) -> list[Record]:
    """Turn rows of `origin`, a name for people, into records; see `read_records`."""
    records = [to_record(row, f"{origin}, {place}", domain) for place, row in rows]
    if not records:
        raise ShardError(f"{origin}: holds 0 records; a shard needs at least one")
    return records


def write_records(records: Iterable[Record], file: Path) -> None:
    """Write `records` to `file` as JSON Lines, readable by the owner alone."""
    file.touch(mode=0o600)
    file.chmod(0o600)  # one that was there keeps its mode otherwise
    with file.open("w", encoding="utf-8") as stream:
        for record in records:
            stream.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")


def decode(content: bytes, file: Path | Traversable) -> str:
    """Return the text of `file`, whose bytes are `content`, without a byte-order mark.

    Raises
    ------
    ShardError
        If it is not UTF-8; names the line.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        read = error.object  # without the byte-order mark, if there was one
        line = read.count(b"\n", 0, error.start) + 1
        raise ShardError(
            f"{file}, line {line}: byte {read[error.start]:#04x} is not UTF-8; convert the file to UTF-8"
        ) from error


def _text_rows(suffix: str, text: str, file: Path | Traversable) -> Iterator[Row]:
    return {".jsonl": json_lines, ".json": _json, ".csv": _csv}[suffix](text, file)


def json_lines(text: str, file: Path | Traversable) -> Iterator[Row]:
    """Yield the rows of a JSON Lines file, but for empty lines; see `json_row`."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", json_row(line, f"{file}, line {number}")


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


def _json(text: str, file: Path | Traversable) -> Iterator[Row]:
    if not text.strip():
        return
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise ShardError(f"{file}, line {line}: is not JSON: {_why(error)}") from error
    if not isinstance(rows, list):
        raise ShardError(f"{file}: holds a {type(rows).__name__}, not a list of records")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ShardError(f"{file}, record {number}: is a {type(row).__name__}, not an object with fields")
        yield f"record {number}", row


def _why(error: Exception) -> str:
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)


def _csv(text: str, file: Path | Traversable) -> Iterator[Row]:
    csv.field_size_limit(len(text) + 1)  # an answer may be longer than the 128 KiB that csv stops at
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = reader.fieldnames or []
        if len(set(names)) < len(names):
            raise ShardError(f"{file}, line 1: a field is named twice: {', '.join(names)}")
        for row in reader:
            if None in row:
                raise ShardError(f"{file}, line {reader.line_num}: has more fields than the header names")
            yield f"line {reader.line_num}", {key: value for key, value in row.items() if value is not None}
    except csv.Error as error:
        raise ShardError(f"{file}, line {reader.reader.line_num}: is not CSV: {error}") from error


def _parquet(content: bytes, file: Path | Traversable) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(pyarrow.BufferReader(content)).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ShardError(f"{file}: is not Parquet: {error}") from error
    for number, row in enumerate(rows, 1):
        yield f"row {number}", row


def to_record(row: Mapping[str, Any], place: str, domain: Domain) -> Record:
    """Turn the fields of one row into a record; see `read_records`.

    Raises
    ------
    ShardError
        Names `place` and the field.
    """
    if "text" in row and "label" in row and domain.sentiment_labels:
        return Record(domain.sentiment_instruction, _text(row, "text", place), _label(row["label"], place, domain))
    missing = [field for field in ("instruction", "output") if field not in row]
    if missing:
        schemas = "instruction, output and perhaps input"
        if domain.sentiment_labels:
            schemas += ", or text and label"
        found = ", ".join(map(str, row)) or "no fields"
        raise ShardError(f"{place}: field {missing[0]!r} is missing; a record holds {schemas}; found: {found}")
    asked = row["input"] if "input" in row and row["input"] is not None else ""
    _check_text(asked, "input", place)
    return Record(_text(row, "instruction", place), asked, _text(row, "output", place))


def _text(row: Mapping[str, Any], field: str, place: str) -> str:
    value: str = row[field]
    _check_text(value, field, place)
    if not value.strip():
        raise ShardError(f"{place}: field {field!r} is empty")
    return value


def _check_text(value: object, field: str, place: str) -> None:
    if not isinstance(value, str):
        raise ShardError(f"{place}: field {field!r} is a {type(value).__name__}, not text")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ShardError(f"{place}: field {field!r} holds half of a surrogate pair, which is no character")


def _label(value: object, place: str, domain: Domain) -> str:
    labels = domain.sentiment_labels
    if isinstance(value, str) and value.strip().lower() in labels:
        return value.strip().lower()
    try:
        return labels[range(len(labels)).index(int(str(value)))]
    except ValueError:
        allowed = ", ".join(f"{number} ({word})" for number, word in enumerate(labels))
        raise ShardError(f"{place}: field 'label' is {value!r}; allowed: {allowed}") from None
