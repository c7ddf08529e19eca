"""The runs of a federation that is drilled: submitted and looked at, whatever the federation runs on."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from fedlora.cli.federation_file import read
from fedlora.errors import ConfigurationError
from superlink.ledger import Ledger
from superlink.ledger_rows import AttemptRow, RoundRow, TurnRow
from superlink.run_config import RunConfig
from superlink.runs import RunFolder, RunState, run_folders, verdict

__all__ = ["ComposeRuns", "ProcessRuns", "Run", "Runs"]

WEIGHTS = "adapter_model.safetensors"
Row = TypeVar("Row", AttemptRow, RoundRow, TurnRow)
# In a container: the SHA-256 of the last aggregated adapter's values.
HASH = f"""
import hashlib, sys
from fedlora.environment import runs_directory
from superlink.runs import RunFolder
print(hashlib.sha256((RunFolder(runs_directory(), sys.argv[1]).adapter / {WEIGHTS!r}).read_bytes()).hexdigest())
"""


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
    """Runs by name."""

    @abstractmethod
    def submit(self, name: str, settings: list[str]) -> None:
        """Submit a run as the federation's file says, with settings KEY=VALUE that are other."""

    @abstractmethod
    def look(self, name: str) -> Run:
        """Return what is known of a run."""

    @abstractmethod
    def under_way(self) -> str:
        """Return the name of a run that has not ended; empty if all have."""

    @abstractmethod
    def adapter_sha256(self, name: str) -> str:
        """Return the SHA-256 of the values of a run's last aggregated adapter."""


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

    def under_way(self) -> str:
        """Return the name of a run that has not ended."""
        return next((folder.name for folder in run_folders(self.runs) if not verdict(folder).state.ended), "")

    def adapter_sha256(self, name: str) -> str:
        """Return the hash of a run's last adapter."""
        return hashlib.sha256((RunFolder(self.runs, name).adapter / WEIGHTS).read_bytes()).hexdigest()


class ComposeRuns(Runs):
    """The runs of a deployment.

    Parameters
    ----------
    ask : callable
        Calls a command in whichever of the coordinator's containers is there, and returns what it has printed.
    """

    def __init__(self, ask: Callable[..., str]) -> None:
        self.ask = ask

    def submit(self, name: str, settings: list[str]) -> None:
        """Submit a run."""
        options = [part for setting in settings for part in ("--set", setting)]
        self.ask("fedlora", "run", "submit", name, "/etc/fedlora/federation.toml", *options)

    def look(self, name: str) -> Run:
        """Return what is known of a run."""
        said = json.loads(self.ask("fedlora", "run", "show", name, "--format", "json"))
        return Run(
            RunState(said["state"]),
            said["reason"],
            tuple(said["sites"]),
            [_row(AttemptRow, row) for row in said["attempts"]],
            [_row(RoundRow, row) for row in said["rounds_of_attempts"]],
            [_row(TurnRow, row) for row in said["turns"]],
        )

    def under_way(self) -> str:
        """Return the name of a run that has not ended."""
        listed = json.loads(self.ask("fedlora", "run", "list", "--format", "json"))
        return next((run["name"] for run in listed if not RunState(run["state"]).ended), "")

    def adapter_sha256(self, name: str) -> str:
        """Return the hash of a run's last adapter."""
        return self.ask("python", "-c", HASH, name).strip()


def _row(kind: type[Row], values: dict[str, Any]) -> Row:
    if unknown := set(values) - {field.name for field in fields(kind)}:
        raise ConfigurationError(f"the containers tell {', '.join(sorted(unknown))}, which this kit does not know")
    return kind(**values)
