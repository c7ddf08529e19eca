"""A table that fits its width by leaving out columns, the least wanted first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

__all__ = ["Cell", "Column", "fitted", "width"]

Cell = str | Text | ProgressBar
WIDE, NARROW = 2, 1  # gaps between columns
NAME = 20


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes
    ----------
    heading : str
        Above it.
    cells : sequence
        One for each row; a bar says its width itself.
    rank : int
        0 is never left out; of the others, the highest is the first to go.
    left : bool
        Whether it is aligned to the left.
    """

    heading: str
    cells: Sequence[Cell]
    rank: int
    left: bool = False

    @property
    def width(self) -> int:
        """How wide it is."""
        return max([len(self.heading), *(_width(cell) for cell in self.cells)])


def _width(cell: Cell) -> int:
    return (cell.width or 0) if isinstance(cell, ProgressBar) else len(cell)


def width(columns: Sequence[Column], gap: int = NARROW) -> int:
    """Return how wide a table of these columns is at least; of the first, names, so much is enough to know them by."""
    first, *others = columns
    return min(NAME, first.width) + sum(column.width + gap for column in others)


def fitted(columns: Sequence[Column], room: int) -> Table:
    """Return a table of those columns that fit `room`; what is too long in the first is cut off."""
    shown = list(columns)
    while width(shown) > room and (least := max(shown, key=lambda column: column.rank)).rank:
        shown.remove(least)
    gap = WIDE if width(shown, WIDE) <= room else NARROW
    names = room - (width(shown, gap) - min(NAME, shown[0].width))
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for column in shown:
        side: Literal["left", "right"] = "left" if column.left else "right"
        wide = min(column.width, names) if column is shown[0] else column.width
        table.add_column(column.heading, justify=side, no_wrap=True, overflow="ellipsis", width=wide)
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*row)
    return table
