"""The manifest of a shard: what its owner can know, and show, of the data without opening them. It quotes no record."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedlora.config import from_mapping
from fedlora.domains import DOMAINS
from fedlora.errors import ConfigurationError, ShardError
from fedlora.shards.records import Record

__all__ = ["FIELDS", "LAYOUT", "Lengths", "Manifest", "answer_length", "prompt_length"]

LAYOUT = 1  # version of the folder's layout
FIELDS = ("instruction", "input", "output")  # the schema: what each line of the data holds, and nothing else
LONGEST_NAME, LONGEST_LICENCE = 64, 200


@dataclass(frozen=True)
class Lengths:
    """How long texts are, in characters."""

    minimum: int
    median: int
    p95: int
    maximum: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> "Lengths":
        """Summarise `lengths`; median and 95th percentile are the nearest ranks, lengths that occur."""
        ordered = sorted(lengths)
        rank = [ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95)]
        return cls(ordered[0], rank[0], rank[1], ordered[-1])


@dataclass(frozen=True)
class Manifest:
    """What is known of a shard's data.

    Attributes
    ----------
    layout : int
        Version of the folder's layout.
    name : str
        What the owner calls the shard.
    domain : str
        What its records are about.
    licence : str
        SPDX expression, "proprietary", or what else the owner has said; may be empty.
    schema : tuple of str
        Fields of each record.
    records : int
        Number of records.
    prompt_characters, answer_characters : Lengths
        Of instruction and input together, and of the answer.
    bytes : int
        Size of the data file.
    sha256 : str
        Its hash.
    """

    layout: int
    name: str
    domain: str
    licence: str
    schema: tuple[str, ...]
    records: int
    prompt_characters: Lengths
    answer_characters: Lengths
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        _check_text("name", self.name, LONGEST_NAME)
        if self.licence:
            _check_text("licence", self.licence, LONGEST_LICENCE)
        if self.domain not in DOMAINS:
            raise ValueError(f"domain {self.domain!r} is not one of {', '.join(DOMAINS)}")
        if self.schema != FIELDS:
            raise ValueError(f"schema is {', '.join(self.schema)}; this kit reads {', '.join(FIELDS)}")

    def to_json(self) -> str:
        """Write the manifest; equal manifests give equal text."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_file(cls, file: Path) -> "Manifest":
        """Read a manifest.

        Raises
        ------
        ShardError
            If it is missing, of another layout, or no manifest; with everything that is wrong in it.
        """
        try:
            values: Any = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ShardError(
                f"{file}: there is no manifest; a shard folder is made with: fedlora shard import"
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise ShardError(f"{file}: cannot be read: {error}") from error
        if not isinstance(values, dict):
            raise ShardError(f"{file}: is a {type(values).__name__}, not an object with fields")
        if values.get("layout") != LAYOUT:
            raise ShardError(f"{file}: has layout {values.get('layout')!r}; this kit reads {LAYOUT}: use the newer kit")
        try:
            return from_mapping(cls, {key.replace("_", "-"): values[key] for key in values}, origin=str(file))
        except ConfigurationError as error:
            raise ShardError(str(error)) from error


def prompt_length(record: Record) -> int:
    """Return how many characters are asked."""
    return len(record.instruction) + len(record.input)


def answer_length(record: Record) -> int:
    """Return how many characters are answered."""
    return len(record.output)


def _check_text(field: str, value: str, longest: int) -> None:
    if not 1 <= len(value) <= longest or value != value.strip() or not value.isprintable():
        raise ValueError(
            f"{field} {value!r} is not 1 to {longest} printable characters without blanks at the ends; give --{field}"
        )
