"""What commands that score share: options, and a line that says how far they are."""

import os
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from fedlora.cli.amounts import duration
from fedlora.errors import ConfigurationError
from fedlora.recipes.recipe import BasePrecision, ComputePrecision

if TYPE_CHECKING:
    from evaluator.examination import Progress, Scoring

__all__ = [
    "BF16",
    "CORES",
    "FP32",
    "BaseModelOption",
    "ComputePrecisionOption",
    "LimitOption",
    "PrecisionOption",
    "ScoringOption",
    "SeedOption",
    "SetOption",
    "ThreadsOption",
    "evaluation_sets",
    "folder_of_sets",
    "live_progress",
    "scorings",
    "sets_of_domain",
]

ScoringName = StrEnum("ScoringName", ["flowertune", "likelihood", "greedy"])
Precision = StrEnum("Precision", {name: name for name in get_args(BasePrecision)})  # type: ignore[misc]
Computing = StrEnum("Computing", {name: name for name in get_args(ComputePrecision)})  # type: ignore[misc]
BF16, FP32, CORES = Precision("bf16"), Computing("fp32"), os.cpu_count() or 1

BaseModelOption = Annotated[
    str, typer.Option(metavar="MODEL", help="Base model; else the one that the adapter names.", show_default=False)
]
ScoringOption = Annotated[
    list[ScoringName] | None,
    typer.Option("--scoring", help="Which scoring; else all of a benchmark's.", show_default=False),
]
LimitOption = Annotated[int, typer.Option(min=0, help="Most items of a benchmark, drawn by --seed; 0 for all.")]
SeedOption = Annotated[int, typer.Option(help="For the draw of items and of programs.")]
PrecisionOption = Annotated[Precision, typer.Option(help="What weights are held in.")]
ComputePrecisionOption = Annotated[Computing, typer.Option(help="What is computed in.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Cores to use.", show_default="all")]

SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="NAME=FILE",
        help="A benchmark and the file or folder of its items, or hub, or hub:REVISION; may be given several times.",
        show_default=False,
    ),
]


def scorings(wanted: Sequence[ScoringName] | None) -> "tuple[Scoring, ...]":
    """Return the scorings that are wanted, in the order in which they are done; all if none is named."""
    from evaluator.examination import SCORINGS

    return tuple(one for one in SCORINGS if wanted is None or ScoringName(one) in wanted)


def evaluation_sets(sets: Sequence[str]) -> dict[str, Path]:
    """Return the files of benchmarks by their names; what stands on the hub is fetched.

    Raises
    ------
    ConfigurationError
        If one is not NAME=FILE, or the file is not there.
    EvaluationError
        If there is no benchmark of a name, or the hub lacks it.
    """
    return dict(map(_pair, sets))


def _pair(text: str) -> tuple[str, Path]:
    from evaluator.tasks.catalogue import task
    from fedlora.cli.benchmark.hub import fetch

    name, equals, file = text.partition("=")
    if not equals or not file:
        raise ConfigurationError(f"--set {text}: say NAME=FILE, for example tfns=sent_valid.csv, or NAME=hub")
    of = task(name)
    where, _, revision = file.partition(":")
    if where == "hub":
        return of.name, fetch(of, revision)
    if not Path(file).exists():
        raise ConfigurationError(f"--set {text}: there is no {file}")
    return of.name, Path(file)


def sets_of_domain(domain: str) -> list[str]:
    """Return what is scored where nobody has said it: the benchmarks of a domain, from the hub."""
    from evaluator.tasks.catalogue import TASKS

    return [f"{name}=hub" for name, one in TASKS.items() if one.domain == domain]


def folder_of_sets(folder: Path) -> dict[str, Path]:
    """Return the files of benchmarks in a folder by their names, which those of the files begin with.

    Raises
    ------
    ConfigurationError
        If there is none.
    EvaluationError
        If there is no benchmark of a name.
    """
    from evaluator.tasks.catalogue import task

    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    found = {task(one.name.partition(".")[0]).name: one for one in entries if not one.name.startswith(".")}
    if not found:
        raise ConfigurationError(
            f"{folder} holds no benchmark's items: put a file or folder there for each, as tfns.csv; the names are "
            "those of `fedlora benchmark list`"
        )
    return found


def live_progress() -> "Progress":
    """Return what shows progress: one line that is rewritten on a terminal, else a line each half minute."""
    began = last = time.monotonic()
    live = sys.stderr.isatty()

    def show(who: str, task: str, scoring: str, done: int, wanted: int) -> None:
        nonlocal last
        now = time.monotonic()
        if not live and now - last < 30 and done < wanted:
            return
        last = now
        text = f"{who}: {task} by {scoring}: {done} of {wanted} items, {duration(now - began)}"
        typer.echo(f"\r\x1b[K{text}" if live else text, nl=not live, err=True)

    return show
