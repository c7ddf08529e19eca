"""Scores as people read them."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedlora.cli.amounts import DASH
from fedlora.cli.options import Format

if TYPE_CHECKING:
    from evaluator.results.evaluation import Evaluation
    from evaluator.results.score import Share, TaskScore

    Results = list[tuple[str, Evaluation, list[TaskScore]]]

__all__ = ["print_results"]

DETAILED = 2  # of so many models, all is shown


def print_results(folder: Path, output: Format) -> None:
    """Print what stands in a folder of results: of two models all, of more a matrix of their accuracies."""
    from evaluator.examination import results

    found = list(results(folder))
    if output is Format.JSON:
        document = [
            {"name": name, "of": dataclasses.asdict(of), "scores": [dataclasses.asdict(one) for one in scores]}
            for name, of, scores in found
        ]
        typer.echo(json.dumps(document, indent=2))
        return
    for line in _details(found) if len(found) <= DETAILED else _matrix(found):
        typer.echo(line.rstrip())


def _details(found: "Results") -> list[str]:
    row = "{:<20}{:<12}{:<26}{:>7}{:>10}   {:<18}{:>11}"
    lines = [row.format("benchmark", "scoring", "of", "items", "accuracy", "95 % interval", "unparsable")]
    for name, of, scores in found:
        who = f"{name} {of.adapter_sha256[:8]}" if of.adapter_sha256 else of.base_model.rsplit("/", 1)[-1]
        for one in scores:
            for part, share in _parts(one):
                interval = f"{share.low:.1%} to {share.high:.1%}"
                unparsable = f"{one.unparsable:.1%}" if part == one.task else ""
                lines.append(row.format(part, one.scoring, who, share.n, f"{share.value:.1%}", interval, unparsable))
        for title, scoring, share in _means(scores):
            interval = f"{share.low:.1%} to {share.high:.1%}"
            lines.append(row.format(title, scoring, who, share.n, f"{share.value:.1%}", interval, ""))
    return lines + [
        f"{name}: {one.cut} prompts of {one.task} by {one.scoring} did not fit the model's context, and lost their "
        "beginning"
        for name, _, scores in found
        for one in scores
        if one.cut
    ]


def _means(scores: "list[TaskScore]") -> Iterator[tuple[str, str, "Share"]]:
    """Yield the score of each domain all of whose columns are there, as the board has it."""
    from evaluator.leaderboard.columns import BOARDS, mean, shares

    for scoring in dict.fromkeys(one.scoring for one in scores):
        by_task = {one.task: one for one in scores if one.scoring == scoring}
        for board in BOARDS.values():
            if (whole := mean(shares(board, by_task))) is not None:
                yield f"{board.title}, mean", scoring, whole


def _matrix(found: "Results") -> list[str]:
    row = "{:<20}{:<12}{:>7}" + "{:>12}" * len(found)
    lines = [row.format("benchmark", "scoring", "items", *(name for name, _, _ in found))]
    shares = [{(part, one.scoring): share for one in scores for part, share in _parts(one)} for _, _, scores in found]
    for place in dict.fromkeys(place for ones in shares for place in ones):
        items = next(ones[place].n for ones in shares if place in ones)
        values = (f"{ones[place].value:.1%}" if place in ones else DASH for ones in shares)
        lines.append(row.format(*place, items, *values))
    return lines


def _parts(one: "TaskScore") -> "list[tuple[str, Share]]":
    """Return a task's share and those of its groups, by what they are called in the table."""
    return [(one.task, one.accuracy), *((f"  {name}", share) for name, share in one.groups.items())]
