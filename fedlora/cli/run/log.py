"""``fedlora run log``."""

import time
from typing import Annotated, BinaryIO

import typer

from fedlora.cli.options import RunName, RunsOption, runs_folder

__all__ = ["log"]

LOOK_SECONDS = 0.5


def log(
    name: RunName,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the run has ended.")] = False,
    runs: RunsOption = None,
) -> None:
    """Show what the coordinator has logged about a run, in all its attempts; times are UTC."""
    from superlink.runs import RunFolder, verdict

    folder = RunFolder(runs_folder(runs), name)
    folder.config(epoch=1)  # says so if there is no such run
    if not folder.log.exists():
        typer.echo(f"run {name} has no log yet: its first attempt has not begun", err=True)
    while not folder.log.exists():
        if not follow or verdict(folder).state.ended:
            return
        time.sleep(LOOK_SECONDS)
    with folder.log.open("rb") as file:
        while True:
            ended = verdict(folder).state.ended  # asked first: an attempt writes its last line before it ends
            typer.echo(_whole_lines(file), nl=False)
            if ended or not follow:
                return
            time.sleep(LOOK_SECONDS)


def _whole_lines(file: BinaryIO) -> str:
    """Return the lines that have come; one that is being written is left for the next time."""
    place = file.tell()
    content = file.read()
    size = content.rfind(b"\n") + 1
    file.seek(place + size)
    return content[:size].decode("utf-8", errors="replace")
