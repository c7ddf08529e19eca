"""The ledger of a run: what happened in each attempt and round at each site. The one source of what is reported.

A SQLite file in the run's folder. One writer, the run's ServerApp; readers may look at any time.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedlora.errors import RunError

__all__ = ["Ledger", "RoundRow", "TurnRow"]

# Each entry brings the schema from its number to the next; none is ever changed once it is released.
MIGRATIONS = (
    """
    CREATE TABLE attempts (
        epoch INTEGER PRIMARY KEY, flower_run TEXT NOT NULL, started_at REAL NOT NULL,
        ended_at REAL, outcome TEXT NOT NULL DEFAULT 'running', reason TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE TABLE rounds (
        number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL REFERENCES attempts, started_at REAL NOT NULL,
        ended_at REAL, state TEXT NOT NULL DEFAULT 'training'
    ) STRICT;
    CREATE TABLE turns (
        round INTEGER NOT NULL REFERENCES rounds, site TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT 'asked',
        reason TEXT NOT NULL DEFAULT '', examples INTEGER NOT NULL DEFAULT 0, loss REAL,
        train_seconds REAL, round_trip_seconds REAL, tokens INTEGER,
        bytes_down INTEGER NOT NULL, bytes_up INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (round, site)
    ) STRICT;
    """,
)


@dataclass(frozen=True)
class RoundRow:
    """A round: ``training``, ``aggregated`` or ``failed``; times in seconds since 1970."""

    number: int
    epoch: int
    started_at: float
    ended_at: float | None
    state: str


@dataclass(frozen=True)
class TurnRow:
    """A site's turn in a round.

    Attributes
    ----------
    outcome : str
        ``asked``, ``answered``, ``refused`` (by the site, or its update by us), ``failed`` or ``late``.
    examples : int
        Weight of its update.
    loss : float or None
        Mean over the round, in nats for each answer token.
    train_seconds, round_trip_seconds : float or None
        Time in the trainer, and from sending the adapter to holding the update.
    tokens : int or None
        Tokens trained on.
    bytes_down, bytes_up : int
        Payload: headers and blocks, without envelope and TLS.
    """

    round: int
    site: str
    outcome: str
    reason: str
    examples: int
    loss: float | None
    train_seconds: float | None
    round_trip_seconds: float | None
    tokens: int | None
    bytes_down: int
    bytes_up: int


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
            self._database = sqlite3.connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True, timeout=30)
            self._database.isolation_level = None
            if not readonly:
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = FULL")
            self._migrate(readonly)
        except sqlite3.Error as error:
            raise RunError(f"the ledger {file} cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def start_attempt(self, epoch: int, flower_run: int) -> None:
        """Note that an attempt begins."""
        self._database.execute(
            "INSERT INTO attempts (epoch, flower_run, started_at) VALUES (?, ?, ?)",
            (epoch, str(flower_run), time.time()),
        )

    def end_attempt(self, epoch: int, outcome: str, reason: str = "") -> None:
        """Note that an attempt has ended: ``completed`` or ``failed``."""
        self._database.execute(
            "UPDATE attempts SET ended_at = ?, outcome = ?, reason = ? WHERE epoch = ?",
            (time.time(), outcome, reason, epoch),
        )

    def start_round(self, number: int, epoch: int, bytes_down: dict[str, int]) -> None:
        """Note that a round begins, with the payload bytes that go to each site."""
        with self._transaction():
            self._database.execute(
                "INSERT INTO rounds (number, epoch, started_at) VALUES (?, ?, ?)",
                (number, epoch, time.time()),
            )
            self._database.executemany(
                "INSERT INTO turns (round, site, bytes_down) VALUES (?, ?, ?)",
                [(number, site, size) for site, size in bytes_down.items()],
            )

    def end_turn(self, turn: TurnRow) -> None:
        """Note what became of a site's turn; what was sent to it stands already."""
        self._database.execute(
            "UPDATE turns SET outcome = ?, reason = ?, examples = ?, loss = ?, train_seconds = ?, "
            "round_trip_seconds = ?, tokens = ?, bytes_up = ? WHERE round = ? AND site = ?",
            (
                *(turn.outcome, turn.reason, turn.examples, turn.loss, turn.train_seconds),
                *(turn.round_trip_seconds, turn.tokens, turn.bytes_up, turn.round, turn.site),
            ),
        )

    def end_round(self, number: int, state: str) -> None:
        """Note that a round has ended."""
        self._database.execute(
            "UPDATE rounds SET ended_at = ?, state = ? WHERE number = ?", (time.time(), state, number)
        )

    def rounds(self) -> list[RoundRow]:
        """Return all rounds in order."""
        rows = self._database.execute("SELECT number, epoch, started_at, ended_at, state FROM rounds ORDER BY number")
        return [RoundRow(*row) for row in rows]

    def turns(self) -> list[TurnRow]:
        """Return all turns, by round and site."""
        rows = self._database.execute(
            "SELECT round, site, outcome, reason, examples, loss, train_seconds, round_trip_seconds, tokens, "
            "bytes_down, bytes_up FROM turns ORDER BY round, site"
        )
        return [TurnRow(*row) for row in rows]

    def _migrate(self, readonly: bool) -> None:
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise RunError(
                f"the ledger {self.file} has version {version}, this kit knows {len(MIGRATIONS)}: use the newer kit"
            )
        if readonly:
            return
        for number in range(version, len(MIGRATIONS)):
            script = f"BEGIN; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            self._database.executescript(script)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
