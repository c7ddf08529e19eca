"""The runs of a federation that is drilled: submitted and looked at, wherever their folder lies."""

import hashlib
import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from fedlora.cli.federation_file import read
from fedlora.errors import ProcessDiedError, by_name
from superlink.ledger import Ledger
from superlink.ledger_rows import AttemptRow, RoundRow, TurnRow
from superlink.run_config import RunConfig
from superlink.runs import RunFolder, RunState, run_folders, verdict

__all__ = ["ComposeRuns", "ProcessRuns", "Run", "Runs"]

WEIGHTS = "adapter_model.safetensors"
OBSERVER_ENDS_SECONDS = 30.0


@dataclass(frozen=True)
class Run:
    """A run as its ledger has it now."""

    state: RunState
    reason: str
    sites: tuple[str, ...]
    attempts: list[AttemptRow]
    rounds: list[RoundRow]
    turns: list[TurnRow]


class Runs(ABC):
    """Runs by name. A context manager."""

    @abstractmethod
    def submit(self, name: str, settings: list[str]) -> None:
        """Submit a run as the federation's file says, with settings KEY=VALUE that are other."""

    @abstractmethod
    def look(self, name: str) -> Run:
        """Return what is known of a run."""

    @abstractmethod
    def stop(self, name: str) -> None:
        """Stop a run if it was submitted and has not ended."""

    @abstractmethod
    def under_way(self) -> str:
        """Return the name of a run that has not ended; empty if all have."""

    @abstractmethod
    def adapter_sha256(self, name: str) -> str:
        """Return the SHA-256 of the values of a run's last aggregated adapter."""

    def __enter__(self) -> "Runs":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of what was taken hold of to see them."""


class ProcessRuns(Runs):
    """The runs in a folder on this machine.

    Parameters
    ----------
    file : Path
        The federation's file.
    settings : list of str
        Settings KEY=VALUE that are other than in the file.
    """

    def __init__(self, file: Path, settings: list[str]) -> None:
        self.file, self.settings = file, settings
        self.runs = read(file, settings).federation.coordinator.runs

    def submit(self, name: str, settings: list[str]) -> None:
        """Submit a run."""
        federation = read(self.file, [*self.settings, *settings]).federation
        RunFolder(self.runs, name).submit(RunConfig.of(federation, name), federation.run_recipe)

    def look(self, name: str) -> Run:
        """Return what is known of a run."""
        folder = RunFolder(self.runs, name)
        said, sites = verdict(folder), folder.config(epoch=1).site_names
        if not folder.ledger.exists():
            return Run(said.state, said.reason, sites, [], [], [])
        ledger = Ledger(folder.ledger, readonly=True)
        try:
            return Run(said.state, said.reason, sites, ledger.attempts(), ledger.rounds(), ledger.turns())
        finally:
            ledger.close()

    def stop(self, name: str) -> None:
        """Stop a run if it was submitted and has not ended."""
        folder = RunFolder(self.runs, name)
        if any(one.name == name for one in run_folders(self.runs)) and not verdict(folder).state.ended:
            folder.stop()

    def under_way(self) -> str:
        """Return the name of a run that has not ended."""
        return next((folder.name for folder in run_folders(self.runs) if not verdict(folder).state.ended), "")

    def adapter_sha256(self, name: str) -> str:
        """Return the hash of a run's last adapter."""
        return hashlib.sha256((RunFolder(self.runs, name).adapter / WEIGHTS).read_bytes()).hexdigest()


class ComposeRuns(Runs):
    """The runs in a volume of containers, seen by an observer in a container of its own, which no drill strikes.

    Parameters
    ----------
    command : sequence of str
        Begins to run ``fedlora.cli.drill.observer`` where the volume is.
    settings : list of str
        Settings KEY=VALUE that are other than in the federation's file.
    """

    def __init__(self, command: Sequence[str], settings: list[str]) -> None:
        self.settings = settings
        self._observer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def submit(self, name: str, settings: list[str]) -> None:
        """Submit a run."""
        self._ask("submit", name, [*self.settings, *settings])

    def look(self, name: str) -> Run:
        """Return what is known of a run."""
        said = self._ask("look", name)
        return Run(
            RunState(said["state"]),
            said["reason"],
            tuple(said["sites"]),
            [AttemptRow(**row) for row in said["attempts"]],
            [RoundRow(**row) for row in said["rounds"]],
            [TurnRow(**row) for row in said["turns"]],
        )

    def stop(self, name: str) -> None:
        """Stop a run if it was submitted and has not ended."""
        self._ask("stop", name)

    def under_way(self) -> str:
        """Return the name of a run that has not ended."""
        return str(self._ask("under_way"))

    def adapter_sha256(self, name: str) -> str:
        """Return the hash of a run's last adapter."""
        return str(self._ask("adapter_sha256", name))

    def close(self) -> None:
        """Let the observer's container end; it is removed with it."""
        self._observer.communicate(timeout=OBSERVER_ENDS_SECONDS)

    def _ask(self, what: str, *arguments: object) -> Any:
        assert self._observer.stdin is not None
        assert self._observer.stdout is not None
        try:
            self._observer.stdin.write(json.dumps([what, *arguments]) + "\n")
            self._observer.stdin.flush()
            line = self._observer.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ProcessDiedError(
                "the container from which the runs are looked at has ended; what it said stands above. Are its images "
                "of this version of the kit?"
            )
        said = json.loads(line)
        if "error" in said:
            raise by_name().get(said["error"], ProcessDiedError)(said["reason"])
        return said["answer"]
