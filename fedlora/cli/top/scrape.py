"""One look at an exporter."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx
from prometheus_client.parser import text_string_to_metric_families

from fedlora.errors import MetricsError
from fedlora.log import printable
from fedlora.metrics import metric

__all__ = ["Scrape", "scrape"]

TIMEOUT = 5.0
OURS = "fedlora_"
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Scrape:
    """What an exporter said.

    Attributes
    ----------
    at : float
        When, by the exporter's clock, in seconds since 1970.
    ticks : float
        When, in seconds of a clock of this machine that is never set.
    series : mapping
        By metric, the labels and the value of each of its series.
    """

    at: float
    ticks: float
    series: Mapping[str, Sequence[tuple[Labels, float]]] = field(default_factory=dict)

    def found(self, name: str, **labels: str) -> Iterator[tuple[Labels, float]]:
        """Yield the series of a metric of the catalogue that have these labels."""
        metric(name)  # KeyError: nothing else is ever exported
        for its, value in self.series.get(name, ()):
            if all(its.get(label) == wanted for label, wanted in labels.items()):
                yield its, value

    def value(self, name: str, **labels: str) -> float | None:
        """Return the sum of the series of a metric that have these labels; None if there is none."""
        values = [value for _, value in self.found(name, **labels)]
        return sum(values) if values else None

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Return the sums of the series of a metric by one of its labels."""
        sums: dict[str, float] = {}
        for its, value in self.found(name, **labels):
            if label in its:
                sums[its[label]] = sums.get(its[label], 0.0) + value
        return sums

    def values_of(self, label: str) -> list[str]:
        """Return all values of a label, in order."""
        return sorted({its[label] for series in self.series.values() for its, _ in series if label in its})


def scrape(url: str) -> Scrape:
    """Ask the exporter at `url`.

    Raises
    ------
    MetricsError
        If it does not answer within 5 s, or with something else than metrics of fedlora.
    """
    try:
        # Without the proxies of the environment: an exporter is asked from its own machine, or through a tunnel to it.
        answer = httpx.get(url, timeout=TIMEOUT, trust_env=False)
        answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise MetricsError(f"{url} answers with HTTP status {error.response.status_code}. {_ADVICE}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = printable(str(error)) or type(error).__name__
        raise MetricsError(f"no metrics from {url}: {reason}. {_ADVICE}") from error
    return Scrape(_date(answer), time.monotonic(), _series(url, answer.text))


_ADVICE = (
    "Is the coordinator's exporter up (`fedlora status`), and is this its address? --metrics names another; from "
    "another machine, `ssh -L 9464:127.0.0.1:9464 COORDINATOR` brings it here"
)


def _series(url: str, text: str) -> dict[str, list[tuple[Labels, float]]]:
    series: dict[str, list[tuple[Labels, float]]] = {}
    try:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except (ValueError, IndexError, KeyError) as error:
        raise MetricsError(f"{url} answers with something else than metrics. {_ADVICE}") from error
    for sample in samples:
        if sample.name.startswith(OURS) and math.isfinite(sample.value):
            labels = {name: printable(value) for name, value in sample.labels.items()}
            series.setdefault(sample.name, []).append((labels, float(sample.value)))
    if samples and not series:
        raise MetricsError(f"{url} has metrics, and none of fedlora's among them. {_ADVICE}")
    return series


def _date(answer: httpx.Response) -> float:
    """Return when an answer was given, by the clock that its timestamps are of; by ours if it does not say."""
    try:
        said: datetime = parsedate_to_datetime(answer.headers["Date"])
    except (KeyError, ValueError):
        return time.time()
    return said.timestamp()
