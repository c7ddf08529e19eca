"""Serving samples to Prometheus: text in OpenMetrics or Prometheus' own format, as the scraper asks."""

import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from fedlora.errors import PortInUseError
from fedlora.metrics.catalogue import CATALOGUE, Metric
from fedlora.metrics.sample import Sample

__all__ = ["Exporter", "families", "serve"]

log = logging.getLogger("fedlora.metrics")


def families(samples: Iterable[Sample]) -> Iterator[Family]:
    """Yield the samples as metric families, in the order of the catalogue.

    Raises
    ------
    KeyError
        If a sample lacks a label of its metric, or its metric stands in no catalogue.
    """
    by_name: dict[str, list[Sample]] = {entry.name: [] for entry in CATALOGUE}
    for sample in samples:
        by_name[sample.name].append(sample)
    for entry in CATALOGUE:
        if by_name[entry.name]:
            yield _family(entry, by_name[entry.name])


def _family(entry: Metric, samples: Iterable[Sample]) -> Family:
    kind: Any = CounterMetricFamily if entry.kind == "counter" else GaugeMetricFamily
    family: Family = kind(entry.name, entry.meaning, labels=entry.labels)
    for sample in samples:
        family.add_metric([sample.labels[label] for label in entry.labels], sample.value)  # type: ignore[attr-defined]
    return family


class Exporter(Collector):
    """What a scrape is answered with.

    Parameters
    ----------
    samples : callable
        Returns the samples of this moment.
    """

    def __init__(self, samples: Callable[[], Iterable[Sample]]) -> None:
        self.samples = samples

    def collect(self) -> Iterator[Family]:
        """Yield the families of this moment."""
        return families(self.samples())


def serve(samples: Callable[[], Iterable[Sample]], listen: str) -> Callable[[], None]:
    """Answer scrapes at ``http://LISTEN/metrics``, where `listen` is HOST:PORT, in a thread; return what ends that.

    Raises
    ------
    PortInUseError
        If the port is taken.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exporter(samples))
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host, registry)
    except OSError as error:
        raise PortInUseError(f"metrics cannot be served at {listen}: {error.strerror}; choose another port") from error

    # Each accepted connection inherits it: the body follows the head at once, not when the head's receipt comes back.
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    log.info("metrics at http://%s/metrics", listen)
    return stop
