"""What the evaluator has measured of an adapter, and the file that it is handed on in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora.adapters.checkpoint import checkpoint_folders
from fedlora.config import from_mapping
from fedlora.errors import AdapterError, ConfigurationError

__all__ = ["Score", "Scores", "benchmark_scores", "read_scores"]


APART = "other"  # MMLU's fourth group


@dataclass(frozen=True)
class Score:
    """An accuracy, with what it was counted on.

    Attributes
    ----------
    measure : str
        ``label accuracy`` or ``token accuracy``.
    accuracy : float
        From 0 to 1.
    n : int
        What was counted: records, or answer tokens.
    unit : str
        ``records`` or ``tokens``.
    records : int
        Held-out records.
    low, high : float
        95 % interval of the accuracy (Wilson 1927); for tokens, which depend on each other within a record, too narrow.
    majority : float or None
        Share of the most frequent label, which needs no model; None for free text.
    """

    measure: str
    accuracy: float
    n: int
    unit: str
    records: int
    low: float
    high: float
    majority: float | None = None


@dataclass(frozen=True)
class Scores:
    """The scores of the base model alone and with the adapter."""

    base: Score
    adapted: Score


def read_scores(file: Path) -> Scores:
    """Read the evaluator's ``scores.json``.

    Raises
    ------
    AdapterError
        If it cannot be read or is something else.
    """
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(f"the scores {file} cannot be read: {error}") from error
    try:
        known = {key: _without_none(value) for key, value in document.items()}
        return from_mapping(Scores, known, origin=f"the scores {file}")
    except (ConfigurationError, AttributeError) as error:
        raise AdapterError(f"{file} holds no scores of the evaluator: {error}") from error


def benchmark_scores(folder: Path) -> dict[tuple[str, str], float]:
    """Return what ``fedlora benchmark run`` has left in `folder`: of the base model, and the newest round's.

    Returns
    -------
    dict
        Accuracy from 0 to 1 by model, ``base`` or ``adapted``, and by column of the board and scoring, as ``tfns by
        likelihood`` or ``mmlu stem by likelihood``.

    Raises
    ------
    AdapterError
        If a file there is something else.
    """
    found = {("base", name): value for file in _score_files(folder / "base") for name, value in _columns(file)}
    for _, results in reversed(checkpoint_folders(folder)):  # of the newest, which is under way, some may be missing
        found |= {("adapted", name): value for file in _score_files(results) for name, value in _columns(file)}
    return found


def _score_files(results: Path) -> list[Path]:
    return sorted(results.glob("*/*/score.json"))


def _columns(file: Path) -> list[tuple[str, float]]:
    """Return the accuracy in a file, or those of its groups but the one that no board counts."""
    task, scoring = file.parents[1].name, file.parent.name
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        groups = document.get("groups", {})
        parts = {f"{task} {name}": one for name, one in groups.items() if name != APART} or {task: document["accuracy"]}
        return [(f"{name} by {scoring}", float(one["value"])) for name, one in parts.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AdapterError(f"{file} holds no score of a benchmark: {type(error).__name__}: {error}") from error


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
