"""``fedlora up``."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, FileArgument, SetOption, read

if TYPE_CHECKING:
    import subprocess
    from typing import TextIO

    from fedlora.cli.local.board import Board

__all__ = ["up"]

LOOK_SECONDS = 0.1
OnlyOption = Annotated[
    list[str],
    typer.Option(
        "--only",
        metavar="PART",
        help="coordinator, or the name of a site: start that alone; give it for each. All, where one machine has all.",
        show_default=False,
    ),
]


def up(
    file: FileArgument = DEFAULT_FILE,
    only: OnlyOption = [],  # noqa: B006 - Typer makes a new list
    settings: SetOption = [],  # noqa: B006
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and stop everything on Ctrl-C or SIGTERM: for systemd.")
    ] = False,
) -> None:
    """Start a federation as processes on this machine, and keep them running until `fedlora down`.

    Makes the keys and certificates that are missing, and admits the sites that run beside the SuperLink. A part that
    ends is started again, after 1 s at first, 60 s at most. Logs and state lie in the folder paths.state of the file.
    """
    from fedlora.cli.local.board import Board

    federation = read(file, settings).federation
    board = Board(federation.paths.state)
    if not foreground:
        with board.held():  # says so if it is up already
            pass
        _wait(*_detached(file, only, settings, board), board)
        typer.echo(f"{federation.name} is up. See it with: fedlora status {file}; stop it with: fedlora down {file}")
        return
    from fedlora.cli.local.supervisor import Supervisor
    from fedlora.log import show

    show()
    with board.held():
        Supervisor(federation, only, board).run(lambda step: typer.echo(f"- {step}", err=True))


def _detached(
    file: Path, only: list[str], settings: list[str], board: "Board"
) -> "tuple[subprocess.Popen[bytes], TextIO]":
    """Start the supervisor as a process that outlives this one and its terminal; return it and what it says."""
    import os
    import subprocess
    import sys

    arguments = [
        str(file.absolute()),
        *(f"--only={part}" for part in only),
        *(f"--set={setting}" for setting in settings),
    ]
    with (board.logs / "up.log").open("ab") as log:
        said = (board.logs / "up.log").open(encoding="utf-8", errors="replace")
        said.seek(0, os.SEEK_END)
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "fedlora", "up", *arguments, "--foreground"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return supervisor, said


def _wait(supervisor: "subprocess.Popen[bytes]", steps: "TextIO", board: "Board") -> None:
    """Show each step until everything is ready.

    Raises
    ------
    FedloraError
        What it failed with.
    """
    from fedlora.cli.local.board import Stage
    from fedlora.errors import ProcessDiedError, by_name
    from fedlora.processes import log_end

    def show_steps() -> None:
        for line in steps:
            if line.startswith("- "):
                typer.echo(line.rstrip("\n"), err=True)

    try:
        while True:
            ended = supervisor.poll() is not None
            show_steps()
            status = board.read()
            ours = status.supervisor == supervisor.pid
            if ours and status.stage is Stage.READY:
                return
            if ended and ours and status.error:
                raise by_name()[status.error](status.reason)
            if ended:
                log = board.logs / "up.log"
                raise ProcessDiedError(f"the supervisor has ended. The end of {log}:\n{log_end(log)}")
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        typer.echo("stopping what has been started", err=True)
        supervisor.terminate()
        supervisor.wait()
        show_steps()  # those since the last look: what has been made stays
        raise
