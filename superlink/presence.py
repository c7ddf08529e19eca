"""Which nodes are there: what the keeper, which alone may ask the SuperLink, notes for all who want to know."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["NODES", "Presence", "note_presence", "read_presence"]

NODES = "nodes.json"  # in the folder of runs


@dataclass(frozen=True)
class Presence:
    """A registered node: whether it is online, and when it was last, in seconds since 1970; None for never."""

    online: bool
    seen_at: float | None


def note_presence(runs: Path, states: Mapping[str, str]) -> None:
    """Note the states of all registered nodes by name, as Flower says them now."""
    before, now = read_presence(runs), time.time()
    found = {}
    for name, state in states.items():
        last = before[name].seen_at if name in before else None
        found[name] = Presence(state == "online", now if state == "online" else last)
    unfinished = runs / f".{NODES}"
    unfinished.write_text(json.dumps({name: asdict(presence) for name, presence in found.items()}), encoding="utf-8")
    unfinished.replace(runs / NODES)


def read_presence(runs: Path) -> dict[str, Presence]:
    """Return what was noted last; empty if nothing was, or it cannot be read."""
    try:
        noted = json.loads((runs / NODES).read_text(encoding="utf-8"))
        return {name: Presence(bool(known["online"]), known["seen_at"]) for name, known in noted.items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}
