"""``fedlora status``."""

import json
import time
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer

from fedlora.cli.federation_file import DEFAULT_FILE, FileArgument, SetOption, read
from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from fedlora.cli.local.board import PartState, Status
    from fedlora.federation import Federation

__all__ = ["status"]


def status(
    file: FileArgument = DEFAULT_FILE,
    settings: SetOption = [],  # noqa: B006 - Typer makes a new list
    output: FormatOption = Format.TABLE,
) -> None:
    """Show what of a federation runs on this machine, which nodes the SuperLink has, and the runs."""
    from fedlora.cli.local.board import Board

    federation = read(file, settings).federation
    now = Board(federation.paths.state).read()
    nodes = _nodes(federation, now)
    runs = _runs(federation)
    if output is Format.JSON:
        document = {"federation": federation.name, **asdict(now), "nodes": nodes, "runs": runs}
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{federation.name}: {now.stage}{f', {now.step}' if now.step else ''}")
    if now.reason:
        typer.echo(f"{now.error}: {now.reason}")
    _print(("part", "state", "process", "for", "restarts", "log"), [_row(part) for part in now.parts])
    _print(("node", "state"), list(nodes.items()))
    _print(("run", "state", "rounds"), [(run["name"], run["state"], run["rounds"]) for run in runs])


def _nodes(federation: "Federation", now: "Status") -> dict[str, str]:
    """Return the state of each registered node, where the SuperLink runs here and answers."""
    from fedlora.cli.local.federation import COORDINATOR, http_address
    from fedlora.errors import ControlError
    from superlink.control import Control

    if not any(part.name == "superlink" and part.pid for part in now.parts):
        return {}
    with Control(http_address(federation), federation.paths.state / COORDINATOR / "ca.crt") as control:
        try:
            return control.nodes()
        except ControlError:
            return {}


def _runs(federation: "Federation") -> list[dict[str, str]]:
    from fedlora.cli.run.summary import summarise
    from superlink.runs import run_folders

    found = map(summarise, run_folders(federation.coordinator.runs))
    return [
        {"name": run.name, "state": str(run.state), "rounds": f"{run.rounds_done} of {run.rounds}"} for run in found
    ]


def _row(part: "PartState") -> tuple[str, ...]:
    state = "running" if part.pid else f"ended {part.ending}; to be started again"
    lived = timedelta(seconds=round(time.time() - part.since))
    return part.name, state, str(part.pid or ""), str(lived) if part.pid else "", str(part.restarts), part.log


def _print(headings: tuple[str, ...], rows: list[Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)
