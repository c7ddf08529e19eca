"""What the coordinator found of a run's updates, as people read it."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from superlink.ledger import TurnRow
from superlink.screening import outlying

__all__ = ["update_table"]

COLUMNS = {
    "norm": "update_norm",
    "norm's\nscore": "norm_score",
    "cosine to\nothers": "update_cosine",
    "cosine's\nscore": "cosine_score",
    "closest\ncosine": "closest_cosine",
}


def update_table(turns: Sequence[TurnRow]) -> Table:
    """Return norm and direction of each update, and by what it is an outlier."""
    table = Table(title="updates beside each other", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("round", "site"):
        table.add_column(heading)
    for heading in COLUMNS:
        table.add_column(heading, justify="right")
    table.add_column("outlier by")
    examined = [turn for turn in turns if turn.examined]
    for turn, after in zip(examined, [*examined[1:], None], strict=True):
        figures = (f"{turn.examined[name]:.3g}" if name in turn.examined else "" for name in COLUMNS.values())
        told = "refused" if turn.outcome == "refused" else ", ".join(outlying(turn.examined))
        ended = after is None or (after.round, after.epoch) != (turn.round, turn.epoch)
        table.add_row(str(turn.round), turn.site, *figures, told, end_section=ended)
    return table
