"""Records: what a row of a data file says, and writing them."""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from fedlora.domains import Domain
from fedlora.errors import ShardError
from fedlora.log import printable
from fedlora.shards.rows import Row, iterate_rows

__all__ = ["Fault", "Record", "make_record", "read_records", "record_line", "to_record", "to_records", "write_records"]

BLANK = {"Cc", "Cf", "Zl", "Zp", "Zs"}  # Unicode's categories of characters that nobody sees


@dataclass(frozen=True)
class Record:
    """One example: what is asked, what it is asked about, and the answer."""

    instruction: str
    input: str
    output: str


class Fault(ValueError):  # noqa: N818 - no error yet: a row may be left out for it
    """Why a row is no record.

    Attributes
    ----------
    kind : str
        The field of `LeftOut` that counts such rows.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def read_records(file: Path | Traversable, domain: Domain) -> list[Record]:
    """Read every record of `file`.

    Parameters
    ----------
    file : Path or Traversable
        See `iterate_rows`. Each row holds ``instruction``, ``output`` and, if it likes, ``input``; or, in a domain with
        sentiment labels, ``text`` and ``label`` (a number or its word).
    domain : Domain
        Decides what ``text`` and ``label`` mean.

    Raises
    ------
    ShardError
        If the file cannot be read, or at the first row that is no record: names the file, the line and the field.
    """
    return list(to_records(iterate_rows(file), str(file), domain))


def to_records(rows: Iterable[Row], origin: str, domain: Domain) -> Iterator[Record]:
    """Turn rows of `origin`, a name for people, into records, one after the other; see `read_records`."""
    empty = True
    for place, row in rows:
        yield to_record(row, f"{origin}, {place}", domain)
        empty = False
    if empty:
        raise ShardError(f"{origin}: holds 0 records; a shard needs at least one")


def to_record(row: Mapping[str, Any], place: str, domain: Domain) -> Record:
    """Turn the fields of one row into a record; see `read_records`.

    Raises
    ------
    ShardError
        Names `place` and the field.
    """
    try:
        return make_record(row, domain)
    except Fault as fault:
        raise ShardError(f"{place}: {fault}") from None


def make_record(row: Mapping[str, Any], domain: Domain) -> Record:
    """Turn the fields of one row into a record; see `read_records`.

    Raises
    ------
    Fault
        Names the field.
    """
    if "text" in row and "label" in row and domain.sentiment_labels:
        return Record(domain.sentiment_instruction, _text(row, "text"), _label(row["label"], domain))
    missing = [field for field in ("instruction", "output") if field not in row]
    if missing:
        schemas = "instruction, output and perhaps input"
        if domain.sentiment_labels:
            schemas += ", or text and label"
        found = printable(", ".join(map(str, row))) or "no fields"
        raise Fault("missing", f"field {missing[0]!r} is missing; a record holds {schemas}; found: {found}")
    asked = row["input"] if "input" in row and row["input"] is not None else ""
    _check_text(asked, "input")
    return Record(_text(row, "instruction"), asked, _text(row, "output"))


def record_line(record: Record) -> bytes:
    """Return the line of JSON Lines that holds `record`."""
    return json.dumps(vars(record), ensure_ascii=False).encode() + b"\n"


def write_records(records: Iterable[Record], file: Path) -> None:
    """Write `records` to `file` as JSON Lines, readable by the owner alone."""
    file.touch(mode=0o600)
    file.chmod(0o600)  # one that was there keeps its mode otherwise
    with file.open("wb") as stream:
        stream.writelines(map(record_line, records))


def _text(row: Mapping[str, Any], field: str) -> str:
    value: str = row[field]
    _check_text(value, field)
    if all(unicodedata.category(letter) in BLANK for letter in value):
        raise Fault("empty", f"field {field!r} is empty")
    return value


def _check_text(value: object, field: str) -> None:
    if not isinstance(value, str):
        raise Fault("no_text", f"field {field!r} is a {type(value).__name__}, not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Fault("no_text", f"field {field!r} holds half of a surrogate pair, which is no character") from None


def _label(value: object, domain: Domain) -> str:
    labels = domain.sentiment_labels
    if isinstance(value, str) and value.strip().lower() in labels:
        return value.strip().lower()
    try:
        return labels[range(len(labels)).index(int(str(value)))]
    except ValueError:
        allowed = ", ".join(f"{number} ({word})" for number, word in enumerate(labels))
        raise Fault("label", f"field 'label' is {value!r}; allowed: {allowed}") from None
