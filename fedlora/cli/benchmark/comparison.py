"""Several models side by side, and whether any two of them solve the same items equally often."""

import dataclasses
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedlora.cli.options import Format

if TYPE_CHECKING:
    from evaluator.leaderboard.comparison import Paired
    from evaluator.results.evaluation import Evaluation
    from evaluator.results.score import TaskScore

__all__ = ["print_comparison"]

OTHER_ITEMS = "asked other items"


@dataclass(frozen=True)
class Model:
    """A model that was scored: what the table calls it, its folder of results, and what stands there."""

    name: str
    folder: Path
    of: "Evaluation"
    scores: "list[TaskScore]"


@dataclass(frozen=True)
class Pair:
    """Two models in one benchmark; `paired` is None where they were not asked the same items."""

    task: str
    scoring: str
    first: str
    second: str
    paired: "Paired | None"


def print_comparison(folders: Sequence[Path], output: Format) -> None:
    """Print the scores of the models in several folders of results, and McNemar's test between each two of them."""
    models = _models(folders)
    pairs = list(_pairs(models))
    if output is Format.JSON:
        document = {
            "models": [{**dataclasses.asdict(one), "folder": str(one.folder)} for one in models],
            "pairs": [dataclasses.asdict(pair) for pair in pairs],
        }
        typer.echo(json.dumps(document, indent=2))
        return
    for line in (*_score_lines(models), "", *_pair_lines(pairs)):
        typer.echo(line.rstrip())


def _models(folders: Sequence[Path]) -> list[Model]:
    """Return the base model once, and of each folder the adapter: the one that it is of, or the newest in it."""
    from evaluator.examination import BASE, result, results
    from evaluator.results.evaluation import EVALUATION

    models: dict[str, Model] = {}
    for folder in folders:
        if (folder / EVALUATION).exists():
            models[str(folder)] = Model(str(folder), folder, *result(folder))
            continue
        for name, of, scores in results(folder):
            if name == BASE:
                models.setdefault(BASE, Model(BASE, folder / name, of, scores))
            elif scores:
                models[str(folder)] = Model(str(folder), folder / name, of, scores)
    return list(models.values())


def _pairs(models: Sequence[Model]) -> "itertools.chain[Pair]":
    from evaluator.examination import ANSWERS
    from evaluator.leaderboard.comparison import compare, solved
    from evaluator.results.answer import read_answers

    def of_task(task: str, scoring: str) -> list[Pair]:
        files = {one.name: one.folder / task / scoring / ANSWERS for one in models}
        bits = {name: solved(list(read_answers(file))) for name, file in files.items() if file.exists()}
        return [
            Pair(task, scoring, first, second, compare(bits[first], bits[second]))
            for first, second in itertools.combinations(bits, 2)
        ]

    tasks = dict.fromkeys((score.task, score.scoring) for one in models for score in one.scores)
    return itertools.chain.from_iterable(of_task(*place) for place in tasks)


def _score_lines(models: Sequence[Model]) -> list[str]:
    width = max(len(one.name) for one in models) + 2
    row = f"{{:<20}}{{:<12}}{{:<{width}}}{{:>7}}{{:>10}}   {{}}"
    lines = [row.format("benchmark", "scoring", "model", "items", "accuracy", "95 % interval")]
    for place in dict.fromkeys((score.task, score.scoring) for one in models for score in one.scores):
        for one in models:
            for score in one.scores:
                if (score.task, score.scoring) == place:
                    share = score.accuracy
                    interval = f"{share.low:.1%} to {share.high:.1%}"
                    lines.append(row.format(*place, one.name, share.n, f"{share.value:.1%}", interval))
    return lines


def _pair_lines(pairs: Sequence[Pair]) -> list[str]:
    width = max((len(name) for pair in pairs for name in (pair.first, pair.second)), default=0) + 2
    row = f"{{:<20}}{{:<12}}{{:<{width}}}{{:<{width}}}{{:>11}}{{:>12}}   {{}}"
    lines = [row.format("benchmark", "scoring", "first", "second", "first only", "second only", "p (McNemar)")]
    for pair in pairs:
        found = pair.paired
        told = (found.first_only, found.second_only, f"{found.p:.2g}") if found else ("", "", OTHER_ITEMS)
        lines.append(row.format(pair.task, pair.scoring, pair.first, pair.second, *told))
    return lines
