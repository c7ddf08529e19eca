"""What the pictures of text on a terminal are made of."""

import sys

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.text import Text

__all__ = ["WARN_AT", "bar", "budget_colour", "coloured", "drawable"]

WARN_AT = 0.8  # of a budget, where the coordinator warns too
COLOURS = {
    "queued": "cyan",
    "running": "cyan",
    "completed": "green",
    "stopped": "yellow",
    "failed": "red",
    "answered": "green",
    "training": "cyan",
    "unanswered": "yellow",
    "late": "yellow",
    "refused": "red",
    "online": "green",
    "offline": "red",
}


def drawable(console: Console) -> bool:
    """Return whether stdout is a terminal that can be drawn on; Rich can be told to take anything for one."""
    return sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal


def coloured(word: str) -> Text:
    """Return a word in its colour."""
    return Text(word, style=COLOURS.get(word, ""))


def bar(share: float, width: int, colour: str) -> ProgressBar:
    """Return a bar of `width` columns, of which `share` is filled."""
    return ProgressBar(1.0, share, width, complete_style=colour, finished_style=colour)


def budget_colour(share: float) -> str:
    """Return the colour of a budget that is used up to `share`."""
    return "green" if share < WARN_AT else "yellow" if share < 1 else "red"
