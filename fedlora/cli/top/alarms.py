"""What of a federation wants somebody's eye: one line each, what is worst first."""

from collections.abc import Iterator

from fedlora.cli.amounts import duration, percent
from fedlora.cli.pictures import WARN_AT
from fedlora.cli.top.view import Node, Run, View

__all__ = ["alarms"]

CERTIFICATE_SECONDS = 14 * 24 * 3600.0
DISK_RATIO = 0.1
# Flower refuses nodes whose clocks are more than 5 s ahead of its own, or 305 s behind (docs/design.md, section 3).
AHEAD_SECONDS, BEHIND_SECONDS = 2.0, 60.0


def alarms(view: View) -> list[str]:
    """Return the lines."""
    going = [run for run in view.runs if run.state in ("running", "queued")] or list(view.runs[:1])
    return [
        *(line for node in view.nodes for line in _presence(node, view.at)),
        *(line for node in view.nodes for line in _certificates(node, view.at)),
        *(line for node in view.nodes for line in _machine(node)),
        *(line for run in going for line in _budget(run)),
        *(line for node in view.nodes for line in _refusals(node, {run.name for run in going})),
        *(line for node in view.nodes for line in _outliers(node, {run.name for run in going})),
    ]


def _presence(node: Node, now: float) -> Iterator[str]:
    if node.online is False:
        seen = node.last_seen_at
        since = "was never online" if seen is None else f"offline, last seen {duration(max(0.0, now - seen))} ago"
        yield f"{node.name}: {since}"


def _certificates(node: Node, now: float) -> Iterator[str]:
    for name, end in sorted(node.certificates.items(), key=lambda one: one[1]):
        left = end - now
        if left <= 0:
            yield f"{node.name}: its certificate {name} ran out {duration(-left)} ago"
        elif left < CERTIFICATE_SECONDS:
            yield f"{node.name}: its certificate {name} runs out in {duration(left)}; fedlora pki renew"


def _machine(node: Node) -> Iterator[str]:
    skew = node.clock_skew_seconds
    if skew is not None and skew > AHEAD_SECONDS:
        yield f"{node.name}: its clock is {skew:.1f} s ahead; Flower refuses nodes more than 5 s ahead"
    if skew is not None and skew < -BEHIND_SECONDS:
        yield f"{node.name}: its clock is {-skew:.0f} s behind; Flower refuses nodes more than 305 s behind"
    if node.disk_free_ratio is not None and node.disk_free_ratio < DISK_RATIO:
        yield f"{node.name}: {percent(node.disk_free_ratio)} of its disk is free"


def _budget(run: Run) -> Iterator[str]:
    if run.budget is not None and run.budget[1] >= WARN_AT:
        yield f"run {run.name}: {percent(run.budget[1])} of its budget of {run.budget[0]} is used"


def _refusals(node: Node, runs: set[str]) -> Iterator[str]:
    if node.run in runs:
        for name, number in sorted(node.refusals.items()):
            if number:
                times = "once" if number == 1 else f"{number:.0f} times"
                yield f"{node.name}: refused {times} in run {node.run}: {name}"


def _outliers(node: Node, runs: set[str]) -> Iterator[str]:
    if node.run in runs:
        for figure, number in sorted(node.outliers.items()):
            if number:
                times = "once" if number == 1 else f"{number:.0f} times"
                yield f"{node.name}: its update was an outlier by {figure} {times} in run {node.run}"
