"""Scores of a run's rounds as pictures: each benchmark by round, and what each domain has gained or lost by then."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluator.examination import BASE, SCORINGS, results
from evaluator.leaderboard.columns import APART, BOARDS, TASKS, Board, Column, mean
from evaluator.results.score import Share, TaskScore
from fedlora.adapters.checkpoint import ROUND_NAME
from fedlora.cli.run.plots import COLOURS, Run, begin_at_zero, empty_figure

__all__ = ["Scored", "draw_domains", "draw_scores", "read_scored", "score_pictures"]

WRITTEN = 16  # rounds; with more, numbers do not fit the cells
LEAST_RANGE = 0.01  # of the colours: less than a point looks like nothing

Models = Mapping[tuple[str, str], TaskScore]  # the scores of a model by task and scoring


@dataclass(frozen=True)
class Scored:
    """What stands in a run's folder of benchmarks.

    Attributes
    ----------
    domain : str
        What the run trains for.
    base : mapping
        Scores of the base model, by task and scoring; empty if it was not scored.
    rounds : mapping
        The same of each round that was scored.
    """

    domain: str
    base: Models
    rounds: Mapping[int, Models] = field(default_factory=dict)

    @property
    def scorings(self) -> list[str]:
        """The scorings that rounds have, in the order in which they are told."""
        there = {scoring for models in self.rounds.values() for _, scoring in models}
        return [scoring for scoring in SCORINGS if scoring in there]

    def line(self, column: Column, scoring: str) -> dict[int, Share]:
        """Return a column's share by round; in round 0 that of the base model."""
        shares = {}
        for number, models in {0: self.base, **self.rounds}.items():
            score = models.get((column.task, scoring))
            if score is not None and (share := column.share(score)) is not None:
                shares[number] = share
        return shares

    @property
    def domains(self) -> dict[str, dict[int, Share]]:
        """Gains by round of each domain that a round and the base model were scored in, by what is read of it."""
        rows = {}
        for scoring in self.scorings:
            for board in BOARDS.values():
                columns = [column for column in board.columns if self.gains((column,), scoring)]
                if gains := self.gains(columns, scoring):
                    trained = ", trained" if board.domain == self.domain else ""
                    of = f"{len(columns)} of {len(board.columns)} columns, n = {_counts(gains.values())}"
                    rows[f"{board.title}{trained}: {scoring}\n{of}"] = gains
        return rows

    def gains(self, columns: Sequence[Column], scoring: str) -> dict[int, Share]:
        """Return by round by how much the mean of those columns exceeds the base model's.

        A round that lacks one of them, or was asked other items than the base model, is left out. The interval takes
        both models' as independent, though both answered the same items: so it is too wide.
        """
        found: dict[int, Share] = {}
        for number, models in self.rounds.items():
            pairs = [
                (after, before)
                for column in columns
                if (new := models.get((column.task, scoring))) and (old := self.base.get((column.task, scoring)))
                if new.items_sha256 == old.items_sha256
                if (after := column.share(new)) and (before := column.share(old))
            ]
            ours, theirs = (
                (mean(ones) for ones in zip(*pairs, strict=True)) if len(pairs) == len(columns) > 0 else (None, None)
            )
            if ours is not None and theirs is not None:
                value = ours.value - theirs.value
                below = math.hypot(ours.value - ours.low, theirs.high - theirs.value)
                above = math.hypot(ours.high - ours.value, theirs.value - theirs.low)
                found[number] = Share(ours.n, value, value - below, value + above)
        return found


def read_scored(folder: Path, domain: str) -> Scored | None:
    """Read the folder of a run's benchmarks; None if no round was scored.

    Raises
    ------
    EvaluationError
        If it holds something else.
    """
    if not any(ROUND_NAME.fullmatch(entry.name) for entry in (folder.iterdir() if folder.is_dir() else ())):
        return None
    models = {name: {(one.task, one.scoring): one for one in scores} for name, _, scores in results(folder)}
    rounds = {
        int(match[1]): scores for name, scores in models.items() if (match := ROUND_NAME.fullmatch(name)) and scores
    }
    return Scored(domain, models.get(BASE, {}), dict(sorted(rounds.items()))) if rounds else None


def score_pictures(scored: Scored) -> dict[str, Callable[[Run], Figure]]:
    """Return what draws the pictures, by the names of their files."""
    found: dict[str, Callable[[Run], Figure]] = {"scores": partial(draw_scores, scored=scored)}
    if scored.domains:
        found["domains"] = partial(draw_domains, scored=scored)
    return found


def draw_scores(run: Run, scored: Scored) -> Figure:
    """Draw each benchmark's accuracy by round with its 95 % interval, and the base model's as a dashed line."""
    groups = [
        (f"{board.title}, scoring: {scoring}", lines)
        for scoring in scored.scorings
        for board in BOARDS.values()
        if (lines := _lines(scored, board, scoring))
    ]
    about = "Accuracy with its 95 % interval; dashed: the base model alone"
    figure, panels = empty_figure(run, "Scores", about, panels=len(groups))
    for axes, (title, lines) in zip(panels, groups, strict=True):
        for place, (column, line) in enumerate(lines.items()):
            _draw_line(axes, COLOURS[place], column, line)
        axes.set_title(title)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    begin_at_zero(*panels, label="accuracy (%)")
    return figure


def _lines(scored: Scored, board: Board, scoring: str) -> dict[Column, dict[int, Share]]:
    """Return the lines of a panel: of each column that a round has, and of what is told apart from them."""
    apart = [Column(task, group, title, 0) for (task, group), title in APART.items() if TASKS[task] == board.domain]
    lines = {column: scored.line(column, scoring) for column in (*board.columns, *apart)}
    return {column: line for column, line in lines.items() if any(line)}


def _draw_line(axes: Axes, colour: str, column: Column, line: Mapping[int, Share]) -> None:
    rounds = [number for number in line if number]
    shares = [line[number] for number in rounds]
    values = np.array([share.value for share in shares])
    reach = np.array([[one.value - one.low for one in shares], [one.high - one.value for one in shares]])
    look: dict[str, Any] = {"marker": "o", "ms": 5, "lw": 1.5, "capsize": 3, "elinewidth": 0.8}
    label = f"{column.title}, n = {_counts(shares)}"
    axes.errorbar(rounds, 100 * values, yerr=100 * reach, color=colour, label=label, **look)
    if 0 in line:
        axes.axhline(100 * line[0].value, color=colour, linestyle="--", lw=1)


def draw_domains(run: Run, scored: Scored) -> Figure:
    """Draw by how much each domain exceeds the base model in each round, as a grid of cells."""
    about = "Points of 100 above the base model, mean of the benchmarks scored; bold: the 95 % interval leaves out 0"
    figure, (axes,) = empty_figure(run, "Gain, transfer and forgetting", about, panels=1)
    numbers, rows = sorted(scored.rounds), scored.domains
    cells = [[gains[number].value if number in gains else math.nan for number in numbers] for gains in rows.values()]
    edges = np.arange(len(numbers) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5
    most = 100 * max(LEAST_RANGE, float(np.nanmax(np.abs(cells))))
    axes.grid(visible=False)
    look: dict[str, Any] = {"cmap": "RdBu", "vmin": -most, "vmax": most, "edgecolor": "white", "linewidth": 1}
    mesh = axes.pcolormesh(*edges, 100 * np.array(cells), **look)
    figure.colorbar(mesh, ax=axes, label="points above the base model")
    if len(numbers) <= WRITTEN:
        for row, gains in enumerate(rows.values()):
            _write_gains(axes, row, {numbers.index(number): share for number, share in gains.items()}, most)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    places = range(0, len(numbers), math.ceil(len(numbers) / WRITTEN))  # columns stand side by side, as far as scored
    axes.set_xticks(list(places), [str(numbers[place]) for place in places])
    axes.set_xlim(-0.5, len(numbers) - 0.5)
    return figure


def _write_gains(axes: Axes, row: int, gains: Mapping[int, Share], most: float) -> None:
    for place, share in gains.items():
        look: dict[str, Any] = {
            "fontweight": "bold" if share.low > 0 or share.high < 0 else "normal",
            "color": "white" if abs(100 * share.value) > 0.6 * most else "black",
        }
        axes.text(place, row, f"{100 * share.value:+.1f}", ha="center", va="center", **look)


def _counts(shares: Iterable[Share]) -> str:
    """Return how many items shares are of; the fewest and the most, should they differ."""
    counts = sorted({share.n for share in shares})
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
