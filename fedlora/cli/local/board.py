"""The board: a file that says what of a federation runs on this machine, and a lock that says whether it is true."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from fedlora.errors import AlreadyUpError, ConfigurationError

__all__ = ["Board", "PartState", "Stage", "Status"]

LOCK_SECONDS = 0.5  # somebody who only looks holds the lock for a moment


class Stage(StrEnum):
    """How far a federation's processes are."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"
    DOWN = "down"


@dataclass(frozen=True)
class PartState:
    """A part on the board.

    Attributes
    ----------
    name : str
        Name of the part.
    pid : int
        Its process; 0 while it waits to be started again.
    since : float
        When it was started last, in seconds since 1970.
    restarts : int
        How often it was started again.
    ending : str
        How it ended last; empty if it never did.
    log : str
        The file of its output.
    """

    name: str
    pid: int
    since: float
    restarts: int
    ending: str
    log: str


@dataclass(frozen=True)
class Status:
    """What the board says.

    Attributes
    ----------
    stage : Stage
        How far the federation is; `Stage.DOWN` if nothing runs, whatever the file says.
    supervisor : int
        The supervisor's process.
    step : str
        What is being waited for while it starts.
    error, reason : str
        Name and text of the error that it failed with.
    parts : tuple of PartState
        The parts in the order in which they were started.
    """

    stage: Stage = Stage.DOWN
    supervisor: int = 0
    step: str = ""
    error: str = ""
    reason: str = ""
    parts: tuple[PartState, ...] = ()


class Board:
    """The board of the federation whose state lies in a folder.

    Parameters
    ----------
    state : Path
        The folder.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self.file = state / "up.json"
        self.lock = state / "up.lock"
        self.logs = state / "logs"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the board as its supervisor.

        Raises
        ------
        AlreadyUpError
            If another process does.
        ConfigurationError
            If the folder cannot be written.
        """
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            lock = self.lock.open("a")
        except OSError as error:
            raise ConfigurationError(f"{self.state} cannot be written: {error.strerror}") from error
        with lock:
            end = time.monotonic() + LOCK_SECONDS
            while not _taken(lock.fileno()):
                if time.monotonic() > end:
                    raise AlreadyUpError(
                        f"processes of the federation in {self.state} run already, under process "
                        f"{self._said().supervisor}; see them with fedlora status, stop them with fedlora down"
                    )
                time.sleep(0.05)
            yield

    def write(self, status: Status) -> None:
        """Put `status` on the board, in one step."""
        unfinished = self.file.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(asdict(status), indent=2) + "\n", encoding="utf-8")
        unfinished.replace(self.file)

    def read(self) -> Status:
        """Return what holds now; of a supervisor that is gone, what it failed with."""
        said = self._said()
        return said if self.is_held() or said.stage is Stage.FAILED else Status()

    def is_held(self) -> bool:
        """Whether a supervisor holds the board."""
        if not self.lock.exists():
            return False
        with self.lock.open("a") as lock:
            return not _taken(lock.fileno())

    def _said(self) -> Status:
        try:
            text = self.file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Status()
        said = json.loads(text)
        parts = tuple(PartState(**part) for part in said.pop("parts"))
        return Status(Stage(said.pop("stage")), parts=parts, **said)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
