"""``fedlora benchmark run``."""

import os
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from fedlora.cli.benchmark.arguments import (
    BF16,
    CORES,
    FP32,
    BaseModelOption,
    ComputePrecisionOption,
    LimitOption,
    PrecisionOption,
    ScoringOption,
    SeedOption,
    SetOption,
    ThreadsOption,
    evaluation_sets,
    live_progress,
    scorings,
    sets_of_domain,
)
from fedlora.cli.benchmark.table import print_results
from fedlora.cli.options import Format, FormatOption, RunsOption, runs_folder
from fedlora.errors import ConfigurationError
from fedlora.recipes.recipe import BasePrecision, ComputePrecision

if TYPE_CHECKING:
    from evaluator.examination import Engine, Examination
    from superlink.runs import RunFolder

__all__ = ["run"]

EngineName = StrEnum("EngineName", ["transformers", "vllm"])
TRANSFORMERS = EngineName("transformers")


def run(
    results: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="Folder for answers and scores; with --run, else the folder of benchmarks in the run's.",
            show_default=False,
        ),
    ] = None,
    sets: SetOption = [],  # noqa: B006 - Typer makes a new list
    of_run: Annotated[str, typer.Option("--run", metavar="NAME", help="Score this run's newest adapter.")] = "",
    runs: RunsOption = None,
    adapter: Annotated[Path | None, typer.Option(metavar="DIR", help="Score this adapter.", show_default=False)] = None,
    base_model: BaseModelOption = "",
    scoring: ScoringOption = None,
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
    limit: LimitOption = 0,
    seed: SeedOption = 0,
    base_precision: PrecisionOption = BF16,
    compute_precision: ComputePrecisionOption = FP32,
    threads: ThreadsOption = CORES,
    engine: Annotated[EngineName, typer.Option(help="What computes; vLLM where it is installed.")] = TRANSFORMERS,
    output: FormatOption = Format.TABLE,
) -> None:
    """Score a base model, alone and with an adapter, and keep the answer to every item.

    What is in the folder already is not answered again: the same command goes on where it was interrupted. Without
    --set, the benchmarks of the domain that the adapter was trained for are fetched from the hub.
    """
    from evaluator.examination import Examination, examine
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
    opened = open_adapter(folder) if folder else None
    if not sets:
        spec = opened.spec if opened else None
        if spec is None:
            raise ConfigurationError("name benchmarks with --set: no adapter of a run says which domain it is of")
        files = evaluation_sets(sets_of_domain(spec.recipe.partition("/")[0]))
    named = base_model or (opened.base_model if opened else DEFAULT_BASE_MODEL)
    examination = Examination(
        benchmarks=files,
        base_model=obtain(named),
        results=results,
        adapters={"adapted": folder} if folder and not every else {},
        run=of_run,
        scorings=scorings(scoring),
        samples=samples,
        limit=limit,
        seed=seed,
        base_precision=cast("BasePrecision", base_precision.value),
        compute_precision=cast("ComputePrecision", compute_precision.value),
        threads=threads,
        engine=cast("Engine", engine.value),
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
