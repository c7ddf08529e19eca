"""A sample: one value of a metric. In-band, in a node's answers, it travels as a number under its key."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from fedlora.domains import DOMAINS
from fedlora.errors import by_name
from fedlora.metrics.catalogue import metric
from fedlora.names import NAME

__all__ = ["Sample", "read_samples", "write_samples"]

VERSION = "[0-9A-Za-z.+]{1,32}"
KEY = re.compile(r"(?P<name>[a-z_]+)\{(?P<labels>[^{}]*)\}", re.ASCII)
LABEL = re.compile(r'(?P<label>[a-z]+)="(?P<value>[A-Za-z0-9._+-]{1,64})"', re.ASCII)
# What a label may be when a node says it: few values, so that a node cannot fill a Prometheus with series.
TOLD = {
    "certificate": "ca",
    "codec": "[a-z0-9]{1,16}",
    "direction": "down|up",
    "domain": "|".join(DOMAINS),
    "flower": VERSION,
    "gpu": "[0-9]{1,2}",
    "name": "|".join((*sorted(by_name()), "UnforeseenError")),
    "kit": VERSION,
    "part": "supernode|trainer",
    "run": NAME,
}
MOST_SAMPLES = 500  # of one answer; a node with eight GPUs tells 80


@dataclass(frozen=True)
class Sample:
    """A value of a metric of the catalogue, with a text for each of its labels but perhaps `node`.

    What is exported at a node, or told by it, says nothing of the node: who listens knows who it is.
    """

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name and labels as one text."""
        labels = ",".join(f'{label}="{value}"' for label, value in sorted(self.labels.items()))
        return f"{self.name}{{{labels}}}"

    def of(self, node: str) -> "Sample":
        """Return the same sample of a node."""
        return Sample(self.name, self.value, {**self.labels, "node": node})


def write_samples(samples: Iterable[Sample]) -> dict[str, float]:
    """Return samples as numbers under their keys."""
    return {sample.key: sample.value for sample in samples}


def read_samples(figures: Mapping[str, float]) -> Iterator[Sample]:
    """Yield the samples among the numbers that a node sent; whatever else it sent is passed over.

    A sample is taken only if the catalogue has it as one that nodes tell, with exactly its labels, and its value is a
    finite number: what a site says can neither add a series to somebody else's nor make up one of its own.
    """
    for number, (key, value) in enumerate(figures.items()):
        if number >= MOST_SAMPLES:
            return
        read = _read(key) if math.isfinite(value) else None
        if read is not None:
            yield Sample(read[0], value, read[1])


@lru_cache(maxsize=10_000)  # a node tells the same keys again and again
def _read(key: str) -> tuple[str, Mapping[str, str]] | None:
    """Return name and labels; None if it is not a key that a node may tell."""
    found = KEY.fullmatch(key)
    if found is None:
        return None
    try:
        known = metric(found["name"])
    except KeyError:
        return None
    pairs = [LABEL.fullmatch(part) for part in found["labels"].split(",") if part]
    labels = {pair["label"]: pair["value"] for pair in pairs if pair is not None}
    expected = {label for label in known.labels if label != "node"}
    if not known.told or labels.keys() != expected or len(labels) < len(pairs):
        return None
    if not all(re.fullmatch(TOLD[label], value) for label, value in labels.items()):
        return None
    return known.name, labels
