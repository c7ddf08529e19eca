"""A federation as a picture of text, in the height and width of a terminal."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedlora.cli.amounts import DASH, count, duration, number, percent, size
from fedlora.cli.pictures import bar, budget_colour, coloured
from fedlora.cli.top.alarms import alarms
from fedlora.cli.top.columns import Cell, Column, fitted, width
from fedlora.cli.top.view import Node, Run, View
from fedlora.phases import COORDINATOR, SITE

__all__ = ["picture"]

MOST_RUNS = 4  # shown, and all that go on
FEWEST_ALARMS = 5
FEWEST_NODES = 3  # shown however low the terminal is
PHASE_LINES = 2 + max(len(COORDINATOR), len(SITE))
RUN_BAR = 10
PHASE_WORD, PHASE_BAR, PHASE_SHARE = 10, 20, 5
SIDE = PHASE_WORD + PHASE_BAR + PHASE_SHARE + 3
WANTED = 10  # rank of the last column that is worth more than both directions of the traffic for themselves


def picture(
    view: View, address: str, columns: int, lines: int = sys.maxsize, silence: str | None = None
) -> RenderableType:
    """Return the picture.

    Parameters
    ----------
    view : View
        What is shown.
    address : str
        Whose word it is.
    columns, lines : int
        Of the terminal.
    silence : str, optional
        Since when, and why, nothing newer is known.
    """
    worst = alarms(view)
    most = max(FEWEST_ALARMS, lines // 4)
    told = worst if len(worst) <= most else [*worst[: most - 1], f"and {len(worst) - most + 1} more"]
    going = sum(run.state in ("running", "queued") for run in view.runs)
    runs = view.runs[: max(MOST_RUNS, min(going, lines // 4))]
    room = lines - (2 + bool(silence)) - (2 + max(1, len(runs))) - 1 - (bool(told) + len(told))
    phases = list(_phases(view.runs[0])) if view.runs and room >= len(view.nodes) + PHASE_LINES else []
    nodes = _most_wanted(view.nodes, max(FEWEST_NODES, room - PHASE_LINES * bool(phases)), worst)
    return Group(
        *_head(view, address, silence),
        "",
        _run_table(runs, view.at, columns) if runs else Text("no run yet"),
        "",
        _node_table(nodes, view.at, columns) if nodes else Text("no node is known yet"),
        *([Text(f"{len(view.nodes) - len(nodes)} more nodes")] if len(nodes) < len(view.nodes) else []),
        *phases,
        *([""] if told else []),
        *(_line(line, "yellow") for line in told),
    )


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _head(view: View, address: str, silence: str | None) -> Iterator[RenderableType]:
    kit = "" if view.kit is None else f"  fedlora {view.kit}, Flower {view.flower}"
    yield _line(f"{datetime.fromtimestamp(view.at, UTC):%H:%M:%S} UTC  {address}{kit}", "bold")
    if silence:
        yield _line(silence, "bold red")


def _most_wanted(nodes: Sequence[Node], room: int, worst: Sequence[str]) -> Sequence[Node]:
    """Return at most `room` nodes, and leave a line to say how many more there are: those with an alarm first."""
    if len(nodes) <= room:
        return nodes
    noted = {line.partition(":")[0] for line in worst}
    return sorted(nodes, key=lambda node: node.name not in noted)[: room - 1]


def _run_table(runs: Sequence[Run], now: float, room: int) -> Table:
    def column(heading: str, rank: int, cell: Callable[[Run], Cell], *, left: bool = False) -> Column:
        return Column(heading, [cell(run) for run in runs], rank, left)

    return fitted(
        [
            column("run", 0, lambda run: run.name, left=True),
            column("state", 1, lambda run: coloured(run.state or DASH), left=True),
            column("round", 2, lambda run: _of(run.round, run.rounds)),
            column("", 7, lambda run: "" if run.share is None else bar(run.share, RUN_BAR, "cyan")),
            column("done", 3, lambda run: percent(run.share)),
            column("now", 9, lambda run: _elapsed(run, now)),
            column("last", 6, lambda run: _seconds(run.round_seconds)),
            column("loss", 4, lambda run: number(run.loss, 3)),
            column("sites", 10, lambda run: _of(run.participants.get("answered"), run.participants.get("sampled"))),
            column("payload", 5, lambda run: size(run.payload_bytes)),
            column("forecast", 11, lambda run: size(run.forecast_bytes)),
            column("budget", 8, _budget),
            column("attempts", 13, lambda run: number(run.attempts)),
            column("score", 12, _score),
        ],
        room,
    )


def _seconds(seconds: float | None) -> str:
    return DASH if seconds is None else f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _elapsed(run: Run, now: float) -> str:
    """Return how long the round under way has lasted."""
    under_way = run.state == "running" and run.round != run.aggregated
    return _seconds(max(0.0, now - run.round_started_at)) if under_way and run.round_started_at else DASH


def _of(part: float | None, whole: float | None) -> str:
    return DASH if part is None and whole is None else f"{number(part)} of {number(whole)}"


def _budget(run: Run) -> Cell:
    return DASH if run.budget is None else Text(percent(run.budget[1]), style=budget_colour(run.budget[1]))


def _score(run: Run) -> str:
    return f"{percent(run.scores.get('base'))} > {percent(run.scores['adapted'])}" if "adapted" in run.scores else DASH


def _node_table(nodes: Sequence[Node], now: float, room: int) -> Table:
    """Return the table of the nodes; where there is room, each direction of the traffic in a column of its own."""
    wide = _node_columns(nodes, now, split=True)
    split = width([column for column in wide if column.rank <= WANTED]) <= room
    return fitted(wide if split else _node_columns(nodes, now, split=False), room)


def _node_columns(nodes: Sequence[Node], now: float, *, split: bool) -> list[Column]:
    def column(heading: str, rank: int, cell: Callable[[Node], Cell], *, left: bool = False) -> Column:
        return Column(heading, [cell(node) for node in nodes], rank, left)

    traffic = [
        column("payload", 4, lambda node: size(_both(node.payload_bytes_down, node.payload_bytes_up))),
        column("wire", 6, lambda node: size(_both(node.wire_bytes_down, node.wire_bytes_up))),
    ]
    if split:
        traffic = [
            column("payload ↓", 4, lambda node: size(node.payload_bytes_down)),
            column("↑", 4, lambda node: size(node.payload_bytes_up)),
            column("wire ↓", 6, lambda node: size(node.wire_bytes_down)),
            column("↑", 6, lambda node: size(node.wire_bytes_up)),
        ]
    gpus = [
        column("GPU", 7, _gpu_work),
        column("GPU memory", 10, _gpu_memory),
    ]
    return [
        column("node", 0, lambda node: node.name, left=True),
        column("domain", 11, lambda node: node.domain or DASH, left=True),
        column("state", 1, lambda node: _state(node, now), left=True),
        column("turns", 3, _turns if split else _answers),
        column("loss", 2, lambda node: number(node.loss, 3)),
        column("tok/s", 5, lambda node: count(node.tokens_per_second)),
        *traffic,
        column("CPU", 6, lambda node: percent(node.cpu_cores)),
        column("memory", 8, lambda node: size(node.memory_bytes)),
        *(gpus if any(node.gpus for node in nodes) else []),
        column("disk", 9, lambda node: percent(None if node.disk_free_ratio is None else 1 - node.disk_free_ratio)),
        column("clock", 13, lambda node: _skew(node.clock_skew_seconds)),
        column("told", 12, lambda node: _ago(node.told_at, now)),
    ]


def _both(down: float | None, up: float | None) -> float | None:
    return None if down is None or up is None else down + up


def _state(node: Node, now: float) -> Cell:
    if node.online is None:
        return DASH
    if node.online:
        return coloured("online")
    return Text("never" if node.last_seen_at is None else _ago(node.last_seen_at, now), style="red")


def _ago(moment: float | None, now: float) -> str:
    """Return how long ago something was, in one unit."""
    if moment is None:
        return DASH
    seconds = max(0.0, now - moment)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    unit, length = next((one for one in units if seconds >= one[1]), units[-1])
    return f"{seconds / length:.0f} {unit} ago"


def _answers(node: Node) -> Cell:
    """Return how many of its turns a node has answered."""
    if not node.turns:
        return DASH
    answered, ended = node.turns.get("answered"), sum(node.turns.values())
    return Text(f"{number(answered)}/{ended:.0f}", style="" if answered == ended else "yellow")


def _turns(node: Node) -> Cell:
    """Return what became of a node's turns, in words."""
    said = [f"{times:.0f} {outcome}" for outcome, times in sorted(node.turns.items()) if times]
    return ", ".join(said) or _answers(node)


def _gpu_work(node: Node) -> str:
    """Return the mean work of a node's GPUs."""
    busy = [gpu.utilisation_ratio for gpu in node.gpus if gpu.utilisation_ratio is not None]
    return percent(sum(busy) / len(busy)) if busy else DASH


def _gpu_memory(node: Node) -> str:
    used = [gpu.memory_used_bytes for gpu in node.gpus if gpu.memory_used_bytes is not None]
    return size(sum(used)) if used else DASH


def _skew(seconds: float | None) -> str:
    return DASH if seconds is None else f"{round(seconds, 1) + 0.0:+.1f} s"


def _phases(run: Run) -> Iterator[RenderableType]:
    """Yield what the time of a run's rounds went into, at the coordinator and at the sites, side by side."""
    if not run.phases and not run.turn_phases:
        return
    grid = Table.grid(padding=(0, 1, 0, 0))
    for _ in range(2):
        grid.add_column(width=PHASE_WORD, no_wrap=True)
        grid.add_column(width=PHASE_BAR)
        grid.add_column(width=PHASE_SHARE, justify="right", no_wrap=True)
    sides = (_shares(run.phases, COORDINATOR), _shares(run.turn_phases, SITE))
    for place in range(PHASE_LINES - 2):
        cells = [cell for side in sides for cell in (side[place] if place < len(side) else ("", "", ""))]
        grid.add_row(*cells)
    which = "last rounds" if run.phases_recent else "all rounds"
    yield ""
    yield _line(f"{'coordinator':{SIDE}}sites: {which} of {run.name}", "bold")
    yield grid


def _shares(phases: Mapping[str, float], words: Sequence[str]) -> list[tuple[RenderableType, ...]]:
    whole = sum(phases.values())
    rows: list[tuple[RenderableType, ...]] = []
    for word in words:
        share = phases[word] / whole if word in phases and whole else None
        rows.append((str(word), "" if share is None else bar(share, PHASE_BAR, "cyan"), percent(share)))
    return rows
