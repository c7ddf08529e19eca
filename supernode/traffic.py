"""What passed at this node: counted in one file of its state folder, over restarts and kills.

Two processes count. Flower's supernode counts what its connections carry, and knows a run by Flower's id alone; the
worker counts what the messages hold, and learns from them which run of the kit's a Flower id belongs to.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from fedlora.codecs import CODECS
from fedlora.metrics import Sample
from fedlora.names import is_name
from fedlora.wire import Payload

__all__ = ["FILE", "Direction", "Traffic", "Wire"]

FILE = "traffic.sqlite"
MOST_RUNS = 20  # of which is told; the file keeps all
BUSY_SECONDS = 10.0
Direction = Literal["down", "up"]
Result = TypeVar("Result")
log = logging.getLogger("fedlora.supernode")

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (flower_run TEXT NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counts (
    flower_run TEXT NOT NULL, metric TEXT NOT NULL, direction TEXT NOT NULL, codec TEXT NOT NULL,
    value NUMERIC NOT NULL, PRIMARY KEY (flower_run, metric, direction, codec)
) WITHOUT ROWID;
"""
# A run that nobody has named yet goes by Flower's id; what is no run's stands under "".
TOLD = """
SELECT COALESCE(NULLIF(name, ''), counts.flower_run) AS run, metric, direction, codec, SUM(value)
FROM counts LEFT JOIN runs ON runs.flower_run = counts.flower_run
WHERE counts.flower_run = '' OR run IN ({})
GROUP BY run, metric, direction, codec ORDER BY MIN(runs.rowid), metric, direction, codec
"""
NEWEST = "SELECT COALESCE(NULLIF(name, ''), flower_run) AS run FROM runs GROUP BY run ORDER BY MAX(rowid) DESC LIMIT ?"
ONE = "SELECT COALESCE(NULLIF(name, ''), flower_run) FROM runs WHERE flower_run = ?"


class Wire(NamedTuple):
    """Bytes of TCP streams: received, sent, and how many of these were sent again."""

    down: int = 0
    up: int = 0
    again: int = 0


class _Count(NamedTuple):
    metric: str
    value: float
    direction: str = ""
    codec: str = ""


class Traffic:
    """What passed at the node with the state folder `state`.

    Nothing here raises where the disk does not take it: a count is never worth an answer. The log says so, once.

    Parameters
    ----------
    state : Path
        The node's state folder.
    """

    def __init__(self, state: Path) -> None:
        self.file = state / FILE
        self._database: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._failed = False

    def receive(self, flower_run: int, name: object, payload: Payload | None) -> None:
        """Count a message to the site; `name` is what it says the run is called, if it says so."""
        self._add(flower_run, _message("down", payload), name if isinstance(name, str) and is_name(name) else "")

    def answer(self, flower_run: int, payload: Payload | None) -> None:
        """Count an answer."""
        self._add(flower_run, _message("up", payload))

    def carry(self, flower_run: int | None, wire: Wire) -> None:
        """Count bytes that connections carried, for a run or for none."""
        metric = "fedlora_idle_wire_bytes_total" if flower_run is None else "fedlora_wire_bytes_total"
        self._add(flower_run, (_Count(metric, wire.down, "down"), _Count(metric, wire.up, "up")))
        self._add(None, (_Count("fedlora_retransmitted_bytes_total", wire.again),))  # also 0: known, not absent

    def transfer(self, flower_run: int, down: int, up: int) -> None:
        """Count bytes of a run's messages with their envelopes, as Flower counts them."""
        metric = "fedlora_message_bytes_total"
        self._add(flower_run, [_Count(metric, size, way) for way, size in (("down", down), ("up", up)) if size])

    def spend(self, flower_run: int, direction: Direction, seconds: float) -> None:
        """Count the time in which a run's messages were carried."""
        self._add(flower_run, [_Count("fedlora_transfer_seconds_total", seconds, direction)])

    def call(self, flower_run: int, calls: int) -> None:
        """Count remote calls for a run."""
        self._add(flower_run, (_Count("fedlora_remote_calls_total", calls),))

    def samples(self, flower_run: int | None = None) -> list[Sample]:
        """Return what was counted: of the newest runs, or of the one that a Flower run belongs to, and of no run."""
        which, values = (NEWEST, (MOST_RUNS,)) if flower_run is None else (ONE, (str(flower_run),))
        rows = self._do(lambda database: database.execute(TOLD.format(which), values).fetchall())
        return [_sample(*row) for row in rows or ()]

    def close(self) -> None:
        """Close the file; it opens again with the next count."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = None

    def _add(self, flower_run: int | None, counts: Iterable[_Count], name: str = "") -> None:
        run = "" if flower_run is None else str(flower_run)

        def add(database: sqlite3.Connection) -> None:
            if run:
                database.execute("INSERT INTO runs VALUES (?, ?) ON CONFLICT DO NOTHING", (run, name))
                database.execute("UPDATE runs SET name = ? WHERE flower_run = ? AND name = ''", (name, run))
            database.executemany(
                "INSERT INTO counts (metric, value, direction, codec, flower_run) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET value = value + excluded.value",
                [(*count, run) for count in counts],
            )

        self._do(add)

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """Do all of `work` or nothing; None if the file does not take it."""
        with self._lock:
            try:
                if self._database is None:
                    self._database = _open(self.file)
                with self._database:
                    return work(self._database)
            except sqlite3.Error as error:
                if not self._failed:
                    log.error("%s: what passes at this node is not counted: %s", self.file, error)
                self._failed = True
                return None


def _open(file: Path) -> sqlite3.Connection:
    """Open the file. SQLite waits for most locks itself; while another process opens or closes it, it does not."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        database = sqlite3.connect(file, timeout=BUSY_SECONDS, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")  # what a process has committed outlives it, if not power
            database.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            database.close()
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return database


def _message(direction: Direction, payload: Payload | None) -> list[_Count]:
    counts = [_Count("fedlora_messages_total", 1, direction)]
    if payload is not None:
        codec = payload.header.codec if payload.header.codec in CODECS else "other"  # whoever sent it wrote that
        counts.append(_Count("fedlora_payload_bytes_total", payload.size, direction, codec))
    return counts


def _sample(run: str, metric: str, direction: str, codec: str, value: float) -> Sample:
    labels = {"run": run, "direction": direction, "codec": codec}
    return Sample(metric, float(value), {label: text for label, text in labels.items() if text})
