"""What ``fedlora demo`` does, step by step."""

import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fedlora.cli.demo_report import Progress, Report
from fedlora.cli.local_federation import LocalFederation, Ports
from fedlora.cli.settings_file import write_settings
from fedlora.domains import domain
from fedlora.errors import ConfigurationError, ControlError, EvaluationError, FedloraError, RunError, by_name
from fedlora.language_model import BaseModel, obtain
from fedlora.processes import Part, Parts, log_end
from fedlora.recipes import Recipe
from fedlora.shards import Record, hold_out, partition, read_records, write_records
from superlink.control import Attempt
from superlink.ledger import Ledger
from superlink.run_config import RunConfig
from superlink.runs import RunFolder

__all__ = ["DemoOptions", "Demonstration"]

RUN = "demo"
HELD_OUT_FRACTION, MOST_HELD_OUT = 0.1, 200  # of --train, where --eval is not given
ROUND_DEADLINE = 3600.0
EVALUATION_THREADS = os.cpu_count() or 1


@dataclass(frozen=True)
class DemoOptions:
    """The command line of ``fedlora demo``; see its help."""

    domain: str
    nodes: int
    rounds: int
    steps: int
    train: Path | None
    held_out: Path | None
    base_model: str
    workdir: Path | None
    keep: bool
    port: int
    seed: int


class Demonstration:
    """One run of the demo.

    Parameters
    ----------
    options : DemoOptions
        The command line.
    """

    def __init__(self, options: DemoOptions) -> None:
        self.options = options
        self.recipe = Recipe(options.domain, rounds=options.rounds, steps=options.steps)
        self.sites = tuple(f"site-{number}" for number in range(1, options.nodes + 1))

    def run(self) -> Report:
        """Train and score; return what came out.

        Raises
        ------
        FedloraError
            What went wrong; every process has been stopped, and the logs are where the error says.
        """
        shards, held_out = self._records()  # bad input ends here, before any process starts
        ports = self._ports()
        with Progress() as progress, tempfile.TemporaryDirectory(prefix="fedlora-") as sockets:
            progress.step("base model")
            base_model = obtain(self.options.base_model)
            directory = self._directory()
            logs = directory / "logs"
            logs.mkdir()
            try:
                with Parts(logs) as parts:
                    federation = LocalFederation(directory, self.sites, ports, parts, Path(sockets))
                    self._start(federation, base_model, shards, progress)
                    self._train(federation, progress)
                folder = RunFolder(federation.runs, RUN)
                scores = self._evaluate(folder, base_model, held_out, logs, progress)
            except FedloraError as error:
                raise type(error)(f"{error}\nThe logs of all parts are in {logs}") from error
            except KeyboardInterrupt:
                progress.say(f"stopped; the logs of all parts are in {logs}")
                raise
        report = self._report(folder, base_model, scores)
        return report if self.options.keep else self._tidy(directory, report)

    def _records(self) -> tuple[list[list[Record]], list[Record]]:
        about = domain(self.options.domain)
        if self.options.train is None:
            train = read_records(about.sample("train"), about)
            held_out = read_records(self.options.held_out or about.sample("eval"), about)
        else:
            train = read_records(self.options.train, about)
            if self.options.held_out:
                held_out = read_records(self.options.held_out, about)
            else:
                train, held_out = hold_out(
                    train, fraction=HELD_OUT_FRACTION, most=MOST_HELD_OUT, seed=self.options.seed
                )
        return partition(train, self.options.nodes, seed=self.options.seed), held_out

    def _ports(self) -> Ports:
        first = self.options.port
        if first == 0:
            return Ports.free(self.options.nodes)
        ports = Ports(first, first + 1, tuple(range(first + 2, first + 2 + self.options.nodes)))
        ports.check()
        return ports

    def _directory(self) -> Path:
        directory = self.options.workdir or Path("demo") / f"{self.options.domain}-{datetime.now():%Y%m%d-%H%M%S}"
        directory = directory.expanduser().absolute()
        if directory.exists() and any(directory.iterdir()):
            raise ConfigurationError(f"{directory} is not empty; choose another --workdir, or remove it")
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"cannot create {directory}: {error}") from error
        return directory

    def _start(
        self,
        federation: LocalFederation,
        base_model: BaseModel,
        shards: list[list[Record]],
        progress: "Progress",
    ) -> None:
        progress.step("keys and certificates")
        federation.create_credentials("demo")
        progress.step("SuperLink")
        federation.start_superlink()
        progress.step(f"{len(self.sites)} sites: loading the base model")
        threads = max(1, (os.cpu_count() or 1) // len(self.sites))
        for name, records in zip(self.sites, shards, strict=True):
            shard = federation.site(name) / "shard.jsonl"
            write_records(records, shard)
            federation.start_trainer(
                name,
                shard=shard,
                base_model=base_model,
                recipe=self.recipe,
                threads=threads,
                seed=self.options.seed,
            )
            federation.start_supernode(name)
        federation.wait_for_sites()

    def _train(self, federation: LocalFederation, progress: "Progress") -> None:
        config = RunConfig(
            run=RUN,
            epoch=1,
            sites=",".join(self.sites),
            domain=self.options.domain,
            rounds=self.options.rounds,
            seed=self.options.seed,
            deadline=ROUND_DEADLINE,
            min_sites=1,
            join_timeout=120.0,
            recipe_sha256=self.recipe.sha256,
        )
        progress.step("handshake")
        run_id = federation.submit(config)
        ledger_file = RunFolder(federation.runs, RUN).ledger
        with federation.control() as control:
            while not (attempt := _known(control.attempt(run_id))).finished:
                federation.parts.check()
                if ledger_file.exists():
                    ledger = Ledger(ledger_file, readonly=True)
                    progress.rounds(ledger.rounds(), ledger.turns(), self.options.rounds)
                    ledger.close()
                time.sleep(0.5)
        if attempt.outcome != "completed":
            raise _failure(attempt)

    def _evaluate(
        self,
        folder: RunFolder,
        base_model: BaseModel,
        held_out: list[Record],
        logs: Path,
        progress: "Progress",
    ) -> dict[str, Any]:
        progress.step(f"scoring the base model and the adapter on {len(held_out)} held-out records")
        records = folder.directory / "held-out.jsonl"
        write_records(held_out, records)
        result = folder.directory / "scores.json"
        settings = {
            "domain": self.options.domain,
            "records": records,
            "base-model": base_model.directory,
            "base-model-name": base_model.name,
            "adapter": folder.adapter,
            "result": result,
            "threads": EVALUATION_THREADS,
        }
        file = write_settings(settings, folder.directory / "evaluation.toml")
        with Parts(logs) as parts:
            _wait_for(parts.start("evaluator", [sys.executable, "-m", "evaluator", str(file)], {}))
        scores: dict[str, Any] = json.loads(result.read_text())
        return scores

    def _report(self, folder: RunFolder, base_model: BaseModel, scores: dict[str, Any]) -> Report:
        ledger = Ledger(folder.ledger, readonly=True)
        report = Report(
            domain=self.options.domain,
            base_model=base_model.name,
            sites=self.sites,
            rounds=ledger.rounds(),
            turns=ledger.turns(),
            scores=scores,
            adapter=folder.adapter,
        )
        ledger.close()
        return report

    def _tidy(self, directory: Path, report: Report) -> Report:
        """Leave only the run's folder: keys, shards, databases and logs go."""
        kept = directory / "run"
        RunFolder(directory / "coordinator" / "runs", RUN).directory.rename(kept)
        for entry in directory.iterdir():
            if entry != kept:
                shutil.rmtree(entry)
        return report.moved(RunFolder(directory, kept.name).adapter)


def _known(attempt: Attempt | None) -> Attempt:
    if attempt is None:
        raise ControlError("the SuperLink does not know the run that it took a moment ago")
    return attempt


def _failure(attempt: Attempt) -> FedloraError:
    """Turn the details of a failed run into our error, where they begin with the name of one."""
    details = attempt.details.removeprefix("ServerApp failed with exception: ")
    name, _, text = details.partition(": ")
    kind = by_name().get(name)
    if kind is not None:
        return kind(text)
    return RunError(f"the run was {attempt.outcome}: {attempt.details or 'Flower gave no reason'}")


def _wait_for(part: Part) -> None:
    code = part.process.wait()
    if code != 0:
        raise EvaluationError(f"{part.name} ended with code {code}. The end of {part.log}:\n{log_end(part.log)}")
