"""``fedlora run watch``."""

import time

import typer

from fedlora.cli.options import RunName, RunsOption, runs_folder

__all__ = ["watch"]

LOOK_SECONDS = 0.5


def watch(name: RunName, runs: RunsOption = None) -> None:
    """Follow a run line by line until it ends; the exit code says how.

    0 for a completed or stopped run, else the code of the error that it failed with.
    """
    from fedlora.cli.run.summary import summarise
    from fedlora.cli.turns import MEBI, turn_line
    from superlink.ledger import Ledger
    from superlink.runs import RunFolder, RunState, verdict

    folder = RunFolder(runs_folder(runs), name)
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
            break
        time.sleep(LOOK_SECONDS)
    summary = summarise(folder)
    payload = f"{summary.payload_bytes / MEBI:.1f} MiB of payload"
    say(f"run {name}: {now.state}, {summary.rounds_done} of {planned} rounds, {payload}")
    if now.state is RunState.FAILED:
        raise now.error(now.reason)
