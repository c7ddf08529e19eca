"""The ledger of a run: what happened in each attempt and round at each site. The one source of what is reported.

A SQLite file in the run's folder. Its writers are the run's ServerApp, of which a newer one replaces an older one, and
the keeper; readers may look at any time.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlora.errors import ReplacedError, RunError
from fedlora.phases import Phase
from superlink.migrations import MIGRATIONS

__all__ = ["AttemptRow", "Ledger", "RoundRow", "Spending", "SubmissionRow", "TurnRow"]

BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class AttemptRow:
    """An attempt: ``running``, ``completed``, ``failed`` or ``lost``; times in seconds since 1970.

    `seen_at` is when its ServerApp last said that it lives.
    """

    epoch: int
    flower_run: int
    started_at: float
    seen_at: float
    ended_at: float | None
    outcome: str
    reason: str


@dataclass(frozen=True)
class SubmissionRow:
    """An attempt that was asked of Flower; `flower_run` is None until Flower has said under which id."""

    epoch: int
    submitted_at: float
    flower_run: int | None


@dataclass(frozen=True)
class RoundRow:
    """A round in an attempt; times in seconds since 1970.

    Its state is ``training``, ``aggregated``, ``failed``, or ``discarded``: aggregated once, and lost with its damaged
    checkpoint. Once it has ended, `phases` says what the coordinator's seconds went into.
    """

    number: int
    epoch: int
    started_at: float
    ended_at: float | None
    state: str
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TurnRow:
    """A site's turn in a round.

    Attributes
    ----------
    outcome : str
        ``asked``, ``answered``, ``refused`` (by the site, or its update by us), ``failed``, ``late`` (it was online
        and did not answer in time) or ``lost`` (it was offline at the end).
    tries : int
        How often the adapter was sent to it.
    dropped : int
        Answers that came twice, or too late to be needed.
    examples : int
        Weight of its update.
    loss : float or None
        Mean over the round, in nats for each answer token.
    round_trip_seconds : float or None
        Time from sending the adapter to holding the update.
    tokens : int or None
        Tokens trained on.
    bytes_down, bytes_up : int
        Payload: headers and blocks, without envelope and TLS.
    phases : mapping
        Seconds of the round trip by phase (`fedlora.phases.Phase`), as the site says; ``transfer`` is the rest.
    """

    round: int
    epoch: int
    site: str
    outcome: str
    reason: str = ""
    tries: int = 0
    dropped: int = 0
    examples: int = 0
    loss: float | None = None
    round_trip_seconds: float | None = None
    tokens: int | None = None
    bytes_down: int = 0
    bytes_up: int = 0
    phases: Mapping[str, float] = field(default_factory=dict)

    @property
    def train_seconds(self) -> float | None:
        """Seconds of training, as the site says."""
        return self.phases.get(Phase.TRAIN)


@dataclass(frozen=True)
class Spending:
    """What a run has used so far, in all its attempts: what its budget is held against.

    Attributes
    ----------
    bytes : int
        Payload, both directions.
    rounds : int
        Rounds begun.
    seconds : float
        Wall-clock since the first attempt began.
    round_seconds : float
        Mean of the aggregated rounds; 0 before the first.
    """

    bytes: int = 0
    rounds: int = 0
    seconds: float = 0.0
    round_seconds: float = 0.0


class Ledger:
    """The ledger in `file`.

    Parameters
    ----------
    file : Path
        ``ledger.sqlite`` in the run's folder.
    readonly : bool
        Whether to look only; the file must exist then.

    Raises
    ------
    RunError
        If the file cannot be opened, or was written by a newer kit.
    """

    def __init__(self, file: Path, *, readonly: bool = False) -> None:
        self.file = file
        try:
            mode = "ro" if readonly else "rwc"
            uri = f"{file.absolute().as_uri()}?mode={mode}"
            # More than one thread of a ServerApp writes, one after the other; SQLite serialises them.
            self._database = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)
            self._database.isolation_level = None
            if not readonly:
                self._execute("PRAGMA journal_mode = WAL")
                self._execute("PRAGMA synchronous = FULL")
                self._execute("PRAGMA foreign_keys = ON")
            self._migrate(readonly)
        except sqlite3.Error as error:
            raise RunError(f"the ledger {file} cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def start_submission(self, epoch: int) -> None:
        """Note, before Flower is asked, that an attempt will be."""
        self._write("INSERT INTO submissions (epoch, submitted_at) VALUES (?, ?)", (epoch, time.time()))

    def end_submission(self, epoch: int, flower_run: int) -> None:
        """Note under which id Flower has taken an attempt."""
        self._write("UPDATE submissions SET flower_run = ? WHERE epoch = ?", (str(flower_run), epoch))

    def start_attempt(self, epoch: int, flower_run: int) -> None:
        """Note that an attempt begins; those before it are over from now on.

        Raises
        ------
        ReplacedError
            If this epoch or a newer one has begun already.
        """
        with self._transaction():
            newest = self._newest_epoch()
            if epoch <= newest:
                raise ReplacedError(f"epoch {epoch} comes too late: epoch {newest} has begun")
            self._write(
                "UPDATE attempts SET outcome = 'lost', ended_at = ?, reason = ? WHERE outcome = 'running'",
                (time.time(), f"replaced by epoch {epoch}"),
            )
            self._write(
                "INSERT INTO attempts (epoch, flower_run, started_at, seen_at) VALUES (?, ?, ?, ?)",
                (epoch, str(flower_run), time.time(), time.time()),
            )

    def note_alive(self, epoch: int) -> None:
        """Note that the attempt's ServerApp lives."""
        self._write("UPDATE attempts SET seen_at = ? WHERE epoch = ?", (time.time(), epoch))

    def end_attempt(self, epoch: int, outcome: str, reason: str = "") -> None:
        """Note that a running attempt has ended: ``completed``, ``failed`` or ``lost``."""
        self._write(
            "UPDATE attempts SET ended_at = ?, outcome = ?, reason = ? WHERE epoch = ? AND outcome = 'running'",
            (time.time(), outcome, reason, epoch),
        )

    def start_round(self, number: int, epoch: int, sites: Iterable[str]) -> None:
        """Note that a round begins, and whose turn it is."""
        with self.fence(epoch):
            self._write("INSERT INTO rounds (number, epoch, started_at) VALUES (?, ?, ?)", (number, epoch, time.time()))
            for site in sites:
                self._write("INSERT INTO turns (round, epoch, site) VALUES (?, ?, ?)", (number, epoch, site))

    def sent(self, number: int, epoch: int, sites: Iterable[str], size: int) -> None:
        """Note that `size` payload bytes were sent to each of `sites`: once more, if they had been sent before."""
        with self._transaction():
            for site in sites:
                self._write(
                    "UPDATE turns SET tries = tries + 1, bytes_down = bytes_down + ? "
                    "WHERE round = ? AND epoch = ? AND site = ?",
                    (size, number, epoch, site),
                )

    def dropped(self, number: int, epoch: int, site: str, size: int) -> None:
        """Note that an answer of `size` payload bytes came which was not needed any more."""
        self._write(
            "UPDATE turns SET dropped = dropped + 1, bytes_up = bytes_up + ? "
            "WHERE round = ? AND epoch = ? AND site = ?",
            (size, number, epoch, site),
        )

    def end_turn(self, turn: TurnRow) -> None:
        """Note what became of a site's turn; what was sent to it, and how often, stands already."""
        with self._transaction():
            self._write(
                "UPDATE turns SET outcome = ?, reason = ?, examples = ?, loss = ?, round_trip_seconds = ?, "
                "tokens = ?, bytes_up = bytes_up + ? WHERE round = ? AND epoch = ? AND site = ?",
                (
                    *(turn.outcome, turn.reason, turn.examples, turn.loss, turn.round_trip_seconds),
                    *(turn.tokens, turn.bytes_up, turn.round, turn.epoch, turn.site),
                ),
            )
            self._write_phases(turn.round, turn.epoch, turn.site, turn.phases)

    def end_round(self, number: int, epoch: int, state: str, phases: Mapping[str, float] = {}) -> None:
        """Note that a round has ended and what its seconds went into; belongs inside `fence`.

        A round that is ``aggregated`` shares the fence with its checkpoint.
        """
        self._write(
            "UPDATE rounds SET ended_at = ?, state = ? WHERE number = ? AND epoch = ?",
            (time.time(), state, number, epoch),
        )
        self._write_phases(number, epoch, None, phases)

    def discard_rounds(self, after: int, epoch: int) -> None:
        """Note that the rounds aggregated after round `after` are lost with their checkpoints."""
        with self.fence(epoch):
            self._write("UPDATE rounds SET state = 'discarded' WHERE state = 'aggregated' AND number > ?", (after,))

    @contextmanager
    def fence(self, epoch: int) -> Iterator[None]:
        """Do all of the block or nothing, and only as the newest attempt; others wait meanwhile.

        Raises
        ------
        ReplacedError
            If a newer attempt has begun.
        """
        with self._transaction():
            newest = self._newest_epoch()
            if epoch != newest:
                raise ReplacedError(f"epoch {epoch} is over: epoch {newest} has begun")
            yield

    def attempts(self) -> list[AttemptRow]:
        """Return all attempts in order."""
        rows = self._read(
            "SELECT epoch, CAST(flower_run AS TEXT), started_at, seen_at, ended_at, outcome, reason "
            "FROM attempts ORDER BY epoch"
        )
        return [AttemptRow(row[0], int(row[1]), *row[2:]) for row in rows]

    def submissions(self) -> list[SubmissionRow]:
        """Return all submissions in order."""
        rows = self._read("SELECT epoch, submitted_at, flower_run FROM submissions ORDER BY epoch")
        return [SubmissionRow(row[0], row[1], None if row[2] is None else int(row[2])) for row in rows]

    def rounds(self) -> list[RoundRow]:
        """Return all rounds in order; one that several attempts began stands once for each."""
        rows = self._read("SELECT number, epoch, started_at, ended_at, state FROM rounds ORDER BY number, epoch")
        phases = self._phases("site IS NULL")
        return [RoundRow(*(*row, phases.get((row[0], row[1], None), {}))) for row in rows]

    def turns(self) -> list[TurnRow]:
        """Return all turns, by round, epoch and site."""
        rows = self._read(
            "SELECT round, epoch, site, outcome, reason, tries, dropped, examples, loss, round_trip_seconds, "
            "tokens, bytes_down, bytes_up FROM turns ORDER BY round, epoch, site"
        )
        phases = self._phases("site IS NOT NULL")
        return [TurnRow(*(*row, phases.get((row[0], row[1], row[2]), {}))) for row in rows]

    def spending(self) -> Spending:
        """Return what the run has used so far."""
        ((payload, rounds, began, mean),) = self._read(
            "SELECT (SELECT COALESCE(SUM(bytes_down + bytes_up), 0) FROM turns), (SELECT COUNT(*) FROM rounds), "
            "(SELECT MIN(started_at) FROM attempts), "
            "(SELECT COALESCE(AVG(ended_at - started_at), 0.0) FROM rounds WHERE state = 'aggregated')"
        )
        return Spending(payload, rounds, 0.0 if began is None else max(0.0, time.time() - began), mean)

    def payload_bytes(self) -> int:
        """Return the payload bytes of the whole run so far, in both directions, all attempts."""
        return self.spending().bytes

    def _newest_epoch(self) -> int:
        return int(self._read("SELECT COALESCE(MAX(epoch), 0) FROM attempts")[0][0])

    def _phases(self, which: str) -> dict[tuple[int, int, str | None], dict[str, float]]:
        """Return seconds by phase for each round, epoch and site."""
        found: dict[tuple[int, int, str | None], dict[str, float]] = {}
        query = f"SELECT round, epoch, site, phase, seconds FROM phases WHERE {which} ORDER BY rowid"  # noqa: S608
        for number, epoch, site, phase, seconds in self._read(query):
            found.setdefault((number, epoch, site), {})[phase] = seconds
        return found

    def _write_phases(self, number: int, epoch: int, site: str | None, phases: Mapping[str, float]) -> None:
        for phase, seconds in phases.items():
            self._write(
                "INSERT INTO phases (round, epoch, site, phase, seconds) VALUES (?, ?, ?, ?, ?)",
                (number, epoch, site, str(phase), seconds),
            )

    def _write(self, statement: str, values: Iterable[Any]) -> None:
        try:
            self._execute(statement, values)
        except sqlite3.OperationalError as error:
            raise RunError(f"the ledger {self.file} cannot be written: {error}") from error

    def _read(self, query: str) -> list[Any]:
        try:
            return self._execute(query).fetchall()
        except sqlite3.OperationalError as error:
            raise RunError(f"the ledger {self.file} cannot be read: {error}") from error

    def _execute(self, statement: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Run a statement. SQLite waits for most locks itself; while a file is opened or closed, it does not."""
        end = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self._database.execute(statement, tuple(values))
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # without the detail in the upper bits
                if not busy or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def _migrate(self, readonly: bool) -> None:
        version = self._version()
        end = time.monotonic() + BUSY_SECONDS
        while readonly and version < len(MIGRATIONS) and time.monotonic() < end:
            time.sleep(0.05)  # its writer has made the file a moment ago and is about to fill it
            version = self._version()
        if version > len(MIGRATIONS):
            raise RunError(
                f"the ledger {self.file} has version {version}, this kit knows {len(MIGRATIONS)}: use the newer kit"
            )
        if readonly and version < len(MIGRATIONS):
            raise RunError(
                f"the ledger {self.file} has version {version}, and nobody has brought it to {len(MIGRATIONS)}"
            )
        if readonly:
            return
        with self._transaction():  # of two that open a new file at once, the second finds the work done
            for number in range(self._version(), len(MIGRATIONS)):
                for statement in MIGRATIONS[number].split(";"):
                    self._execute(statement)
                self._execute(f"PRAGMA user_version = {number + 1}")

    def _version(self) -> int:
        return int(self._execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._write("BEGIN IMMEDIATE", ())
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._write("COMMIT", ())
