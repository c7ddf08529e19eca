"""The ledger of a run: what happened in each attempt and round at each site. The one source of what is reported.

A SQLite file in the run's folder. Its writers are the run's ServerApp, of which a newer one replaces an older one, and
the keeper; readers may look at any time.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedlora.errors import ReplacedError, RunError
from fedlora.metrics.sample import read_samples
from fedlora.pki.trust import trusted
from superlink.ledger_rows import AttemptRow, Report, RoundRow, Spending, SubmissionRow, TurnRow
from superlink.migrations import MIGRATIONS

__all__ = ["AttemptRow", "Ledger", "Report", "RoundRow", "Spending", "SubmissionRow", "TurnRow"]

BUSY_SECONDS = 30.0


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

    def note_traffic(self, epoch: int, down: int, up: int, final: bool) -> None:
        """Note the bytes that Flower itself has counted for an attempt so far, and whether they are its last word."""
        self._write(
            "UPDATE submissions SET flower_bytes_down = ?, flower_bytes_up = ?, flower_final = ? WHERE epoch = ?",
            (down, up, int(final), epoch),
        )

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

    def forecast(self, epoch: int, size: int) -> None:
        """Note the payload that the whole run takes, as forecast in an attempt before its first round."""
        self._write("UPDATE attempts SET forecast_bytes = ? WHERE epoch = ?", (size, epoch))

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
                "tokens = ?, bytes_up = bytes_up + ?, figures = ? WHERE round = ? AND epoch = ? AND site = ?",
                (
                    *(turn.outcome, turn.reason, turn.examples, turn.loss, turn.round_trip_seconds),
                    *(turn.tokens, turn.bytes_up, json.dumps(dict(turn.figures))),
                    *(turn.round, turn.epoch, turn.site),
                ),
            )
            self._write_phases(turn.round, turn.epoch, turn.site, turn.phases)

    def note_findings(self, number: int, epoch: int, findings: Mapping[str, Mapping[str, float]]) -> None:
        """Note what the coordinator found of a round's updates, by site."""
        with self._transaction():
            for site, found in findings.items():
                self._write(
                    "UPDATE turns SET examined = ? WHERE round = ? AND epoch = ? AND site = ?",
                    (json.dumps(dict(found)), number, epoch, site),
                )

    def report(self, site: str, samples: Mapping[str, float], clock_skew: float | None) -> None:
        """Note what a site's node tells now, as `fedlora.metrics.sample.write_samples` gives it; its last is gone."""
        self._write(
            "INSERT INTO reports (site, at, clock_skew, samples) VALUES (?, ?, ?, ?) ON CONFLICT (site) DO UPDATE "
            "SET at = excluded.at, clock_skew = excluded.clock_skew, samples = excluded.samples",
            (site, time.time(), clock_skew, json.dumps(dict(samples))),
        )

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
        rows = self.read(
            "SELECT epoch, CAST(flower_run AS TEXT), started_at, seen_at, ended_at, outcome, reason, "
            "forecast_bytes FROM attempts ORDER BY epoch"
        )
        return [AttemptRow(row[0], int(row[1]), *row[2:]) for row in rows]

    def submissions(self) -> list[SubmissionRow]:
        """Return all submissions in order."""
        rows = self.read(
            "SELECT epoch, submitted_at, flower_run, flower_bytes_down, flower_bytes_up, flower_final "
            "FROM submissions ORDER BY epoch"
        )
        return [
            SubmissionRow(epoch, at, None if run is None else int(run), down, up, bool(final))
            for epoch, at, run, down, up, final in rows
        ]

    def rounds(self) -> list[RoundRow]:
        """Return all rounds in order; one that several attempts began stands once for each."""
        rows = self.read("SELECT number, epoch, started_at, ended_at, state FROM rounds ORDER BY number, epoch")
        phases = self._phases("site IS NULL")
        return [RoundRow(*(*row, phases.get((row[0], row[1], None), {}))) for row in rows]

    def turns(self) -> list[TurnRow]:
        """Return all turns, by round, epoch and site."""
        rows = self.read(
            "SELECT round, epoch, site, outcome, reason, tries, dropped, examples, loss, round_trip_seconds, "
            "tokens, bytes_down, bytes_up, figures, examined FROM turns ORDER BY round, epoch, site"
        )
        phases = self._phases("site IS NOT NULL")
        return [
            TurnRow(*(*row, phases.get((row[0], row[1], row[2]), {}), json.loads(figures), json.loads(examined)))
            for *row, figures, examined in rows
        ]

    def answered(self, number: int, epoch: int) -> list[str]:
        """Return the sites whose updates are in a round, by name."""
        rows = self.read(
            "SELECT site FROM turns WHERE round = ? AND epoch = ? AND outcome = 'answered' ORDER BY site",
            (number, epoch),
        )
        return [site for (site,) in rows]

    def counted(self) -> dict[str, int]:
        """Return the last aggregated round that has an update of each site, by site."""
        rows = self.read(
            "SELECT site, MAX(round) FROM turns JOIN rounds ON number = round AND rounds.epoch = turns.epoch "
            "WHERE outcome = 'answered' AND state = 'aggregated' GROUP BY site"
        )
        return dict(rows)

    def reports(self) -> dict[str, Report]:
        """Return what each site's node told last, by site; a site whose node told nothing yet is not there."""
        rows = self.read("SELECT site, at, clock_skew, samples FROM reports ORDER BY site")
        return {
            site: Report(site, at, skew, tuple(read_samples(json.loads(samples)))) for site, at, skew, samples in rows
        }

    def trust(self) -> dict[str, tuple[float, tuple[str, ...]]]:
        """Return, by site, when its node told last, and the SHA-256 of the CA certificates that it trusts."""
        rows = self.read("SELECT site, at, samples FROM reports ORDER BY site")
        return {site: (at, tuple(sorted(trusted(json.loads(samples)).values()))) for site, at, samples in rows}

    def version(self) -> int:
        """Return a number that is another one once somebody else has written since the last look."""
        return int(self.read("PRAGMA data_version")[0][0])

    def spending(self) -> Spending:
        """Return what the run has used so far."""
        ((payload, rounds, began, mean),) = self.read(
            "SELECT (SELECT COALESCE(SUM(bytes_down + bytes_up), 0) FROM turns), (SELECT COUNT(*) FROM rounds), "
            "(SELECT MIN(started_at) FROM attempts), "
            "(SELECT COALESCE(AVG(ended_at - started_at), 0.0) FROM rounds WHERE state = 'aggregated')"
        )
        return Spending(payload, rounds, 0.0 if began is None else max(0.0, time.time() - began), mean)

    def payload_bytes(self) -> int:
        """Return the payload bytes of the whole run so far, in both directions, all attempts."""
        return self.spending().bytes

    def _newest_epoch(self) -> int:
        return int(self.read("SELECT COALESCE(MAX(epoch), 0) FROM attempts")[0][0])

    def _phases(self, which: str) -> dict[tuple[int, int, str | None], dict[str, float]]:
        """Return seconds by phase for each round, epoch and site."""
        found: dict[tuple[int, int, str | None], dict[str, float]] = {}
        query = f"SELECT round, epoch, site, phase, seconds FROM phases WHERE {which} ORDER BY rowid"  # noqa: S608
        for number, epoch, site, phase, seconds in self.read(query):
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

    def read(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        """Return the rows of a query over the tables of `superlink.migrations`."""
        try:
            return self._execute(query, values).fetchall()
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
        version = self._schema()
        end = time.monotonic() + BUSY_SECONDS
        while readonly and version < len(MIGRATIONS) and time.monotonic() < end:
            time.sleep(0.05)  # its writer has made the file a moment ago and is about to fill it
            version = self._schema()
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
            for number in range(self._schema(), len(MIGRATIONS)):
                for statement in MIGRATIONS[number].split(";"):
                    self._execute(statement)
                self._execute(f"PRAGMA user_version = {number + 1}")

    def _schema(self) -> int:
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
