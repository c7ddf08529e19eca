"""The runs of a federation that is drilled: submitted, and looked at."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fedlora.cli.federation_file import read
from superlink.ledger import Ledger
from superlink.ledger_rows import AttemptRow, RoundRow, TurnRow
from superlink.run_config import RunConfig
from superlink.runs import RunFolder, RunState, run_folders, verdict

__all__ = ["Run", "Runs"]

WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Run:
    """A run as its ledger has it now."""

    state: RunState
    reason: str
    sites: tuple[str, ...]
    attempts: list[AttemptRow]
    rounds: list[RoundRow]
    turns: list[TurnRow]


class Runs:
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
