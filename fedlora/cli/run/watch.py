"""``fedlora run watch``."""

import time
from typing import TYPE_CHECKING

import typer

from fedlora.cli.options import RunName, RunsOption, runs_folder

if TYPE_CHECKING:
    from rich.console import Console

    from superlink.runs import RunFolder, Verdict

__all__ = ["watch"]

LOOK_SECONDS = 0.5


def watch(name: RunName, runs: RunsOption = None) -> None:
    """Follow a run until it ends, on a terminal as a picture, else line by line; the exit code says how it ended.

    0 for a completed or stopped run, else the code of the error that it failed with.
    """
    from rich.console import Console

    from fedlora.cli.pictures import drawable
    from fedlora.cli.run.summary import summarise
    from fedlora.cli.turns import MEBI
    from superlink.runs import RunFolder, RunState

    folder = RunFolder(runs_folder(runs), name)
    folder.config(epoch=1)  # says so if there is no such run
    console = Console()
    now = _draw(folder, console) if drawable(console) else _tell(folder)
    summary = summarise(folder)
    payload = f"{summary.payload_bytes / MEBI:.1f} MiB of payload"
    typer.echo(f"run {name}: {now.state}, {summary.rounds_done} of {summary.rounds} rounds, {payload}")
    if now.state is RunState.FAILED:
        raise now.error(now.reason)


def _tell(folder: "RunFolder") -> "Verdict":
    """Print a line for each thing that happens, until the run has ended; return how."""
    from fedlora.cli.turns import turn_line
    from superlink.ledger import Ledger
    from superlink.runs import verdict

    planned, said = folder.config(epoch=1).rounds, set[str]()

    def say(line: str) -> None:
        if line not in said:
            said.add(line)
            typer.echo(line)

    while True:
        now = verdict(folder)
        if folder.ledger.exists():
            ledger = Ledger(folder.ledger, readonly=True)
            attempts, turns = ledger.attempts(), ledger.turns()
            ledger.close()
            for row in attempts:
                say(f"attempt {row.epoch}: begun")
                if row.outcome in ("lost", "failed"):
                    say(f"attempt {row.epoch}: {row.outcome}, {row.reason}")
            for turn in turns:
                if turn.outcome != "asked":
                    say(turn_line(turn, planned))
        if now.state.ended:
            return now
        time.sleep(LOOK_SECONDS)


def _draw(folder: "RunFolder", console: "Console") -> "Verdict":
    """Draw the run on the terminal's second screen until it has ended, and once more on the first; return how."""
    from rich.live import Live

    from fedlora.cli.run.live import look, picture
    from superlink.runs import verdict

    shown = look(folder, time.time())
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                now = verdict(folder)
                shown = look(folder, time.time())
                live.update(picture(shown, console.height), refresh=True)
                if now.state.ended:
                    return now
                time.sleep(LOOK_SECONDS)
    finally:
        console.print(picture(shown))  # the second screen is gone, also after Ctrl-C
