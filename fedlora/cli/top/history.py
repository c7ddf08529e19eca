"""What one scrape alone does not say: rates, and what the last rounds went into."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedlora.cli.top.scrape import Scrape

__all__ = ["ROUND_PHASES", "TURN_PHASES", "History"]

LAST = 5  # rounds whose phases are shown
CPU = "fedlora_cpu_seconds_total"
TOLD = "fedlora_node_told_timestamp_seconds"
ROUND_PHASES = "fedlora_round_phase_seconds_total"
TURN_PHASES = "fedlora_turn_phase_seconds_total"
Moment = tuple[bool, float]
Totals = Mapping[str, Mapping[str, float]]


@dataclass
class History:
    """What earlier scrapes said, as far as it is needed.

    Attributes
    ----------
    cpu : dict
        Cores that each node kept busy between the last two moments that are known of it.
    """

    cpu: dict[str, float] = field(default_factory=dict)
    _parts: dict[str, tuple[Moment, dict[str, float]]] = field(default_factory=dict)
    _phases: dict[str, deque[Totals]] = field(default_factory=dict)

    def note(self, scrape: Scrape) -> None:
        """Take a scrape in."""
        for node in scrape.by("node", CPU):
            self._note_cpu(node, _moment(node, scrape), scrape.by("part", CPU, node=node))
        for run in scrape.by("run", ROUND_PHASES):
            totals = {name: scrape.by("phase", name, run=run) for name in (ROUND_PHASES, TURN_PHASES)}
            seen = self._phases.setdefault(run, deque(maxlen=LAST + 1))
            if seen and seen[-1][ROUND_PHASES] == totals[ROUND_PHASES]:
                seen.pop()  # no round has ended since; turns may have
            seen.append(totals)

    def phases(self, name: str, run: str) -> dict[str, float]:
        """Return seconds by phase, of the last rounds that ended while somebody looked; until one has, of all."""
        seen = self._phases.get(run)
        if not seen:
            return {}
        before = seen[0][name] if len(seen) > 1 else {}
        return {phase: seconds - before.get(phase, 0.0) for phase, seconds in seen[-1][name].items()}

    def recent(self, run: str) -> bool:
        """Return whether a round has ended while somebody looked."""
        return len(self._phases.get(run, ())) > 1

    def _note_cpu(self, node: str, now: Moment, parts: dict[str, float]) -> None:
        before, old = self._parts.get(node, (now, {}))
        same = parts.keys() & old.keys()
        seconds = now[1] - before[1]
        if same and now[0] == before[0] and seconds > 0:
            # A part that was started again counts from 0.
            gained = sum(parts[part] - old[part] if parts[part] >= old[part] else parts[part] for part in same)
            self.cpu[node] = gained / seconds
        elif now != before:
            self.cpu.pop(node, None)
        self._parts[node] = now, parts


def _moment(node: str, scrape: Scrape) -> Moment:
    """Return of when a node's figures are, and whether by its own answer; those of the coordinator are of now."""
    told = scrape.value(TOLD, node=node)
    return (False, scrape.ticks) if told is None else (True, told)
