"""``fedlora run resume``."""

import typer

from fedlora.cli.options import RunName, RunsOption, runs_folder

__all__ = ["resume"]


def resume(name: RunName, runs: RunsOption = None) -> None:
    """Let a run that was stopped, or that failed, go on from its last checkpoint."""
    from fedlora.audit import Event, person
    from fedlora.cli.run.summary import summarise
    from fedlora.errors import RunError
    from superlink.runs import RunFolder, RunState

    folder = RunFolder(runs_folder(runs), name)
    summary = summarise(folder)
    if summary.state not in (RunState.STOPPED, RunState.FAILED):
        raise RunError(f"run {name} is {summary.state}; only a stopped or failed run can be resumed")
    folder.resume(summary.epoch)
    folder.audit(person()).note(Event.RUN_RESUMED, run=name, after_epoch=summary.epoch)
    typer.echo(f"run {name} goes on after round {summary.rounds_done}; follow it with: fedlora run watch {name}")
