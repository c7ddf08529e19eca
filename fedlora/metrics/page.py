"""The page of all metrics, ``docs/metrics.md``: ``python -m fedlora.metrics.page FILE`` writes it."""

import sys
from pathlib import Path

from fedlora.metrics.catalogue import CATALOGUE, LABELS, Area, Metric

__all__ = ["page"]

HEAD = """\
# Metrics

What fedlora exports to Prometheus, made from the catalogue in `fedlora/metrics/catalogue.py` by `make docs`; tests \
hold this page, and every series that is exported, to it. How to get at them: [monitoring.md](monitoring.md).

"At" says who exports a metric: the coordinator's exporter shows all of them, those of sites under their nodes' names; \
a site's own exporter shows those that its node tells, with its own name as `node`.
"""
COLUMNS = """\
| metric | type | labels | what it says | how it is taken, what it leaves out | at |
|---|---|---|---|---|---|
"""
TITLES = {
    Area.RUN: "Runs and rounds",
    Area.TRAFFIC: "Communication",
    Area.TRAINING: "Training",
    Area.RESOURCES: "Resources",
    Area.HEALTH: "Health",
}


def page() -> str:
    """Return the page; the same catalogue gives the same text."""
    parts = [HEAD]
    for area in Area:
        rows = "".join(_row(entry) for entry in CATALOGUE if entry.area is area)
        parts.append(f"## {TITLES[area]}\n\n{COLUMNS}{rows}")
    labels = "".join(f"| `{label}` | {meaning} |\n" for label, meaning in LABELS.items())
    return "\n".join([*parts, f"## Labels\n\n| label | meaning |\n|---|---|\n{labels}"])


def _row(entry: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in entry.labels)
    needs = f" Needs a{'n' if entry.needs == 'evaluator' else ''} {entry.needs.replace('gpu', 'GPU')}." * bool(
        entry.needs
    )
    at = "coordinator, site" if entry.told else "coordinator"
    return f"| `{entry.name}` | {entry.kind} | {labels} | {entry.meaning} | {entry.taken}{needs} | {at} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
