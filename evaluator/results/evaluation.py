"""What a folder of results is of, and how it was come by."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fedlora.config import from_mapping
from fedlora.errors import ConfigurationError, EvaluationError
from fedlora.rules import matching

__all__ = ["EVALUATION", "Evaluation", "read_evaluation"]

EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Evaluation:
    """What results are of; two can be compared if all is equal but for who answers, and when.

    Attributes
    ----------
    base_model, base_model_sha256 : str
        The base model.
    adapter_sha256 : str
        Hash of the adapter's tensors' file; empty for the base model alone.
    run : str
        Whose adapter; empty if it is of no run.
    kit_version : str
        The kit that scored.
    versions : mapping
        Versions of the libraries that computed.
    precision : str
        What weights are held in, and what is computed in.
    samples, limit, seed : int
        Programs drawn for each item, most items of a benchmark (0 for all), and what draws both.
    created : str
        When it was begun, ISO 8601.
    """

    base_model: str
    base_model_sha256: Annotated[str, matching("[0-9a-f]{64}", "a SHA-256, 64 hexadecimal digits")]
    adapter_sha256: str
    run: str
    kit_version: str
    versions: Mapping[str, str]
    precision: str
    samples: int
    limit: int
    seed: int
    created: str


def read_evaluation(content: bytes, origin: str = EVALUATION) -> Evaluation:
    """Read what the evaluator writes into ``evaluation.json``.

    Raises
    ------
    EvaluationError
        If it is something else.
    """
    try:
        return from_mapping(Evaluation, json.loads(content), origin=origin)
    except (ValueError, TypeError, AttributeError, RecursionError, ConfigurationError) as error:
        raise EvaluationError(f"{origin} does not say what the results are of: {error}") from error
