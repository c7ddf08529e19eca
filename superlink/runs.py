"""A run's folder: where everything about it lies, and what became of it."""

import dataclasses
import json
import os
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedlora import audit
from fedlora.adapters.checkpoint import CHECKPOINTS
from fedlora.audit import Audit, Event
from fedlora.config import from_mapping, keyed
from fedlora.errors import FedloraError, RunError, by_name
from fedlora.folders import replace_durably
from fedlora.names import check_name, is_name
from fedlora.recipes import Recipe
from superlink.checkpoints import Checkpoints
from superlink.ledger import Ledger
from superlink.run_config import RunConfig

__all__ = ["RunFolder", "RunState", "Verdict", "Verdicts", "run_folders", "verdict"]

# Errors that another attempt would meet again: a rule has decided, not an accident.
BY_RULE = ("AggregationError", "BudgetError", "ConfigurationError", "ParticipationError", "SpecMismatchError")


@dataclass(frozen=True)
class RunFolder:
    """The folder of the run `name` below `runs`."""

    runs: Path
    name: str

    @property
    def directory(self) -> Path:
        """The folder."""
        return self.runs / check_name(self.name, RunError)

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.directory / "ledger.sqlite"

    @property
    def log(self) -> Path:
        """The file of what the ServerApps of all attempts have logged."""
        return self.directory / "log.txt"

    @property
    def scores(self) -> Path:
        """The file of what the evaluator has measured of the newest adapter, if it has."""
        return self.directory / "scores.json"

    @property
    def benchmarks(self) -> Path:
        """The folder of the scores of its rounds in benchmarks, if ``fedlora benchmark run`` was asked for some."""
        return self.directory / "benchmarks"

    def audit(self, by: str) -> Audit:
        """Return the coordinator's audit log, to which `by` adds."""
        return Audit(self.runs / audit.FILE, by)

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of aggregated rounds."""
        return Checkpoints(self.directory / CHECKPOINTS)

    @property
    def adapter(self) -> Path:
        """Folder of the last aggregated adapter, in PEFT's layout.

        Raises
        ------
        CheckpointError
            If there is none.
        """
        return self.checkpoints.newest_folder()

    @property
    def stop_wanted(self) -> bool:
        """Whether somebody has asked the run to stop."""
        return (self.directory / "stop").exists()

    def create(self) -> None:
        """Make the folder if it is not there."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def check_free(self) -> None:
        """Check that no run of this name exists.

        Raises
        ------
        RunError
            If one does, or the name cannot name a run.
        """
        if (self.directory / "run.json").exists():
            raise RunError(f"run {self.name} exists in {self.runs}; choose another name")

    def submit(self, config: RunConfig, recipe: Recipe | None = None) -> None:
        """Make the folder and write down what is to be run; the keeper does the rest.

        Parameters
        ----------
        config : RunConfig
            What is to be run.
        recipe : Recipe, optional
            The values behind its hash, for whoever wants to know later.

        Raises
        ------
        RunError
            If a run of this name exists.
        """
        self.create()
        about: dict[str, Any] = {"submitted_at": time.time(), "config": config.to_flower()}
        if recipe is not None:
            about["recipe"] = keyed(asdict(recipe))
        unfinished = self.directory / f".run.json.{os.getpid()}"
        unfinished.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        try:
            os.link(unfinished, self.directory / "run.json")  # refuses where one stands, unlike a rename
        except FileExistsError:
            self.check_free()
        finally:
            unfinished.unlink()

    def config(self, epoch: int) -> RunConfig:
        """Return the run's configuration for the attempt `epoch`.

        Raises
        ------
        RunError
            If the run was never submitted.
        """
        about = self._about()
        config = from_mapping(RunConfig, about["config"], origin=str(self.directory / "run.json"))
        return dataclasses.replace(config, epoch=epoch)

    @property
    def recipe(self) -> Recipe | None:
        """The recipe that is trained, where its values were written down.

        Raises
        ------
        RunError
            If they are not those of the run.
        """
        about = self._about()
        if "recipe" not in about:
            return None
        recipe = from_mapping(Recipe, about["recipe"], origin=str(self.directory / "run.json"))
        if recipe.sha256 != about["config"]["recipe-sha256"]:
            raise RunError(f"{self.directory / 'run.json'}: the recipe's values are not those of its hash")
        return recipe

    @property
    def submitted_at(self) -> float:
        """When the run was submitted, in seconds since 1970."""
        return float(self._about()["submitted_at"])

    def stop(self) -> None:
        """Ask the run to stop after what it does now."""
        (self.directory / "stop").touch()

    def resume(self, epoch: int) -> None:
        """Let a run that was stopped, given up or failed by rule in `epoch` go on with the next attempt."""
        (self.directory / "resumed").write_text(str(epoch), encoding="utf-8")
        for mark in ("stop", "given-up"):
            (self.directory / mark).unlink(missing_ok=True)

    @property
    def resumed(self) -> int:
        """The epoch after which somebody let the run go on; 0 if nobody did."""
        file = self.directory / "resumed"
        return int(file.read_text(encoding="utf-8")) if file.exists() else 0

    def belong_to(self, federation: str) -> str:
        """Note that the run belongs to a federation, unless it belongs to one already; return to which."""
        file = self.directory / "federation"
        if not file.exists():
            file.write_text(federation, encoding="utf-8")
        return file.read_text(encoding="utf-8")

    @property
    def federation(self) -> str:
        """The federation that the run belongs to; empty if it has not begun."""
        file = self.directory / "federation"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def take_over(self, federation: str) -> None:
        """Let the run belong to another federation from now on: the same one, whose CA was exchanged."""
        replace_durably(self.directory / "federation", federation.encode())

    def give_up(self, reason: str, error: type[FedloraError] = RunError) -> None:
        """Note that the run will not be tried again, and the error that says why."""
        (self.directory / "given-up").write_text(f"{error.__name__}: {reason}", encoding="utf-8")
        self.audit("keeper").note_if_possible(Event.RUN_GIVEN_UP, run=self.name, reason=f"{error.__name__}: {reason}")

    @property
    def given_up(self) -> str:
        """Why the run will not be tried again; empty if it will."""
        file = self.directory / "given-up"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    @property
    def written_at(self) -> tuple[int, ...]:
        """Changes whenever something is written that decides where the run stands; 0 stands for no file.

        SQLite's readers make and remove an empty log beside the ledger; only its writers fill it.
        """
        names = (self.ledger.name, f"{self.ledger.name}-wal", "stop", "given-up", "resumed")
        ledger, log, *marks = (_state(self.directory / name) for name in names)
        return (*ledger, *(log if log[1] else (0, 0)), *(part for mark in marks for part in mark))

    def _about(self) -> dict[str, Any]:
        try:
            file = self.directory / "run.json"
            about: dict[str, Any] = _read_about(file, file.stat().st_mtime_ns)
        except (OSError, ValueError) as error:
            raise RunError(f"there is no run {self.name} in {self.runs}") from error
        return about


@lru_cache(maxsize=1000)  # written once, and asked for again and again by what is resident
def _read_about(file: Path, _written: int) -> dict[str, Any]:
    about = json.loads(file.read_text(encoding="utf-8"))
    return about if isinstance(about, dict) else {}


def _state(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def run_folders(runs: Path) -> list[RunFolder]:
    """Return the submitted runs below `runs`, in the order of submission."""
    if not runs.is_dir():
        return []
    names = [entry.name for entry in runs.iterdir() if is_name(entry.name) and (entry / "run.json").exists()]
    folders = [RunFolder(runs, name) for name in names]
    return sorted(folders, key=lambda folder: (folder.submitted_at, folder.name))


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        """Whether it goes no further by itself."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True)
class Verdict:
    """Where a run stands, why, and the error that says so where it has failed."""

    state: RunState
    reason: str = ""
    error: type[FedloraError] = RunError


def verdict(folder: RunFolder) -> Verdict:
    """Return where a run stands, from its ledger."""
    attempts, submitted = [], []
    if folder.ledger.exists():
        ledger = Ledger(folder.ledger, readonly=True)
        attempts, submitted = ledger.attempts(), ledger.submissions()
        ledger.close()
    last = attempts[-1] if attempts else None
    if last is not None and last.outcome == "completed":
        return Verdict(RunState.COMPLETED)
    if folder.stop_wanted and (last is None or last.outcome != "running"):
        return Verdict(RunState.STOPPED)
    if folder.given_up:
        return _failed(folder.given_up)
    if last is not None and last.outcome == "failed" and last.epoch > folder.resumed:
        said = _failed(last.reason)
        if said.error.__name__ in BY_RULE:
            return said
    return Verdict(RunState.RUNNING if submitted or attempts else RunState.QUEUED)


class Verdicts:
    """Verdicts for who asks again and again: each stands until something is written about its run."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], Verdict]] = {}

    def of(self, folder: RunFolder) -> Verdict:
        """Return where a run stands."""
        written = folder.written_at  # before it is judged: what is written meanwhile is seen next time
        known = self._known.get(folder.name)
        if known is None or known[0] != written:
            known = self._known[folder.name] = written, verdict(folder)
        return known[1]


def _failed(said: str) -> Verdict:
    name, _, text = said.partition(": ")
    return Verdict(RunState.FAILED, text, by_name().get(name, RunError))
