"""The command."""

import dataclasses
import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from rich.console import Console

    from fedlora.cli.top.history import History
    from fedlora.cli.top.view import View

__all__ = ["top"]

METRICS = "http://127.0.0.1:9464/metrics"


def top(
    metrics: Annotated[str, typer.Option(metavar="URL", help="Where the coordinator's exporter answers.")] = METRICS,
    interval: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="From one look to the next.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one picture, and end.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show runs, nodes, traffic and what wants an eye, live, from the coordinator's metrics alone; end it with Ctrl-C.

    Where stdout is no terminal, and with --format json, one picture is printed. CPU use is measured from one look to
    the next, so it is missing in the first. A dash is something that nobody has told.
    """
    from rich.console import Console

    from fedlora.cli.pictures import drawable
    from fedlora.cli.top.history import History
    from fedlora.cli.top.picture import picture

    history = History()
    view = _look(metrics, history)
    if output is Format.JSON:
        _print_json(metrics, view)
        return
    console = Console(highlight=False)
    if once or not drawable(console):
        console.print(picture(view, metrics, console.width))
        return
    _draw(metrics, interval, history, view, console)


def _look(url: str, history: "History") -> "View":
    from fedlora.cli.top.scrape import scrape
    from fedlora.cli.top.view import look

    found = scrape(url)
    history.note(found)
    return look(found, history)


def _print_json(url: str, view: "View") -> None:
    from fedlora.cli.top.alarms import alarms

    document = {"metrics": url, **dataclasses.asdict(view), "alarms": alarms(view)}
    typer.echo(json.dumps(document, indent=2))


def _draw(url: str, interval: float, history: "History", view: "View", console: "Console") -> None:
    """Draw on the terminal's second screen until Ctrl-C, and once more on the first."""
    from rich.live import Live

    from fedlora.cli.top.picture import picture
    from fedlora.errors import MetricsError

    silence, heard = None, time.monotonic()
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(picture(view, url, console.width, console.height, silence), refresh=True)
                time.sleep(interval)
                try:
                    view, silence = _look(url, history), None
                    heard = time.monotonic()
                except MetricsError as error:
                    silence = _silence(time.monotonic() - heard, error)
    except KeyboardInterrupt:
        pass  # how it is ended
    finally:
        console.print(picture(view, url, console.width, silence=silence))


def _silence(seconds: float, error: Exception) -> str:
    """Return the line that says since when nothing has come, and why."""
    from datetime import UTC, datetime, timedelta

    from fedlora.cli.amounts import duration
    from fedlora.log import printable

    since = datetime.now(UTC) - timedelta(seconds=seconds)
    reason = printable(str(error.__cause__ or error))
    return f"silent since {since:%H:%M:%S} UTC, {duration(seconds)}; trying again: {reason}"
