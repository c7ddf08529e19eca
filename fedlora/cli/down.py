"""``fedlora down``."""

import time
from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, FileArgument, SetOption, read

__all__ = ["down"]

LOOK_SECONDS = 0.1
PART_SECONDS = 15.0  # longer than a part is given before it is killed


def down(
    file: FileArgument = DEFAULT_FILE,
    settings: SetOption = [],  # noqa: B006 - Typer makes a new list
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, even in the middle of a run.")] = False,
) -> None:
    """Stop what `fedlora up` started, the last part first. A run goes on from its last checkpoint at the next `up`."""
    import os
    import signal

    from fedlora.cli.local.board import Board
    from fedlora.errors import NotReadyError

    federation = read(file, settings).federation
    board = Board(federation.paths.state)
    if not board.is_held():
        typer.echo(f"{federation.name} is not up: no process runs from {board.state}")
        return
    running = _running(federation.coordinator.runs)
    if running and not yes:
        typer.confirm(f"run {running} has not ended; it goes on at the next `up`. Stop the federation?", abort=True)
    status = board.read()
    os.kill(status.supervisor, signal.SIGTERM)
    end = time.monotonic() + PART_SECONDS * (len(status.parts) + 1)
    while board.is_held() or _lives(status.supervisor):
        if time.monotonic() > end:
            raise NotReadyError(f"process {status.supervisor} has not stopped everything; its log is in {board.state}")
        time.sleep(LOOK_SECONDS)
    typer.echo(f"{federation.name} is down: {len(status.parts)} parts stopped")


def _lives(pid: int) -> bool:
    return (Path("/proc") / str(pid)).exists()


def _running(runs: Path) -> str:
    """Return the name of the run that has begun and not ended; empty if there is none."""
    from superlink.runs import RunState, run_folders, verdict

    return next((folder.name for folder in run_folders(runs) if verdict(folder).state is RunState.RUNNING), "")
