"""Items of benchmarks from the hub, by name and revision; fetched once, and held to what the reference asks."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedlora.cli.shard.hub import data_set_rows
from fedlora.environment import cache_directory
from fedlora.errors import EvaluationError, ShardError

if TYPE_CHECKING:
    from evaluator.tasks.catalogue import Task

__all__ = ["fetch"]

COMMIT = re.compile("[0-9a-f]{40}")
ELSEWHERE = "or download a file of it elsewhere and name that with --set"
# SHA-256 of the sorted ids of all items, as in score.json. FiQA has none: how many rows the hub's set has is not known
# to us, and the ids of its quarter follow from that. PubMedQA's rows have none on the hub: places.
PINNED = {
    "mmlu": "69e861eccd6f178ea3ec6b7fbc523e52d4d2545a52feff28880ab3b1c2ed6fe5",
    "fpb": "a93314ab3f38aac62b304190252fc7db7f0050498b2976b72e7e46b99897bdc2",
    "tfns": "89224c059b96445f74531582f4cadf77a57f91e54e626398285d52fc1a3157d7",
    "pubmedqa": "034b98bda26ce8c925351a7dde34a6eaaf53d5cd45a667ab68a21242c0a8c694",
    "medmcqa": "bce7f79a0cad4945aaf91f4a2fce2796b47e59b5ef0f2e49d68e9ad233e300dc",
    "medqa": "f08a6146279925c514eceb1bf615caaa64275f7b7e5050f0130d8516a18e09e7",
    "careqa": "a35ba9b9e242796fa2c5081c5fd02b094a504e6c4955000c09e2472639f32a8c",
    "humaneval": "77da7ef3747c414099876a7a633bba803d6349f5387bfdfedc8f42a6ffc2e6c3",
    "mbpp": "af2f2a5fcb10d1c44e0da4453bebb6ee984568e1ea8e9c2881de215dcfba9989",
    "multipl-e-js": "ed206f5c9684d7ead61b10181c351f237f762ab75072d51e752fdf5cc7254899",
    "multipl-e-cpp": "ed206f5c9684d7ead61b10181c351f237f762ab75072d51e752fdf5cc7254899",
}


def fetch(of: "Task", revision: str = "") -> Path:
    """Return a file with a benchmark's items as the hub has them; it stays in the cache, by its commit.

    Parameters
    ----------
    of : Task
        The benchmark.
    revision : str
        Branch, tag or commit; else the catalogue's.

    Raises
    ------
    EvaluationError
        If the hub cannot be reached or lacks it, or its items are not those that the reference asks.
    """
    commit = _commit(of, revision or of.revision)
    file = cache_directory() / "benchmarks" / f"{of.name}-{commit}.jsonl"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{os.getpid()}-{file.name}")
        try:
            _write(of, commit, unfinished)
            _check(of, commit, unfinished)
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
    typer.echo(f"{of.name}: {of.hub} at {commit}", err=True)
    return file


def _commit(of: "Task", revision: str) -> str:
    """Return the commit that a revision stands for today."""
    if COMMIT.fullmatch(revision):
        return revision
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise EvaluationError(f"{of.name}: needs the package datasets; run: pip install 'fedlora[hub]'") from error
    try:
        found = HfApi(endpoint=os.environ.get("HF_ENDPOINT")).dataset_info(of.hub, revision=revision, timeout=60)
    except Exception as error:  # what a hub's client raises, whatever is wrong, is its own
        raise EvaluationError(
            f"{of.name}: {of.hub} at revision {revision} cannot be found on the hub: {type(error).__name__}: {error}; "
            f"try again later, {ELSEWHERE}"
        ) from error
    return str(found.sha)


def _write(of: "Task", commit: str, file: Path) -> None:
    try:
        with file.open("w", encoding="utf-8") as out:
            rows = data_set_rows(
                f"{of.name}: {of.hub}", of.hub, of.subset or None, of.split, commit, of.converted, ELSEWHERE
            )
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for _, row in rows)
    except ShardError as error:
        raise EvaluationError(str(error)) from error


def _check(of: "Task", commit: str, file: Path) -> None:
    ids = sorted(item.id for item in of.read(file))
    found = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    if found != PINNED.get(of.name, found):
        raise EvaluationError(
            f"{of.name}: {of.hub} at {commit} has {len(ids)} items with other ids than the reference's set (SHA-256 "
            f"{found}, expected {PINNED[of.name]}); name another revision with --set {of.name}=hub:REVISION"
        )
