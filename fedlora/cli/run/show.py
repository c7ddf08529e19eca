"""``fedlora run show``."""

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.options import Format, FormatOption, RunName, RunsOption, runs_folder

if TYPE_CHECKING:
    from rich.table import Table

    from fedlora.adapters.scores import Scores
    from fedlora.cli.run.summary import Summary
    from superlink.cost import RunCost
    from superlink.ledger import AttemptRow, Report, RoundRow, SubmissionRow, TurnRow
    from superlink.runs import RunFolder

__all__ = ["show"]

PlotsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also draw loss, bytes, seconds and, if there are some, scores by round into this folder, as PNG and SVG; "
        "needs the extra `plot`.",
        show_default=False,
    ),
]


def show(
    name: RunName, runs: RunsOption = None, output: FormatOption = Format.TABLE, plots: PlotsOption = None
) -> None:
    """Show a run from its ledger: attempts, rounds with seconds by phase, each turn and its update, its cost."""
    from fedlora.cli.run.summary import summarise
    from superlink.cost import run_cost
    from superlink.ledger import Ledger
    from superlink.runs import RunFolder

    folder = RunFolder(runs_folder(runs), name)
    summary = summarise(folder)
    ledger = Ledger(folder.ledger, readonly=True) if folder.ledger.exists() else None
    rows = _Rows()
    if ledger:
        rows = _Rows(ledger.attempts(), ledger.submissions(), ledger.rounds(), ledger.turns(), ledger.reports())
        ledger.close()
    cost = run_cost(name, summary.sites, **vars(rows), scores=_scores(folder))
    drawn = _draw(plots, summary, rows, folder.benchmarks) if plots else []
    if output is Format.JSON:
        _print_json(summary, rows, cost)
    else:
        _print_tables(summary, rows, cost)
    if drawn:
        typer.echo(f"pictures in {plots}: {', '.join(file.name for file in drawn)}", err=output is Format.JSON)


@dataclass(frozen=True)
class _Rows:
    """What the ledger has; nothing before the first attempt."""

    attempts: "list[AttemptRow]" = field(default_factory=list)
    submissions: "list[SubmissionRow]" = field(default_factory=list)
    rounds: "list[RoundRow]" = field(default_factory=list)
    turns: "list[TurnRow]" = field(default_factory=list)
    reports: "dict[str, Report]" = field(default_factory=dict)


def _scores(folder: "RunFolder") -> "Scores | None":
    """Return what the evaluator has measured; a file that holds something else is named, and the run shown."""
    from fedlora.adapters.scores import read_scores
    from fedlora.errors import AdapterError

    try:
        return read_scores(folder.scores) if folder.scores.exists() else None
    except AdapterError as error:
        typer.echo(f"cost without score: {error}", err=True)
        return None


def _draw(plots: Path, summary: "Summary", rows: _Rows, benchmarks: Path) -> list[Path]:
    from fedlora.errors import ConfigurationError, EvaluationError

    try:
        from fedlora.cli.run.plots import Run, write_plots
        from fedlora.cli.run.score_plots import read_scored, score_pictures
    except ImportError as error:
        raise ConfigurationError(
            f"--plots needs matplotlib, and it cannot be imported ({error}): pip install 'fedlora[plot]'"
        ) from error
    scored = None
    try:
        scored = read_scored(benchmarks, summary.domain)
    except EvaluationError as error:
        typer.echo(f"pictures without scores: {error}", err=True)
    run = Run(summary.name, summary.sites, rows.rounds, rows.turns)
    return write_plots(run, plots, score_pictures(scored) if scored else None)


def _print_json(summary: "Summary", rows: _Rows, cost: "RunCost") -> None:
    from fedlora.cli.run.privacy import privacy_of

    document = {
        **dataclasses.asdict(summary),
        "attempts": [dataclasses.asdict(row) for row in rows.attempts],
        "rounds_of_attempts": [dataclasses.asdict(row) for row in rows.rounds],
        "turns": [dataclasses.asdict(row) for row in rows.turns],
        "cost": dataclasses.asdict(cost),
        "privacy": {site: dataclasses.asdict(told) for site, told in privacy_of(rows.reports, summary.name).items()},
    }
    typer.echo(json.dumps(document, indent=2))


def _print_tables(summary: "Summary", rows: _Rows, cost: "RunCost") -> None:
    from rich.console import Console

    from fedlora.cli.run.cost import cost_lines, cost_table
    from fedlora.cli.run.privacy import privacy_lines, privacy_of
    from fedlora.cli.run.updates import update_table
    from fedlora.cli.turns import turn_table

    console = Console()
    done = f"{summary.rounds_done} of {summary.rounds} rounds"
    console.print(f"run {summary.name}: {summary.state}, {done}", highlight=False)
    if summary.reason:
        console.print(summary.reason, highlight=False, markup=False)
    console.print(_attempt_table(rows.attempts))
    if rows.rounds:
        console.print(_round_table(rows.rounds))
    console.print(turn_table(rows.turns, "turns"))
    if any(turn.examined for turn in rows.turns):
        console.print(update_table(rows.turns))
    if rows.turns:
        console.print(cost_table(cost))
        for line in (*cost_lines(cost), *privacy_lines(privacy_of(rows.reports, summary.name))):
            console.print(line, highlight=False)


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
