"""``fedlora run show``."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.options import Format, FormatOption, RunName, RunsOption, runs_folder

if TYPE_CHECKING:
    from rich.table import Table

    from fedlora.cli.run.summary import Summary
    from superlink.ledger import AttemptRow, RoundRow, TurnRow

__all__ = ["show"]

PlotsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also draw loss, bytes and seconds by round into this folder, as PNG and SVG; needs the extra `plot`.",
        show_default=False,
    ),
]


def show(
    name: RunName, runs: RunsOption = None, output: FormatOption = Format.TABLE, plots: PlotsOption = None
) -> None:
    """Show a run from its ledger: attempts, rounds with their seconds by phase, every site's turns, bytes, refusals."""
    from fedlora.cli.run.summary import summarise
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
    drawn = _draw(plots, summary, rounds, turns) if plots else []
    if output is Format.JSON:
        _print_json(summary, attempts, rounds, turns)
    else:
        _print_tables(summary, attempts, rounds, turns)
    if drawn:
        typer.echo(f"pictures in {plots}: {', '.join(file.name for file in drawn)}", err=output is Format.JSON)


def _draw(plots: Path, summary: "Summary", rounds: "list[RoundRow]", turns: "list[TurnRow]") -> list[Path]:
    from fedlora.errors import ConfigurationError

    try:
        from fedlora.cli.run.plots import Run, write_plots
    except ImportError as error:
        raise ConfigurationError(
            f"--plots needs matplotlib, and it cannot be imported ({error}): pip install 'fedlora[plot]'"
        ) from error
    return write_plots(Run(summary.name, summary.sites, rounds, turns), plots)


def _print_json(
    summary: "Summary", attempts: "list[AttemptRow]", rounds: "list[RoundRow]", turns: "list[TurnRow]"
) -> None:
    document = {
        **dataclasses.asdict(summary),
        "attempts": [dataclasses.asdict(row) for row in attempts],
        "rounds_of_attempts": [dataclasses.asdict(row) for row in rounds],
        "turns": [dataclasses.asdict(row) for row in turns],
    }
    typer.echo(json.dumps(document, indent=2))


def _print_tables(
    summary: "Summary", attempts: "list[AttemptRow]", rounds: "list[RoundRow]", turns: "list[TurnRow]"
) -> None:
    from rich.console import Console

    from fedlora.cli.turns import turn_table

    console = Console()
    done = f"{summary.rounds_done} of {summary.rounds} rounds"
    console.print(f"run {summary.name}: {summary.state}, {done}", highlight=False)
    if summary.reason:
        console.print(summary.reason, highlight=False, markup=False)
    console.print(_attempt_table(attempts))
    if rounds:
        console.print(_round_table(rounds))
    console.print(turn_table(turns, "turns"))


def _attempt_table(attempts: "list[AttemptRow]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title="attempts", title_justify="left")
    for heading in ("epoch", "began (UTC)", "seconds", "outcome", "reason"):
        table.add_column(heading)
    for row in attempts:
        began = datetime.fromtimestamp(row.started_at, UTC)
        seconds = (row.ended_at or row.seen_at) - row.started_at
        table.add_row(str(row.epoch), f"{began:%Y-%m-%d %H:%M:%S}", f"{seconds:.0f}", row.outcome, Text(row.reason))
    return table


def _round_table(rounds: "list[RoundRow]") -> "Table":
    from rich.table import Table

    from fedlora.phases import COORDINATOR

    table = Table(title="rounds: seconds, and what they went into", title_justify="left")
    for heading in ("round", "epoch", "state"):
        table.add_column(heading)
    for heading in ("seconds", *COORDINATOR):
        table.add_column(heading, justify="right")
    for row in rounds:
        whole = "" if row.ended_at is None else f"{row.ended_at - row.started_at:.1f}"
        parts = (f"{row.phases[phase]:.2f}" if phase in row.phases else "" for phase in COORDINATOR)
        table.add_row(str(row.number), str(row.epoch), row.state, whole, *parts)
    return table
