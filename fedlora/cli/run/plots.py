"""A run as pictures: loss, bytes and seconds by round, each as PNG and SVG. The same ledger gives the same files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fedlora.errors import ConfigurationError, RunError
from fedlora.phases import COORDINATOR
from superlink.ledger import RoundRow, TurnRow

__all__ = [
    "COLOURS",
    "Run",
    "begin_at_zero",
    "draw_bytes",
    "draw_loss",
    "draw_seconds",
    "empty_figure",
    "write_plots",
]

Heights = NDArray[np.float64]

# Okabe and Ito's colours, which people tell apart however they see colours; without yellow, which is faint on white,
# and black, which is the mean's. With the strokes and hatches 24 sites look different.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
STROKES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))
HATCHES = ("", "////", "\\\\\\\\", "xxxx")
BARS = 60  # with more rounds than these the bars of a stack touch
POINTS = 300  # with more points than these lines go without markers
MEAN = "mean, weighted\nby records"
HEAD_INCHES = 0.65  # for the two lines of a title
LONGEST_SITE, LONGEST_RUN = 24, 40  # letters of a name that there is room for
UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("bytes", 1))
LOOK = {
    "text.parse_math": False,  # a name is a name
    "svg.hashsalt": "fedlora",
    "savefig.dpi": 150,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "grid.color": "#DDDDDD",
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Run:
    """What is drawn of a run.

    Attributes
    ----------
    name : str
        Of the run.
    sites : tuple of str
        Who takes part; a site keeps its colour in all pictures.
    rounds, turns : list
        From the ledger.
    """

    name: str
    sites: tuple[str, ...]
    rounds: list[RoundRow]
    turns: list[TurnRow]

    @property
    def last(self) -> int:
        """The last round that was begun."""
        return max(turn.round for turn in self.turns)

    @property
    def counted(self) -> list[TurnRow]:
        """The turns of aggregated rounds, in the attempt that aggregated them."""
        aggregated = {(row.number, row.epoch) for row in self.rounds if row.state == "aggregated"}
        return [turn for turn in self.turns if (turn.round, turn.epoch) in aggregated]


def write_plots(run: Run, directory: Path, more: Mapping[str, Callable[[Run], Figure]] | None = None) -> list[Path]:
    """Draw `run` into `directory`, and return the files.

    Parameters
    ----------
    run : Run
        What is drawn.
    directory : Path
        Where the files go.
    more : mapping
        What is drawn besides, by the name of its files.

    Raises
    ------
    RunError
        If no turn has ended yet.
    ConfigurationError
        If the folder cannot be written.
    """
    if all(turn.outcome == "asked" for turn in run.turns):
        raise RunError(f"run {run.name} has no finished turn yet, so there is nothing to draw; try again after round 1")
    files = []
    with style.context(["default", LOOK]):  # whatever matplotlibrc the user has
        pictures = {"loss": draw_loss, "bytes": draw_bytes, "seconds": draw_seconds, **(more or {})}
        for name, draw in pictures.items():
            files += _save(draw(run), directory, name)
    return files


def _save(figure: Figure, directory: Path, name: str) -> list[Path]:
    png, svg = directory / f"{name}.png", directory / f"{name}.svg"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        figure.savefig(png, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    except OSError as error:
        raise ConfigurationError(f"--plots {directory}: the pictures cannot be written there: {error}") from error
    return [png, svg]


def draw_loss(run: Run) -> Figure:
    """Draw the loss of each site that answered, and their mean, over the aggregated rounds."""
    done = len({turn.round for turn in run.counted})
    figure, (axes,) = empty_figure(
        run, "Training loss", f"Mean over the round at each site, {done} aggregated round(s)", panels=1
    )
    turns = [turn for turn in run.counted if turn.outcome == "answered"]
    _draw_lines(axes, run, turns, lambda turn: turn.loss)
    if len(run.sites) > 1:
        _draw_mean(axes, turns)
    axes.set_ylabel("loss (nats per answer token)")
    _add_legend(figure, axes)
    return figure


def draw_seconds(run: Run) -> Figure:
    """Draw how long each site took, in its trainer and in all, and what the rounds took, by phase."""
    figure, (training, whole, rounds) = empty_figure(run, "Time", "Aggregated rounds", panels=3)
    _draw_lines(training, run, run.counted, lambda turn: turn.train_seconds)
    _draw_lines(whole, run, run.counted, lambda turn: turn.round_trip_seconds)
    training.set_title("in the trainer")
    whole.set_title("in all, from sending the adapter to holding the update")
    _draw_phases(rounds, run)
    rounds.set_title("rounds at the coordinator, by phase; the checkpoint is written while the next round is trained")
    begin_at_zero(training, whole, rounds, label="time (s)")
    _add_legend(figure, whole)
    _add_legend(figure, rounds, title="phase", reverse=True)
    return figure


def draw_bytes(run: Run) -> Figure:
    """Draw everything that was sent, whatever became of it, each direction for itself."""
    down, up = (sum(getattr(turn, way) for turn in run.turns) for way in ("bytes_down", "bytes_up"))
    unit, size = _unit(max(down, up) / run.last)
    about = f"All attempts: {_amount(down)} to the sites, {_amount(up)} from them"
    figure, (to_sites, from_sites) = empty_figure(run, "Payload sent", about, panels=2)
    _draw_stack(to_sites, run, lambda turn: turn.bytes_down / size)
    _draw_stack(from_sites, run, lambda turn: turn.bytes_up / size)
    to_sites.set_title("to the sites")
    from_sites.set_title("from the sites")
    begin_at_zero(to_sites, from_sites, label=f"payload ({unit})")
    _add_legend(figure, to_sites, reverse=True)  # in the order of the stack
    return figure


def empty_figure(run: Run, title: str, about: str, *, panels: int) -> tuple[Figure, list[Axes]]:
    """Return an empty picture with its titles and one axis of rounds for all panels."""
    height = 2.75 + 2.25 * panels
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - HEAD_INCHES / height), w_pad=0.1)
    figure = Figure(figsize=(10, height), layout=layout)
    FigureCanvasAgg(figure)
    figure.text(
        0.012,
        1 - 0.32 / height,
        f"{title} by round, {_short(run.name, LONGEST_RUN)}",
        fontsize="large",
        fontweight="bold",
    )
    figure.text(0.012, 1 - 0.55 / height, about, color="#444444")
    axes = list(figure.subplots(panels, 1, sharex=True, sharey=True, squeeze=False)[:, 0])
    axes[-1].set_xlabel("round")
    axes[-1].set_xlim(0.5, run.last + 0.5)
    axes[-1].xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    return figure, axes


def begin_at_zero(*panels: Axes, label: str) -> None:
    """Let the heights of all panels begin at 0, and name them."""
    highest = max(axes.dataLim.y1 for axes in panels)
    for axes in panels:
        axes.set_ylabel(label)
        axes.set_ylim(0, 1.06 * highest if highest > 0 else 1)


def _draw_lines(axes: Axes, run: Run, turns: Sequence[TurnRow], figure: Callable[[TurnRow], float | None]) -> None:
    """Draw one line for each site, over those of its turns that have the figure."""
    few = len(turns) <= POINTS
    for index, site in enumerate(run.sites):
        points = [(turn.round, value) for turn in turns if turn.site == site and (value := figure(turn)) is not None]
        if points:
            colour, (stroke, marker) = COLOURS[index % len(COLOURS)], STROKES[index // len(COLOURS) % len(STROKES)]
            shape: dict[str, Any] = {
                "marker": marker if few or len(points) == 1 else "",
                "ms": 5,
                "lw": 1.5 if few else 0.9,
            }
            axes.plot(*zip(*points, strict=True), linestyle=stroke, color=colour, label=_short(site), **shape)
    if not axes.lines:
        axes.text(0.5, 0.5, "no aggregated round yet", transform=axes.transAxes, ha="center", color="#666666")
        axes.tick_params(labelleft=False)


def _draw_mean(axes: Axes, turns: Sequence[TurnRow]) -> None:
    """Draw the mean over the sites, weighted as their updates are."""
    points = []
    for number in sorted({turn.round for turn in turns}):
        known = [(turn.loss, turn.examples) for turn in turns if turn.round == number and turn.loss is not None]
        if weight := sum(examples for _, examples in known):
            points.append((number, sum(loss * examples for loss, examples in known) / weight))
    if points:
        marker = "D" if len(turns) <= POINTS else ""
        axes.plot(*zip(*points, strict=True), color="black", lw=2.5, marker=marker, label=MEAN, zorder=3)


def _draw_stack(axes: Axes, run: Run, size: Callable[[TurnRow], float]) -> None:
    """Draw one bar for each round, in which every site has its part."""
    floor = np.zeros(run.last)
    for index, site in enumerate(run.sites):
        top = floor.copy()
        for turn in run.turns:
            if turn.site == site:
                top[turn.round - 1] += size(turn)
        if (top > floor).any():
            colour, hatch = COLOURS[index % len(COLOURS)], HATCHES[index // len(COLOURS) % len(HATCHES)]
            _draw_layer(axes, floor, top, facecolor=colour, hatch=hatch, edgecolor="white", label=_short(site))
        floor = top


def _draw_phases(axes: Axes, run: Run) -> None:
    """Draw one bar for each aggregated round, in which every phase of the coordinator has its part."""
    floor = np.zeros(run.last)
    for index, phase in enumerate(COORDINATOR):
        top = floor.copy()
        for row in run.rounds:
            if row.state == "aggregated":
                top[row.number - 1] += row.phases.get(phase, 0.0)
        if (top > floor).any():
            _draw_layer(axes, floor, top, facecolor=COLOURS[-1 - index], edgecolor="white", label=phase.value)
        floor = top


def _draw_layer(axes: Axes, floor: Heights, top: Heights, **look: Any) -> None:
    rounds = np.arange(1, len(top) + 1)
    if len(top) <= BARS:
        width = min(0.7, 0.1 + 0.1 * len(top))  # one round alone is no wall
        axes.bar(rounds, top - floor, width=width, bottom=floor, linewidth=0.6, **look)
    else:
        axes.stairs(top, np.append(rounds - 0.5, len(top) + 0.5), baseline=floor, fill=True, linewidth=0, **look)


def _unit(size: float) -> tuple[str, int]:
    return next(unit for unit in UNITS if size >= unit[1] or unit[1] == 1)


def _amount(size: float) -> str:
    unit, divisor = _unit(size)
    return f"{size / divisor:,.1f} {unit}"


def _add_legend(figure: Figure, axes: Axes, *, title: str = "site", reverse: bool = False) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        place: Literal["outside right lower", "outside right upper"]
        place = "outside right lower" if figure.legends else "outside right upper"
        figure.legend(handles, labels, title=title, loc=place, reverse=reverse, alignment="left")


def _short(name: str, most: int = LONGEST_SITE) -> str:
    half = most // 2
    return name if len(name) <= most else f"{name[: half - 1]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"
