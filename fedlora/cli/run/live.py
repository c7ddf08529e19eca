"""A run as a picture of text that is drawn again and again: what `fedlora run watch` shows on a terminal."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedlora.cli.amounts import duration
from fedlora.cli.pictures import bar, budget_colour, coloured
from fedlora.cli.run.summary import Summary, summarise
from fedlora.cli.turns import MEBI, turn_line
from fedlora.log import printable
from superlink.ledger import AttemptRow, Ledger, RoundRow, TurnRow
from superlink.runs import RunFolder, RunState

__all__ = ["Snapshot", "look", "picture"]

NOTABLE = 5  # lines of what went wrong
OTHER_LINES = 10  # of a picture: all that is neither a site's nor a notable line
FEWEST_SITES = 3  # shown however low the terminal is
BAR_WIDTH = 24


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment.

    Attributes
    ----------
    summary : Summary
        Where it stands.
    attempts, rounds, turns : list
        From the ledger.
    now : float
        When this was, in seconds since 1970.
    """

    summary: Summary
    attempts: list[AttemptRow]
    rounds: list[RoundRow]
    turns: list[TurnRow]
    now: float

    @property
    def current(self) -> RoundRow | None:
        """The round that the newest attempt began last."""
        begun = [row for row in self.rounds if row.epoch == self.summary.epoch]
        return begun[-1] if begun else None

    @property
    def training(self) -> bool:
        """Whether sites are at work on the current round."""
        current = self.current
        return current is not None and current.state == "training" and self.attempts[-1].outcome == "running"

    @property
    def round_seconds(self) -> list[float]:
        """What each aggregated round took."""
        return [row.ended_at - row.started_at for row in self.rounds if row.state == "aggregated" and row.ended_at]

    @property
    def mean_seconds(self) -> float | None:
        """Mean of what the aggregated rounds took; None before the first."""
        took = self.round_seconds
        return sum(took) / len(took) if took else None

    @property
    def current_seconds(self) -> float:
        """How long sites have been at work on the current round."""
        return self.now - self.current.started_at if self.training and self.current else 0.0


def look(folder: RunFolder, now: float) -> Snapshot:
    """Read a run's folder at the moment `now`.

    Raises
    ------
    RunError
        If there is no such run.
    """
    summary = summarise(folder)
    if not folder.ledger.exists():
        return Snapshot(summary, [], [], [], now)
    ledger = Ledger(folder.ledger, readonly=True)
    try:
        return Snapshot(summary, ledger.attempts(), ledger.rounds(), ledger.turns(), now)
    finally:
        ledger.close()


def picture(snapshot: Snapshot, height: int = sys.maxsize) -> RenderableType:
    """Return the picture of a run, in at most `height` lines."""
    notable = _notable(snapshot)[-NOTABLE:]
    room = max(FEWEST_SITES, height - OTHER_LINES - len(notable))
    return Group(_header(snapshot), "", *_sites(snapshot, room), _figures(snapshot), *notable)


def _header(snapshot: Snapshot) -> RenderableType:
    summary, current = snapshot.summary, snapshot.current
    title = Text.assemble(
        "run ", (summary.name, "bold"), ": ", coloured(summary.state), no_wrap=True, overflow="ellipsis"
    )
    title.append(f", attempt {summary.epoch}" if summary.epoch else ", no attempt yet")
    number = summary.rounds_done if current is None else current.number
    line = _bar_line(f"round {number} of {summary.rounds}", summary.rounds_done / summary.rounds, "cyan", "aggregated")
    return Group(title, line)


def _bar_line(text: str, share: float, colour: str, what: str) -> RenderableType:
    """Return `text`, a bar and its percentage on one line; where there is no room for all, the bar gives way."""
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(max_width=BAR_WIDTH)
    line.add_column(no_wrap=True)
    line.add_row(text, bar(share, BAR_WIDTH, colour), f"{math.floor(100 * share)} % {what}")
    return line


def _sites(snapshot: Snapshot, room: int) -> Iterator[RenderableType]:
    """Yield the table of the sites in the current round, of at most `room` lines: those that owe an answer first."""
    current = snapshot.current
    if current is None:
        yield Text(_before_the_first(snapshot), overflow="ellipsis", no_wrap=True)
        yield ""
        return
    turns = [turn for turn in snapshot.turns if (turn.round, turn.epoch) == (current.number, current.epoch)]
    shown = turns if len(turns) <= room else sorted(turns, key=lambda turn: turn.outcome == "answered")[: room - 1]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(
        "site", overflow="ellipsis", min_width=7, max_width=30
    )  # the first to give way in a narrow terminal
    table.add_column("outcome", no_wrap=True)
    for heading in ("loss", "seconds", "asked"):
        table.add_column(heading, justify="right", no_wrap=True)
    for turn in shown:
        table.add_row(*_cells(snapshot, turn))
    if len(shown) < len(turns):
        rest = [turn for turn in turns if turn not in shown]
        answered = sum(turn.outcome == "answered" for turn in rest)
        table.add_row(f"{len(rest)} more", f"{answered} answered")
    yield table
    yield ""


def _before_the_first(snapshot: Snapshot) -> str:
    if RunState(snapshot.summary.state).ended:
        return "no round was begun"
    if not snapshot.attempts:
        return "waiting for its turn"
    if snapshot.attempts[-1].outcome != "running":
        return "waiting for the next attempt"
    return "waiting until all sites are online and agree on what they train"


def _cells(snapshot: Snapshot, turn: TurnRow) -> tuple[RenderableType, ...]:
    outcome, seconds = turn.outcome, turn.round_trip_seconds
    if outcome == "asked":
        outcome = "training" if snapshot.training else "unanswered"
        seconds = snapshot.current_seconds if snapshot.training else None
    return (
        turn.site,
        coloured(outcome),
        "" if turn.loss is None else f"{turn.loss:.3f}",
        "" if seconds is None else f"{seconds:.0f}",
        str(turn.tries),
    )


def _figures(snapshot: Snapshot) -> RenderableType:
    """Return bytes used, seconds a round and time left."""
    summary, mean = snapshot.summary, snapshot.mean_seconds
    used = f"{summary.payload_bytes / MEBI:.1f} MiB"
    payload: RenderableType = f"{used}, no budget"
    if summary.budget_bytes:
        share = summary.payload_bytes / summary.budget_bytes
        payload = _bar_line(f"{used} of {summary.budget_bytes / MEBI:.1f} MiB", share, budget_colour(share), "used")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row("payload", payload)
    known = f"{mean:.1f} s, mean of {len(snapshot.round_seconds)}" if mean is not None else "unknown before the first"
    table.add_row("a round takes", known)
    if not RunState(summary.state).ended:
        table.add_row("time left", _time_left(snapshot))
    return table


def _time_left(snapshot: Snapshot) -> str:
    """Return how long the run will go on if its rounds take what they took so far."""
    mean, gone = snapshot.mean_seconds, snapshot.current_seconds
    if mean is None:
        return "unknown"
    rounds = snapshot.summary.rounds - snapshot.summary.rounds_done
    if gone > mean:
        return f"about {duration(mean * (rounds - 1))} after this round, which takes longer"
    return f"about {duration(mean * rounds - gone)}"


def _notable(snapshot: Snapshot) -> list[RenderableType]:
    """Return what went wrong, oldest first: turns without an update, attempts that were lost or failed."""
    lines = []
    for attempt in snapshot.attempts:
        turns = [turn for turn in snapshot.turns if turn.epoch == attempt.epoch]
        without = [turn for turn in turns if turn.outcome not in ("asked", "answered")]
        lines += [turn_line(turn, snapshot.summary.rounds) for turn in without]
        if attempt.outcome in ("lost", "failed"):
            lines.append(f"attempt {attempt.epoch}: {attempt.outcome}, {attempt.reason}")
    return [Text(printable(line), style="yellow", no_wrap=True, overflow="ellipsis") for line in lines]
