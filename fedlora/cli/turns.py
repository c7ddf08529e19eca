"""Turns of sites as people read them: a line while they come, a table afterwards."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedlora.log import printable
from superlink.ledger import TurnRow

__all__ = ["MEBI", "turn_line", "turn_table"]

MEBI = 2**20


def turn_line(turn: TurnRow, planned: int) -> str:
    """Return one line about a turn that has ended, in a run of `planned` rounds."""
    start = f"round {turn.round} of {planned}, {turn.site}: {turn.outcome}"
    if turn.outcome == "answered" and turn.loss is not None and turn.train_seconds is not None:
        return f"{start}, loss {turn.loss:.3f} in {turn.train_seconds:.0f} s"
    return f"{start}, {turn.reason}"


def turn_table(turns: Sequence[TurnRow], title: str) -> Table:
    """Return all turns and their sums."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))  # fits 80 columns
    for heading in ("round", "site", "outcome"):
        table.add_column(heading)
    for heading in ("records", "loss\nnats", "training\ns", "in all\ns", "down\nMiB", "up\nMiB"):
        table.add_column(heading, justify="right")
    for turn, after in zip(turns, [*turns[1:], None], strict=True):
        outcome = turn.outcome if turn.outcome in ("answered", "asked") else f"{turn.outcome}: {turn.reason}"
        table.add_row(
            str(turn.round),
            turn.site,
            # As Text: rich takes square brackets in a str, and a site's words may have some, for orders to itself.
            Text(printable(outcome if turn.tries <= 1 else f"{outcome} (asked {turn.tries} times)")),
            str(turn.examples),
            _figure(turn.loss, 3),
            _figure(turn.train_seconds, 1),
            _figure(turn.round_trip_seconds, 1),
            _figure(turn.bytes_down / MEBI, 2),
            _figure(turn.bytes_up / MEBI, 2),
            end_section=after is None or (after.round, after.epoch) != (turn.round, turn.epoch),
        )
    down, up = (sum(getattr(turn, way) for turn in turns) / MEBI for way in ("bytes_down", "bytes_up"))
    table.add_row("all", "", "payload", "", "", "", "", f"{down:.2f}", f"{up:.2f}")
    return table


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
