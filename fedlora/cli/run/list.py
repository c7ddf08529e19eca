"""``fedlora run list``."""

import dataclasses
import json

import typer

from fedlora.cli.options import Format, FormatOption, RunsOption, runs_folder

__all__ = ["list_runs"]


def list_runs(runs: RunsOption = None, output: FormatOption = Format.TABLE) -> None:
    """List all runs, in the order of submission."""
    from rich.console import Console
    from rich.table import Table

    from fedlora.cli.run.summary import summarise
    from fedlora.cli.turns import MEBI
    from superlink.runs import run_folders

    found = [summarise(folder) for folder in run_folders(runs_folder(runs))]
    if output is Format.JSON:
        typer.echo(json.dumps([dataclasses.asdict(summary) for summary in found], indent=2))
        return
    table = Table()
    for heading in ("run", "state", "rounds", "attempt", "payload MiB", "domain", "sites"):
        table.add_column(heading)
    for summary in found:
        table.add_row(
            summary.name,
            summary.state,
            f"{summary.rounds_done} of {summary.rounds}",
            str(summary.epoch),
            f"{summary.payload_bytes / MEBI:.1f}",
            summary.domain,
            ", ".join(summary.sites),
        )
    Console().print(table)
