"""What a node tells: of its traffic, its processes, its trainer and its credentials. Absent is what cannot be read."""

import logging
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version

import fedlora
from fedlora.metrics import Sample, metric
from fedlora.metrics.catalogue import Area
from fedlora.metrics.certificates import certificate_samples
from fedlora.metrics.processes import process_samples
from fedlora.metrics.sample import write_samples
from fedlora.pki.trust import trust_figures
from supernode.settings import NodeSettings
from supernode.traffic import Traffic
from supernode.trainer_client import TrainerClient

__all__ = ["CLOCK", "NodeSamples"]

CLOCK = "clock_seconds"  # the figure by which an answer carries the node's clock
TRAINER_SECONDS = 2.0
log = logging.getLogger("fedlora.supernode")


class NodeSamples:
    """What the node with these settings tells.

    Parameters
    ----------
    settings : NodeSettings
        The node's file.
    traffic : Traffic
        What has passed.
    trainer : TrainerClient
        Asked for its own samples.
    root : int
        Process of the supernode's entry point, below which all others run.
    """

    def __init__(self, settings: NodeSettings, traffic: Traffic, trainer: TrainerClient, root: int) -> None:
        self.settings = settings
        self._sources: dict[str, Callable[[], Iterable[Sample]]] = {
            "the node": self._info,
            "the CA's certificate": self._certificate,
            "the supernode's processes": lambda: process_samples("supernode", root, settings.state),
            "the trainer": lambda: trainer.metrics(seconds=TRAINER_SECONDS),
        }
        self._traffic = traffic
        self._missing: set[str] = set()

    def all(self) -> list[Sample]:
        """Return everything, for the site's own eyes."""
        return [*self._traffic.samples(), *self._read(self._sources)]

    def figures(self, flower_run: int, *, withdrawn: bool = False) -> dict[str, float]:
        """Return what an answer in a run carries: this run's traffic and the rest, as far as the policy allows.

        A site that does not take part does not ask its trainer.
        """
        sources = [source for source in self._sources if not (withdrawn and source == "the trainer")]
        samples = [*self._traffic.samples(flower_run), *self._read(sources)]
        allowed = self.settings.figures
        health = {CLOCK: time.time(), **trust_figures(self.settings.ca_in_use)} if Area.HEALTH in allowed else {}
        return health | write_samples(sample for sample in samples if metric(sample.name).area in allowed)

    def _read(self, sources: Iterable[str]) -> Iterable[Sample]:
        for what in sources:
            try:
                yield from list(self._sources[what]())
                self._missing.discard(what)
            except Exception as error:  # noqa: BLE001 - whatever it is, no answer fails for it
                if what not in self._missing:
                    log.warning("nothing is told of %s: %s: %s", what, type(error).__name__, error)
                self._missing.add(what)

    def _info(self) -> list[Sample]:
        labels = {"domain": self.settings.domain, "kit": fedlora.__version__, "flower": version("flwr")}
        return [Sample("fedlora_node_info", 1.0, labels)]

    def _certificate(self) -> list[Sample]:
        return certificate_samples({"ca": self.settings.ca_certificate})
