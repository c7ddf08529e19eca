"""``fedlora benchmark follow``."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
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
    ThreadsOption,
    folder_of_sets,
    live_progress,
    scorings,
)
from fedlora.cli.options import RunsOption, runs_folder
from fedlora.recipes.recipe import BasePrecision, ComputePrecision

if TYPE_CHECKING:
    from evaluator.examination import Examination, Progress
    from superlink.runs import RunFolder

__all__ = ["follow"]

LOOK_SECONDS = 2.0  # between looks at the folder of runs
log = logging.getLogger("fedlora.evaluator")


def follow(
    sets: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder with the items of each benchmark: files or folders with its name, as tfns.csv or fiqa/.",
            show_default=False,
        ),
    ],
    runs: RunsOption = None,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Score each N-th round of a run, and its last.")] = 5,
    base_model: BaseModelOption = "",
    scoring: ScoringOption = None,
    limit: LimitOption = 0,
    seed: SeedOption = 0,
    base_precision: PrecisionOption = BF16,
    compute_precision: ComputePrecisionOption = FP32,
    threads: ThreadsOption = CORES,
    heartbeat: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Touched with each look and each batch of answers.", show_default=False),
    ] = None,
) -> None:
    """Score the rounds of all runs as they come, one run after the other, until it is ended: a service.

    It has the lowest priority, and reads checkpoints and nothing else. Scores go into the folder of benchmarks in each
    run's, from where the coordinator's exporter takes them. Killed and started again, it goes on where it was.
    """
    from evaluator.examination import Examination, Sitting
    from fedlora.environment import check_rendered_version
    from fedlora.heartbeat import Heartbeat
    from fedlora.language_model import obtain
    from fedlora.language_model.cache import DEFAULT_BASE_MODEL
    from fedlora.log import show

    show()
    check_rendered_version()
    os.nice(19)
    examination = Examination(
        benchmarks=folder_of_sets(sets),
        base_model=obtain(base_model or DEFAULT_BASE_MODEL),
        results=Path(),
        scorings=scorings(scoring),
        limit=limit,
        seed=seed,
        base_precision=cast("BasePrecision", base_precision.value),
        compute_precision=cast("ComputePrecision", compute_precision.value),
        threads=threads,
    )
    shown, note = live_progress(), Heartbeat(heartbeat).note if heartbeat else lambda: None

    def progress(who: str, task: str, scoring: str, done: int, wanted: int) -> None:
        note()
        shown(who, task, scoring, done, wanted)

    Sitting(examination, progress)  # what cannot be asked is named now, not when the first run comes
    log.info("each %d. round of the runs in %s: %s", every, runs_folder(runs), ", ".join(examination.benchmarks))
    _serve(examination, runs_folder(runs), every, progress, note)


def _serve(examination: "Examination", runs: Path, every: int, progress: "Progress", note: Callable[[], None]) -> None:
    """Look for runs with a checkpoint that is new; what is wrong with one is logged, and costs no other its scores."""
    from fedlora.errors import FedloraError
    from superlink.runs import run_folders

    known: dict[str, int] = {}
    while True:
        note()
        for folder in run_folders(runs):
            if known.get(folder.name, 0) != _newest(folder):
                of_run = replace(examination, results=folder.benchmarks, run=folder.name)
                try:
                    _score(folder, of_run, every, progress, note)
                except FedloraError as error:
                    log.error("run %s is not scored: %s: %s", folder.name, type(error).__name__, error)
                known[folder.name] = _newest(folder)
        time.sleep(LOOK_SECONDS)


def _newest(folder: "RunFolder") -> int:
    """Return the newest round of a run that has a checkpoint; 0 if there is none."""
    from fedlora.adapters.checkpoint import CHECKPOINTS, checkpoint_folders

    return next((number for number, _ in checkpoint_folders(folder.directory / CHECKPOINTS)), 0)


def _score(
    folder: "RunFolder", examination: "Examination", every: int, progress: "Progress", note: Callable[[], None]
) -> None:
    """Score a run's rounds until it has ended."""
    from evaluator.examination import follow as follow_run
    from fedlora.adapters.checkpoint import CHECKPOINTS
    from superlink.runs import verdict

    def ended() -> bool:
        note()
        return verdict(folder).state.ended

    follow_run(examination, folder.directory / CHECKPOINTS, every, ended, progress)
