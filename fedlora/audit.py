"""The audit log: who did what, in JSON Lines to which lines are only ever added, each with the hash of the one before.

There is one at each end: the coordinator's among its runs, a site's in its supernode's state. A line says its number,
when, by whom, what, and about what; then the SHA-256 of the line before it (``before``) and that of itself up to there
(``seal``). So a line that was changed, removed or put in between shows, and a kept hash of the last line, the *head*,
shows that the end was cut off; see `verify`. It holds names, numbers and hashes: no content of a shard, and no secret.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from fedlora.errors import AuditError
from fedlora.folders import make_durable
from fedlora.log import printable

__all__ = ["CA", "FILE", "NOTHING", "Audit", "Entry", "Event", "Verdict", "person", "read_entries", "verify"]

FILE = "audit.jsonl"
CA = "the CA's certificate"  # of which a key's change is noted, at both ends
NOTHING = "0" * 64  # what the first line has for the hash of the one before
MOST_LETTERS = 500  # of a text in an entry: reasons come from other machines
MOST_LISTED = 200
TAIL = 65_536
log = logging.getLogger("fedlora.audit")
Fact = str | int | float | Sequence[str]


class Event(StrEnum):
    """What is noted."""

    NODE_REGISTERED = "node.registered"
    NODE_UNREGISTERED = "node.unregistered"
    RUN_SUBMITTED = "run.submitted"
    RUN_STOPPED = "run.stopped"
    RUN_RESUMED = "run.resumed"
    RUN_GIVEN_UP = "run.given-up"
    ATTEMPT_BEGUN = "attempt.begun"
    ATTEMPT_ENDED = "attempt.ended"
    ROUND_AGGREGATED = "round.aggregated"
    SITE_REFUSED = "site.refused"
    UPDATE_REFUSED = "update.refused"
    RUN_ADMITTED = "run.admitted"
    RUN_OPENED = "run.opened"
    RUN_REFUSED = "run.refused"
    ROUND_TRAINED = "round.trained"
    ROUND_REFUSED = "round.refused"
    SITE_PAUSED = "site.paused"
    SITE_RESUMED = "site.resumed"
    SITE_LEFT = "site.left"
    POLICY_CHANGED = "policy.changed"
    KEY_CHANGED = "key.changed"
    BACKUP_MADE = "backup.made"
    BACKUP_RESTORED = "backup.restored"
    LOG_MENDED = "log.mended"


@dataclass(frozen=True)
class Entry:
    """A line of an audit log.

    Attributes
    ----------
    number : int
        Its place, from 1.
    at : str
        When, in ISO 8601, UTC.
    by : str
        Who: ``user NAME``, as the operating system knows them, or a part of the kit.
    what : str
        A word of `Event`.
    about : mapping
        Names, numbers and hashes.
    before : str
        SHA-256 of the line before, in hexadecimal.
    """

    number: int
    at: str
    by: str
    what: str
    about: Mapping[str, Any]
    before: str


@dataclass(frozen=True)
class Verdict:
    """What came of verifying a log.

    Attributes
    ----------
    lines : int
        How many lines stand there; where there is a problem, how many before it are good.
    head : str
        SHA-256 of the last of them: to be kept elsewhere.
    line : int
        The first line with which something is wrong; 0 if there is none.
    problem : str
        What is wrong with it; empty if nothing is.
    """

    lines: int
    head: str
    line: int = 0
    problem: str = ""


class Audit:
    """Adds to the log in `file`. Any number of processes may, at the same time.

    Parameters
    ----------
    file : Path
        The log; made by the first line.
    by : str
        Who adds.
    """

    def __init__(self, file: Path, by: str) -> None:
        self.file = file
        self.by = by

    def note(self, what: Event, **about: Fact) -> None:
        """Add a line; it is on the disk when this returns.

        Raises
        ------
        AuditError
            If the disk does not take it.
        """
        try:
            with _locked(self.file) as stream:
                number, before = _end(stream, self.by)
                _write(stream, _line(number, self.by, what, about, before))
                os.fsync(stream.fileno())
        except OSError as error:
            raise AuditError(f"the audit log {self.file} cannot be written: {error.strerror}; make room") from error

    def note_if_possible(self, what: Event, **about: Fact) -> None:
        """Add a line; if the disk does not take it, say so in the process's log, and let the work go on."""
        try:
            self.note(what, **about)
        except AuditError as error:
            log.error("%s; not noted: %s %s", error, what, about)

    def note_change(self, what: Event, of: str, sha256: str) -> None:
        """Add a line if what `of` names had another hash, or none, when it was noted last."""
        try:
            known = [
                str(entry.about.get("sha256"))
                for entry in self.entries()
                if (entry.what, entry.about.get("of")) == (what, of)
            ]
        except AuditError as error:
            log.error("%s; it is noted again what %s is", error, of)
            known = []
        if known[-1:] != [sha256]:
            self.note_if_possible(what, of=of, sha256=sha256, before=known[-1] if known else "none")

    def entries(self) -> list[Entry]:
        """Return what stands there; empty if there is no log yet. See `read_entries`."""
        return list(read_entries(self.file)) if self.file.exists() else []


def person() -> str:
    """Return who runs this process, as the operating system knows them."""
    try:
        return f"user {pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # a container's user may have no name
        return f"user {os.getuid()}"


def read_entries(file: Path) -> Iterator[Entry]:
    """Yield the entries of a log, without asking whether they are as they were written; a torn last line is left out.

    Raises
    ------
    AuditError
        If the file cannot be read, or a line is no entry.
    """
    lines, _ = _lines(file)
    for number, line in enumerate(lines, start=1):
        try:
            yield _read(line)[0]
        except (ValueError, TypeError, KeyError) as error:
            raise AuditError(f"line {number} of {file} is no entry; see: fedlora audit verify {file}") from error


def verify(file: Path, head: str = "") -> Verdict:
    """Check every line of a log, and say what is wrong with the first that is not as it was written.

    Parameters
    ----------
    file : Path
        The log.
    head : str
        A head that was kept elsewhere: a line with this hash must be there. Without it, an end that was cut off after
        a whole line does not show, nor does a log that was made up from its first line on.

    Raises
    ------
    AuditError
        If the file cannot be read.
    """
    lines, torn = _lines(file)
    hashes = [NOTHING]
    for number, line in enumerate(lines, start=1):
        found = _problem(number, line, hashes, lines)
        if found:
            return Verdict(found[0] - 1, hashes[found[0] - 1], *found)
        hashes.append(_sha256(line))
    if torn:
        return Verdict(len(lines), hashes[-1], len(lines) + 1, "is cut off in the middle: it was written half")
    if head and head not in hashes[1:]:
        return Verdict(
            len(lines), hashes[-1], len(lines) + 1, f"has been cut off, or an earlier one exchanged: no line has {head}"
        )
    return Verdict(len(lines), hashes[-1])


def _problem(number: int, line: bytes, hashes: list[str], lines: list[bytes]) -> tuple[int, str] | None:
    """Return the first line that is wrong, seen from line `number`, and what is wrong; None if nothing is."""
    try:
        entry, sealed = _read(line)
    except (ValueError, TypeError, KeyError):
        return number, "was changed: it is no entry"
    if not sealed:
        return number, "was changed: its hash is another"
    if entry.number > number:
        return number, f"was removed, or more: the next that is there has the number {entry.number}"
    if entry.number < number:
        twin = entry.number == number - 1 > 0 and entry.before == hashes[-2] and lines[number - 2] != line
        carries_on = number < len(lines) and _before(lines[number]) == _sha256(line)
        return (number - 1 if twin and carries_on else number), "was inserted: the log has another with its number"
    if entry.before != hashes[-1]:
        return max(number - 1, 1), "was changed: the line after it has the hash of another"
    return None


def _line(number: int, by: str, what: Event, about: Mapping[str, Fact], before: str) -> bytes:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    entry = Entry(number, at, by, str(what), {name: _fact(value) for name, value in about.items()}, before)
    return _sealed(json.dumps(asdict(entry))) + b"\n"


def _sealed(text: str) -> bytes:
    """Return the line of an entry: its JSON, with the hash of that as its last field."""
    return f'{text[:-1]}, "seal": "{_sha256(text.encode())}"}}'.encode()


def _fact(value: Fact) -> Any:
    if isinstance(value, str):
        return printable(value)[:MOST_LETTERS]
    if isinstance(value, int | float):
        return value
    return [_fact(one) for one in list(value)[:MOST_LISTED]]


def _read(line: bytes) -> tuple[Entry, bool]:
    """Return an entry, and whether its seal is whole; raises ValueError, TypeError or KeyError if it is none."""
    fields = json.loads(line)
    fields.pop("seal")
    entry = Entry(**fields)
    if not isinstance(entry.number, int) or not isinstance(entry.about, dict):
        raise TypeError("number or about")
    return entry, line == _sealed(json.dumps(asdict(entry)))


def _before(line: bytes) -> str:
    try:
        return _read(line)[0].before
    except (ValueError, TypeError, KeyError):
        return ""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _lines(file: Path) -> tuple[list[bytes], bytes]:
    """Return the whole lines of a log, and what stands after the last of them."""
    try:
        with file.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)  # not while a line is being written
            *lines, torn = stream.read().split(b"\n")
    except OSError as error:
        raise AuditError(f"the audit log {file} cannot be read: {error.strerror}") from error
    return lines, torn


@contextmanager
def _locked(file: Path) -> Iterator[BinaryIO]:
    """Open a log to add to it, alone; it is made if it is not there."""
    new = not file.exists()
    if new:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        if new:
            make_durable(file.parent)
        yield stream


def _end(stream: BinaryIO, by: str) -> tuple[int, str]:
    """Return the number of the next line, and the hash of the last; what a process that was killed left is mended."""
    last, torn = _tail(stream)
    if torn and _is_entry(torn):  # only its line break is missing
        _write(stream, b"\n")
        return _read(torn)[0].number + 1, _sha256(torn)
    number, before = _after(stream, last)
    if torn:
        stream.truncate(stream.seek(0, os.SEEK_END) - len(torn))
        mended = _line(number, by, Event.LOG_MENDED, {"bytes": len(torn), "sha256": _sha256(torn)}, before)
        _write(stream, mended)
        return number + 1, _sha256(mended[:-1])
    return number, before


def _write(stream: BinaryIO, content: bytes) -> None:
    if stream.write(content) < len(content):  # what has got there is mended by whoever comes next
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _tail(stream: BinaryIO) -> tuple[bytes, bytes]:
    """Return the last whole line, and what stands after it."""
    size = stream.seek(0, os.SEEK_END)
    length = min(TAIL, size)
    while True:
        stream.seek(size - length)
        parts = stream.read(length).split(b"\n")
        if len(parts) > 2 or length == size:
            return (parts[-2] if len(parts) > 1 else b""), parts[-1]
        length = min(2 * length, size)


def _after(stream: BinaryIO, last: bytes) -> tuple[int, str]:
    """Return number and hash for the line after `last`; the log also goes on after one that somebody has spoilt."""
    if not last:
        return 1, NOTHING
    if _is_entry(last):
        return _read(last)[0].number + 1, _sha256(last)
    stream.seek(0)
    return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(TAIL), b"")) + 1, _sha256(last)


def _is_entry(line: bytes) -> bool:
    try:
        return _read(line)[1]
    except (ValueError, TypeError, KeyError):
        return False
