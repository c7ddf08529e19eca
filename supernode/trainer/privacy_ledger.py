"""What a site's updates have told of its shard: every update that left, on the disk, before it leaves."""

import math
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fedlora.errors import TrainerError
from supernode.trainer.accountant import epsilon_of, update_distance

__all__ = ["FILE", "PrivacyLedger", "Spent"]

FILE = "privacy.sqlite"
BUSY_SECONDS = 10.0
MOST_RUNS = 20  # of which is told; the file keeps all
Result = TypeVar("Result")

SCHEMA = """
CREATE TABLE IF NOT EXISTS updates (
    run TEXT NOT NULL, epoch INTEGER NOT NULL, round INTEGER NOT NULL, clip_norm REAL NOT NULL,
    noise_multiplier REAL NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS updates_of_runs ON updates (run);
"""
# By kinds of noise, of which there are few; `?1` is a run, or NULL for all of them.
SPENT = """
SELECT noise_multiplier, COUNT(*) FROM updates WHERE ?1 IS NULL OR run = ?1 GROUP BY noise_multiplier
"""
NEWEST = "SELECT run FROM updates GROUP BY run ORDER BY MAX(rowid) DESC LIMIT ?"


@dataclass(frozen=True)
class Spent:
    """What updates have told together.

    Attributes
    ----------
    updates : int
        How many left.
    bare : int
        How many of them without noise: no epsilon covers those.
    distance : float
        Of the others together, as `supernode.trainer.accountant` has it.
    """

    updates: int
    bare: int
    distance: float

    def epsilon(self, delta: float) -> float:
        """Return the epsilon of the updates with noise."""
        return epsilon_of(self.distance, delta)

    def another(self, noise_multiplier: float) -> "Spent":
        """Return what would be spent with one more update, of this noise."""
        squares = self.distance**2 + update_distance(noise_multiplier) ** 2
        return Spent(self.updates + 1, self.bare, math.sqrt(squares))


class PrivacyLedger:
    """The updates that have left the trainer with this state folder, over all runs, restarts and kills.

    Parameters
    ----------
    directory : Path
        The state folder; whoever removes the file in it makes the trainer forget.

    Raises
    ------
    TrainerError
        If the file cannot be read or written, here and below: until it can, no update leaves.
    """

    def __init__(self, directory: Path) -> None:
        self.file = directory / FILE
        self._do(lambda database: database.executescript(SCHEMA))

    def spend(self, run: str, epoch: int, round_number: int, *, clip_norm: float, noise_multiplier: float) -> None:
        """Note that an update is about to leave; it is on the disk when this returns."""
        row = (run, epoch, round_number, clip_norm, noise_multiplier, time.time())
        self._do(lambda database: database.execute("INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?)", row))

    def spent(self, run: str | None = None) -> Spent:
        """Return what was spent on a run, or on all."""
        rows = self._do(lambda database: database.execute(SPENT, (run,)).fetchall())
        with_noise = [(noise, count) for noise, count in rows if noise]
        squares = sum(count * update_distance(noise) ** 2 for noise, count in with_noise)
        updates = sum(count for _, count in rows)
        return Spent(updates, updates - sum(count for _, count in with_noise), math.sqrt(squares))

    def runs(self) -> list[str]:
        """Return the runs that had an update last, the newest first."""
        return [run for (run,) in self._do(lambda database: database.execute(NEWEST, (MOST_RUNS,)).fetchall())]

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            with closing(sqlite3.connect(self.file, timeout=BUSY_SECONDS)) as database, database:
                database.execute("PRAGMA synchronous = EXTRA")
                return work(database)
        except sqlite3.Error as error:
            raise TrainerError(f"the site's privacy ledger cannot be used, and no update leaves: {error}") from error
