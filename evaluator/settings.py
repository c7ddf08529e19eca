"""What is to be scored."""

from dataclasses import dataclass
from pathlib import Path

from fedlora.recipes import Recipe

__all__ = ["EvaluationSettings"]


@dataclass(frozen=True)
class EvaluationSettings:
    """The evaluator's file.

    Attributes
    ----------
    recipe : Recipe
        What the adapter was trained with: domain of the records, and how they become texts.
    records : Path
        Held-out records, a shard folder or a plain file.
    base_model : Path
        Folder of the base model.
    base_model_name : str
        Its name.
    base_model_sha256 : str
        Hash that it must have; empty for any.
    adapter : Path, optional
        Folder of the adapter, in PEFT's layout.
    runs : Path, optional
        Instead of `adapter`: the folder of the runs, one of which is named on the command line.
    result : Path, optional
        Where the scores go, as JSON; else to the standard output.
    length : int
        Longest record in tokens.
    threads : int
        Cores to use.
    """

    recipe: Recipe
    records: Path
    base_model: Path
    base_model_name: str
    base_model_sha256: str = ""
    adapter: Path | None = None
    runs: Path | None = None
    result: Path | None = None
    length: int = 512
    threads: int = 2

    def __post_init__(self) -> None:
        if (self.adapter is None) == (self.runs is None):
            raise ValueError("adapter or runs must be set, and not both")
