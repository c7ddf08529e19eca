"""The coordinator's exporter: ``python -m superlink.exporter exporter.toml``.

Resident, and derives every series from the ledgers of the runs: a part that dies loses no count. It asks nobody: which
nodes are online, and what Flower itself has counted, the keeper notes.
"""

import logging
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import fedlora
from fedlora.adapters.scores import benchmark_scores, read_scores
from fedlora.config import read_toml
from fedlora.environment import check_rendered_version
from fedlora.errors import AdapterError, FedloraError, RunError
from fedlora.log import report, show
from fedlora.metrics import Sample
from fedlora.metrics.certificates import certificate_samples
from fedlora.metrics.exposition import serve
from fedlora.metrics.processes import process_samples, sibling_samples
from fedlora.names import HOST, PORT
from fedlora.processes import until_signalled
from fedlora.rules import matching
from superlink.ledger import Ledger
from superlink.presence import read_presence
from superlink.runs import RunFolder, Verdicts, run_folders
from superlink.series import standing_series, told_series, work_mark, work_series

__all__ = ["COORDINATOR", "CoordinatorSeries", "ExporterSettings"]

COORDINATOR = "coordinator"  # the label `node` of what runs beside the SuperLink
FLOWER = version("flwr")
NEWEST_RUNS = 20  # that are shown besides those that go on: what ended long ago, Prometheus remembers
PARTS = {"superlink": "flower-superlink", "serverapp": "flower-superexec", "keeper": "superlink.keeper"}
log = logging.getLogger("fedlora.exporter")


@dataclass(frozen=True)
class ExporterSettings:
    """The exporter's file.

    Attributes
    ----------
    listen : str
        ``HOST:PORT`` at which it answers scrapes.
    runs : Path
        Folder of the runs.
    ca_certificate, server_certificate : Path
        The federation's and the SuperLink's, whose expiry is exported.
    """

    listen: Annotated[str, matching(f"{HOST}:{PORT}", "HOST:PORT, with a port from 1 to 65535")]
    runs: Path
    ca_certificate: Path
    server_certificate: Path


@dataclass
class _Shown:
    """A run as it was shown last; shown again as long as nothing was written."""

    file: int | None  # the ledger's inode
    ledger: Ledger | None = None
    stamp: object = None
    mark: object = None
    standing: list[Sample] = field(default_factory=list)
    work: list[Sample] = field(default_factory=list)
    told: list[tuple[float, Sample]] = field(default_factory=list)


@dataclass
class CoordinatorSeries:
    """The samples of all runs, of the nodes as they have told them, and of the coordinator's machine.

    Attributes
    ----------
    settings : ExporterSettings
        Where to look.
    """

    settings: ExporterSettings
    _shown: dict[str, _Shown] = field(default_factory=dict)
    _verdicts: Verdicts = field(default_factory=Verdicts)
    _said: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # scrapes come in threads of their own

    def samples(self) -> list[Sample]:
        """Return the samples of this moment."""
        with self._lock:
            samples = [*self._of_runs(), *self._of_nodes(), *self._scores()]
        return [*samples, *(sample.of(COORDINATOR) for sample in self._of_machine())]

    def _of_runs(self) -> Iterator[Sample]:
        folders = self._folders()
        for name in self._shown.keys() - {folder.name for folder in folders}:
            self._forget(name)
        newest: dict[str, tuple[float, Sample]] = {}
        for folder in folders:
            try:
                shown = self._look(folder)
            except RunError as error:  # a run whose ledger cannot be read hides no other
                self._say(f"run {folder.name}", str(error))
                continue
            yield from shown.standing
            yield from shown.work
            for at, sample in shown.told:  # of what a node has told in several runs, the newest stands
                if sample.key not in newest or newest[sample.key][0] < at:
                    newest[sample.key] = at, sample
        yield from (sample for _, sample in newest.values())

    def _folders(self) -> list[RunFolder]:
        """Return the runs to be shown, in the order of submission."""
        found = run_folders(self.settings.runs)
        older = [folder for folder in found[:-NEWEST_RUNS] if not self._verdicts.of(folder).state.ended]
        return [*older, *found[-NEWEST_RUNS:]]

    def _look(self, folder: RunFolder) -> _Shown:
        file = folder.ledger.stat().st_ino if folder.ledger.exists() else None
        if folder.name in self._shown and self._shown[folder.name].file != file:
            self._forget(folder.name)  # made, or made anew
        shown = self._shown.setdefault(folder.name, _Shown(file))
        if shown.ledger is None and file is not None:
            shown.ledger = Ledger(folder.ledger, readonly=True)
        state = self._verdicts.of(folder).state
        stamp = state, shown.ledger and shown.ledger.version()
        if stamp != shown.stamp:
            config = folder.config(epoch=1)
            shown.standing = standing_series(config, state, folder.submitted_at, shown.ledger)
            if shown.ledger is not None and (mark := work_mark(shown.ledger)) != shown.mark:
                shown.work = work_series(config, shown.ledger)
                shown.told = list(told_series(shown.ledger, folder.name))
                shown.mark = mark
            shown.stamp = stamp
        return shown

    def _say(self, name: str, what: str) -> None:
        """Log why something is missing, once."""
        if self._said.get(name) != what:
            self._said[name] = what
            log.warning("%s is not shown: %s", name, what)

    def _forget(self, name: str) -> None:
        ledger = self._shown.pop(name).ledger
        if ledger is not None:
            ledger.close()

    def _of_nodes(self) -> Iterator[Sample]:
        for name, presence in read_presence(self.settings.runs).items():
            yield Sample("fedlora_node_online", float(presence.online), {"node": name})
            if presence.seen_at is not None:
                yield Sample("fedlora_node_last_seen_timestamp_seconds", presence.seen_at, {"node": name})

    def _scores(self) -> Iterator[Sample]:
        for name in self._shown:
            folder = RunFolder(self.settings.runs, name)
            try:
                found = benchmark_scores(folder.benchmarks)
                if folder.scores.exists():
                    scores = read_scores(folder.scores)
                    for model, score in (("base", scores.base), ("adapted", scores.adapted)):
                        found[model, score.measure] = score.accuracy
            except AdapterError as error:
                self._say(f"the score of run {name}", str(error))
                continue
            for (model, benchmark), accuracy in found.items():
                labels = {"run": name, "model": model, "benchmark": benchmark}
                yield Sample("fedlora_evaluation_score_ratio", accuracy, labels)

    def _of_machine(self) -> Iterator[Sample]:
        own = self.settings
        yield from process_samples("exporter", state=own.runs)
        yield from sibling_samples(PARTS)
        yield from certificate_samples({"ca": own.ca_certificate, "server": own.server_certificate})
        yield Sample("fedlora_build_info", 1.0, {"kit": fedlora.__version__, "flower": FLOWER})


def main(arguments: list[str]) -> int:
    """Answer scrapes until SIGTERM or SIGINT; return the exit code."""
    show()
    stopped = until_signalled()
    try:
        check_rendered_version()
        settings = read_toml(ExporterSettings, Path(arguments[0]))
        settings.runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        stop = serve(CoordinatorSeries(settings).samples, settings.listen)
    except (FedloraError, OSError) as error:
        return report(error)
    stopped.wait()
    stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
