"""What commands that score share: options, and a line that says how far they are."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.amounts import duration
from fedlora.errors import ConfigurationError

if TYPE_CHECKING:
    from evaluator.examination import Progress

__all__ = ["SetOption", "evaluation_sets", "live_progress"]

SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="NAME=FILE",
        help="A benchmark and the file or folder of its items; may be given several times.",
        show_default=False,
    ),
]


def evaluation_sets(sets: list[str]) -> dict[str, Path]:
    """Return the files of benchmarks by their names.

    Raises
    ------
    ConfigurationError
        If one is not NAME=FILE, or the file is not there.
    EvaluationError
        If there is no benchmark of a name.
    """
    from evaluator.tasks.catalogue import task

    return {task(name).name: file for name, file in map(_pair, sets)}


def _pair(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not equals or not file:
        raise ConfigurationError(f"--set {text}: say NAME=FILE, for example tfns=sent_valid.csv")
    if not Path(file).exists():
        raise ConfigurationError(f"--set {text}: there is no {file}")
    return name, Path(file)


def live_progress() -> "Progress":
    """Return what shows progress: one line that is rewritten on a terminal, else a line each half minute."""
    began = last = time.monotonic()
    live = sys.stderr.isatty()

    def show(who: str, task: str, scoring: str, done: int, wanted: int) -> None:
        nonlocal last
        now = time.monotonic()
        if not live and now - last < 30 and done < wanted:
            return
        last = now
        text = f"{who}: {task} by {scoring}: {done} of {wanted} items, {duration(now - began)}"
        typer.echo(f"\r\x1b[K{text}" if live else text, nl=not live, err=True)

    return show
