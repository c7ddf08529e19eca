"""What is to be scored."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["EvaluationSettings"]


@dataclass(frozen=True)
class EvaluationSettings:
    """The evaluator's file.

    Attributes
    ----------
    domain : str
        Domain of the records.
    records : Path
        Held-out records.
    base_model : Path
        Folder of the base model.
    base_model_name : str
        Its name.
    adapter : Path
        Folder of the adapter, in PEFT's layout.
    result : Path
        Where the scores go, as JSON.
    length : int
        Longest record in tokens.
    threads : int
        Cores to use.
    """

    domain: str
    records: Path
    base_model: Path
    base_model_name: str
    adapter: Path
    result: Path
    length: int = 512
    threads: int = 2
