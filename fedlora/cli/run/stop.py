"""``fedlora run stop``."""

from typing import Annotated

import typer

from fedlora.cli.options import RunName, RunsOption, runs_folder

__all__ = ["stop"]


def stop(
    name: RunName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    runs: RunsOption = None,
) -> None:
    """Stop a run; its last checkpoint stays, and `resume` lets it go on."""
    from fedlora.audit import Event, person
    from superlink.runs import RunFolder, verdict

    folder = RunFolder(runs_folder(runs), name)
    folder.config(epoch=1)  # says so if there is no such run
    state = verdict(folder).state
    if state.ended:
        typer.echo(f"run {name} has ended already: {state}")
        return
    if not yes:
        typer.confirm(f"Stop run {name}?", abort=True)
    folder.stop()
    folder.audit(person()).note(Event.RUN_STOPPED, run=name)
    typer.echo(f"run {name} stops after its last aggregated round")
