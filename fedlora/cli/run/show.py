"""``fedlora run show``."""

import dataclasses
import json
from datetime import UTC, datetime

import typer

from fedlora.cli.options import Format, FormatOption, RunName, RunsOption, runs_folder

__all__ = ["show"]


def show(name: RunName, runs: RunsOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show a run from its ledger: attempts, rounds, every site's turns, bytes, refusals."""
    from rich.console import Console
    from rich.table import Table

    from fedlora.cli.run.summary import summarise
    from fedlora.cli.turns import turn_table
    from superlink.ledger import Ledger
    from superlink.runs import RunFolder

    folder = RunFolder(runs_folder(runs), name)
    summary = summarise(folder)
    ledger = Ledger(folder.ledger, readonly=True) if folder.ledger.exists() else None
    attempts = ledger.attempts() if ledger else []
    turns = ledger.turns() if ledger else []
    rounds = ledger.rounds() if ledger else []
    if ledger:
        ledger.close()
    if output is Format.JSON:
        document = {
            **dataclasses.asdict(summary),
            "attempts": [dataclasses.asdict(row) for row in attempts],
            "rounds_of_attempts": [dataclasses.asdict(row) for row in rounds],
            "turns": [dataclasses.asdict(row) for row in turns],
        }
        typer.echo(json.dumps(document, indent=2))
        return
    console = Console()
    console.print(f"run {name}: {summary.state}, {summary.rounds_done} of {summary.rounds} rounds", highlight=False)
    if summary.reason:
        console.print(summary.reason, highlight=False, markup=False)
    table = Table(title="attempts", title_justify="left")
    for heading in ("epoch", "began (UTC)", "seconds", "outcome", "reason"):
        table.add_column(heading)
    for row in attempts:
        began = datetime.fromtimestamp(row.started_at, UTC)
        seconds = (row.ended_at or row.seen_at) - row.started_at
        table.add_row(str(row.epoch), f"{began:%Y-%m-%d %H:%M:%S}", f"{seconds:.0f}", row.outcome, row.reason)
    console.print(table)
    console.print(turn_table(turns, "turns"))
