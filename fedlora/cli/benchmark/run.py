"""``fedlora benchmark run``."""

import os
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from fedlora.cli.benchmark.arguments import SetOption, evaluation_sets, live_progress
from fedlora.cli.benchmark.table import print_results
from fedlora.cli.options import Format, FormatOption, RunsOption, runs_folder
from fedlora.errors import ConfigurationError
from fedlora.recipes.recipe import BasePrecision, ComputePrecision

if TYPE_CHECKING:
    from evaluator.examination import Examination
    from superlink.runs import RunFolder

__all__ = ["run"]

ScoringName = StrEnum("ScoringName", ["flowertune", "likelihood", "greedy"])
Precision = StrEnum("Precision", {name: name for name in get_args(BasePrecision)})  # type: ignore[misc]
Computing = StrEnum("Computing", {name: name for name in get_args(ComputePrecision)})  # type: ignore[misc]
BF16, FP32 = Precision("bf16"), Computing("fp32")


def run(
    sets: SetOption,
    results: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="Folder for answers and scores; with --run, else the folder of benchmarks in the run's.",
            show_default=False,
        ),
    ] = None,
    of_run: Annotated[str, typer.Option("--run", metavar="NAME", help="Score this run's newest adapter.")] = "",
    runs: RunsOption = None,
    adapter: Annotated[Path | None, typer.Option(metavar="DIR", help="Score this adapter.", show_default=False)] = None,
    base_model: Annotated[
        str, typer.Option(metavar="MODEL", help="Base model; else the one that the adapter names.", show_default=False)
    ] = "",
    scorings: Annotated[
        list[ScoringName] | None,
        typer.Option("--scoring", help="Which scoring; else all of a benchmark's.", show_default=False),
    ] = None,
    every: Annotated[
        int,
        typer.Option(
            "--every",
            min=0,
            metavar="N",
            help="Score each N-th round of the run and its last, and wait for those to come.",
            show_default=False,
        ),
    ] = 0,
    samples: Annotated[int, typer.Option(min=1, help="Programs that are drawn for each item, for pass@k.")] = 1,
    limit: Annotated[int, typer.Option(min=0, help="Most items of a benchmark, drawn by --seed; 0 for all.")] = 0,
    seed: Annotated[int, typer.Option(help="For the draw of items and of programs.")] = 0,
    base_precision: Annotated[Precision, typer.Option(help="What weights are held in.")] = BF16,
    compute_precision: Annotated[Computing, typer.Option(help="What is computed in.")] = FP32,
    threads: Annotated[int, typer.Option(min=1, help="Cores to use.", show_default="all")] = os.cpu_count() or 1,
    output: FormatOption = Format.TABLE,
) -> None:
    """Score a base model, alone and with an adapter, and keep the answer to every item.

    What is in the folder already is not answered again: the same command goes on where it was interrupted.
    """
    from evaluator.examination import SCORINGS, Examination, examine
    from fedlora.adapters.folder import open_adapter
    from fedlora.language_model import obtain
    from fedlora.language_model.cache import DEFAULT_BASE_MODEL
    from superlink.runs import RunFolder

    if results is None:
        if not of_run:
            raise ConfigurationError("name a folder for the results, or a run with --run")
        results = RunFolder(runs_folder(runs), of_run).benchmarks
    files = evaluation_sets(sets)
    if every and not of_run:
        raise ConfigurationError("--every wants a run: name it with --run")
    folder = _adapter(of_run, runs, adapter, wait=bool(every))
    named = base_model or (open_adapter(folder).base_model if folder else DEFAULT_BASE_MODEL)
    examination = Examination(
        benchmarks=files,
        base_model=obtain(named),
        results=results,
        adapters={"adapted": folder} if folder and not every else {},
        run=of_run,
        scorings=tuple(one for one in SCORINGS if scorings is None or ScoringName(one) in scorings),
        samples=samples,
        limit=limit,
        seed=seed,
        base_precision=cast("BasePrecision", base_precision.value),
        compute_precision=cast("ComputePrecision", compute_precision.value),
        threads=threads,
    )
    if every:
        _follow(examination, RunFolder(runs_folder(runs), of_run), every)
    else:
        examine(examination, live_progress())
    if sys.stderr.isatty():
        typer.echo("", err=True)
    print_results(results, output)


def _follow(examination: "Examination", folder: "RunFolder", every: int) -> None:
    """Score rounds as they come, behind everything else that wants the processor."""
    from evaluator.examination import follow
    from fedlora.adapters.checkpoint import CHECKPOINTS

    os.nice(19)
    follow(examination, folder.directory / CHECKPOINTS, every, lambda: _ended(folder), live_progress())


def _ended(folder: "RunFolder") -> bool:
    """Whether a run goes no further: by its ledger, or by what a mirror of it has been told."""
    from fedlora.adapters.mirror import read_mirror
    from superlink.runs import verdict

    mirrored = read_mirror(folder.directory)
    return verdict(folder).state.ended if mirrored is None else mirrored.ended


def _adapter(of_run: str, runs: Path | None, adapter: Path | None, *, wait: bool) -> Path | None:
    """Return the folder of the adapter that is named, if one is; with `wait`, once there is one."""
    from fedlora.adapters.checkpoint import CHECKPOINTS, checkpoint_folders
    from fedlora.errors import EvaluationError
    from fedlora.names import check_name
    from superlink.runs import RunFolder

    if of_run and adapter is not None:
        raise ConfigurationError("--run and --adapter name two adapters; leave one of them out")
    if not of_run:
        return adapter
    directory = runs_folder(runs) / check_name(of_run, EvaluationError) / CHECKPOINTS
    while True:
        for _, newest in checkpoint_folders(directory):
            return newest
        if not wait or _ended(RunFolder(runs_folder(runs), of_run)):
            break
        time.sleep(1)
    raise EvaluationError(f"there is no checkpoint in {directory}; a run has one once its first round is done")
