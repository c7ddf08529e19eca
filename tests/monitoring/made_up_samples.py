"""A made-up federation's samples: every metric of the catalogue, with the labels that it has."""

import itertools
import time
from collections.abc import Iterator

from fedlora.metrics import CATALOGUE, Metric, Sample

RUNS, SITES = ("first", "second"), ("a", "b")
LABELS = {
    "benchmark": ("finance",),
    "certificate": ("ca", "server"),
    "codec": ("f32",),
    "direction": ("down", "up"),
    "domain": ("finance", "medical"),
    "figure": ("norm", "cosine"),
    "flower": ("1.39.0",),
    "gpu": ("0", "1"),
    "kit": ("0.1.0",),
    "model": ("base", "adapted"),
    "name": ("PolicyError",),
    "node": SITES,
    "outcome": ("answered", "failed"),
    "part": ("supernode", "trainer"),
    "phase": ("encode", "train"),
    "resource": ("bytes", "rounds"),
    "run": RUNS,
    "stage": ("wanted", "answered"),
    "state": ("running", "completed", "aggregated", "training"),
}
BEGAN = time.time()


def coordinator() -> Iterator[Sample]:
    """Yield what the coordinator's exporter could say: everything."""
    for entry in CATALOGUE:
        yield from _samples(entry, LABELS)


def site() -> Iterator[Sample]:
    """Yield what the exporter of site a could say: what its node tells."""
    for entry in CATALOGUE:
        if entry.told:
            yield from _samples(entry, {**LABELS, "node": SITES[:1]})


def parts() -> Iterator[Sample]:
    """Yield what a part of the coordinator could say: what it takes of the machine."""
    for entry in CATALOGUE:
        if "part" in entry.labels:
            yield from _samples(entry, {**LABELS, "node": ("coordinator",), "part": ("keeper",)})


def _samples(entry: Metric, values: dict[str, tuple[str, ...]]) -> Iterator[Sample]:
    for chosen in itertools.product(*(values[label] for label in entry.labels)):
        labels = dict(zip(entry.labels, chosen, strict=True))
        yield Sample(entry.name, _value(entry, labels), labels)


def _value(entry: Metric, labels: dict[str, str]) -> float:
    if entry.name == "fedlora_run_state":
        return float(labels["state"] == "running")
    if entry.name.endswith("_timestamp_seconds"):
        return BEGAN
    if entry.name.endswith("_ratio"):
        return 0.6 if labels.get("model") == "adapted" else 0.4
    return 100.0 + (time.time() - BEGAN if entry.kind == "counter" else 0.0)
