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
from fedlora.cli.local.federation import LocalFederation
from fedlora.cli.local.supervisor import start
from fedlora.domains import domain
from fedlora.errors import ConfigurationError, EvaluationError, FedloraError
from fedlora.federation import Coordinator, Federation, Keeper, Paths, Resources, RunDefaults, Site, SitePolicy
from fedlora.federation.writing import new_file, to_toml
from fedlora.language_model import BaseModel, obtain
from fedlora.processes import Part, Parts, check_ports_free, free_ports, log_end
from fedlora.recipes import recipe
from fedlora.settings_file import write_settings
from fedlora.shards import Record, hold_out, partition, read_records, write_records
from superlink.ledger import Ledger
from superlink.run_config import RunConfig
from superlink.runs import RunFolder, RunState, verdict

__all__ = ["DemoOptions", "Demonstration"]

RUN = "demo"  # also the federation's name
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
        self.recipe = recipe(options.domain, "quick", rounds=options.rounds, steps=options.steps)
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
            federation = self._federation(directory, ports)
            new_file(directory, to_toml(federation))
            for site, records in zip(federation.site, shards, strict=True):
                site.shard.parent.mkdir(mode=0o700, exist_ok=True)
                write_records(records, site.shard)
            folder = RunFolder(federation.coordinator.runs, RUN)
            try:
                with Parts(logs) as parts:
                    start(LocalFederation(federation, parts, Path(sockets)), progress.step)
                    folder.submit(RunConfig.of(federation, RUN), self.recipe)
                    self._follow(folder, parts, progress)
                scores = self._evaluate(folder, base_model, held_out, logs, progress)
            except FedloraError as error:
                raise type(error)(f"{error}\nThe logs of all parts are in {logs}") from error
            except KeyboardInterrupt:
                progress.say(f"stopped; the logs of all parts are in {logs}")
                raise
        report = self._report(folder, base_model, scores)
        return report if self.options.keep else self._tidy(directory, folder, report)

    def _federation(self, directory: Path, ports: list[int]) -> Federation:
        """Return the description that `fedlora up` and `fedlora run submit` would be given."""
        fleet, http, *runtime = ports
        threads = max(1, (os.cpu_count() or 1) // len(self.sites))
        return Federation(
            name=RUN,
            base_model=self.options.base_model,
            coordinator=Coordinator(
                "127.0.0.1",
                machine="here",
                fleet_port=fleet,
                http_port=http,
                runs=directory / "runs",
                metrics_port=0,
            ),
            site=tuple(
                Site(
                    name,
                    self.options.domain,
                    directory / "shards" / f"{name}.jsonl",
                    machine="here",
                    runtime_port=port,
                    metrics_port=0,
                    seed=self.options.seed,
                    resources=Resources(threads=threads),
                    policy=SitePolicy(fewest_examples=1),
                )
                for name, port in zip(self.sites, runtime, strict=True)
            ),
            recipe=(self.recipe,),
            run=RunDefaults(seed=self.options.seed, deadline=ROUND_DEADLINE, join_timeout=120.0),
            keeper=Keeper(fruitless=1),  # whoever watches would rather see what failed
            paths=Paths(state=directory / "state"),
        )

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

    def _ports(self) -> list[int]:
        """Return the ports of the SuperLink (gRPC, HTTPS) and of each site's supernode."""
        count, first = 2 + self.options.nodes, self.options.port
        if first == 0:
            return free_ports(count)
        purposes = ("SuperLink, gRPC", "SuperLink, HTTPS", *(f"supernode of {site}" for site in self.sites))
        ports = list(range(first, first + count))
        check_ports_free(dict(zip(purposes, ports, strict=True)))
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

    def _follow(self, folder: RunFolder, parts: Parts, progress: "Progress") -> None:
        """Show what happens until the run has ended; raise what it failed with."""
        progress.step("handshake")
        while True:
            now = verdict(folder)  # before the ledger is read, so that it is read once more after the end
            if folder.ledger.exists():
                ledger = Ledger(folder.ledger, readonly=True)
                progress.rounds(ledger.rounds(), ledger.turns(), self.options.rounds)
                ledger.close()
            if now.state.ended:
                break
            parts.check()
            time.sleep(0.5)
        if now.state is not RunState.COMPLETED:
            raise now.error(now.reason)

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
            "recipe": self.recipe,
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

    def _tidy(self, directory: Path, folder: RunFolder, report: Report) -> Report:
        """Leave only the run's folder: keys, shards, databases and logs go."""
        kept = directory / "run"
        folder.directory.rename(kept)
        for entry in directory.iterdir():
            if entry.is_dir() and entry != kept:
                shutil.rmtree(entry)
            elif entry != kept:
                entry.unlink()
        return report.moved(RunFolder(directory, kept.name).adapter)


def _wait_for(part: Part) -> None:
    code = part.process.wait()
    if code != 0:
        raise EvaluationError(f"{part.name} ended with code {code}. The end of {part.log}:\n{log_end(part.log)}")
