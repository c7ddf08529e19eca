"""The manifest of a shard: what its owner can know, and show, of the data without opening them. It quotes no record."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedlora.config import from_mapping
from fedlora.domains import DOMAINS
from fedlora.errors import ConfigurationError, ShardError
from fedlora.shards.preparation import Preparation
from fedlora.shards.records import Record

__all__ = ["FIELDS", "LAYOUT", "LengthCounts", "Lengths", "Manifest"]

LAYOUT = 2  # version of the folder's layout
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
    def of(cls, counts: Mapping[int, int]) -> "Lengths":
        """Summarise how many texts have which length; median and 95th percentile are nearest ranks, so they occur."""
        ordered = sorted(counts)
        half, most = (_nearest_rank(share, counts, ordered) for share in (0.5, 0.95))
        return cls(ordered[0], half, most, ordered[-1])


class LengthCounts:
    """How many records have prompts and answers of which length; needs memory for lengths, not for records.

    Attributes
    ----------
    prompts : Counter of int
        Records by characters of instruction and input together.
    answers : Counter of int
        Records by characters of the answer.
    """

    def __init__(self) -> None:
        self.prompts, self.answers = Counter[int](), Counter[int]()

    def add(self, record: Record) -> None:
        """Count `record`."""
        self.prompts[len(record.instruction) + len(record.input)] += 1
        self.answers[len(record.output)] += 1


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
    preparation : tuple of Preparation
        What was done to the records, step by step, the first step first.
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
    preparation: tuple[Preparation, ...]

    def __post_init__(self) -> None:
        _check_text("name", self.name, LONGEST_NAME)
        if self.licence:
            _check_text("licence", self.licence, LONGEST_LICENCE)
        if self.domain not in DOMAINS:
            raise ValueError(f"domain {self.domain!r} is not one of {', '.join(DOMAINS)}")
        if self.schema != FIELDS:
            raise ValueError(f"schema is {', '.join(self.schema)}; this kit reads {', '.join(FIELDS)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as JSON has it, without what does not apply."""
        return asdict(self, dict_factory=lambda pairs: {key: value for key, value in pairs if value is not None})

    def to_json(self) -> str:
        """Write the manifest; equal manifests give equal text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

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
        layout = values.get("layout")
        if layout != LAYOUT:
            older = isinstance(layout, int) and layout < LAYOUT
            advice = "import the data again: fedlora shard import" if older else "use the newer kit"
            raise ShardError(f"{file}: has layout {layout!r}; this kit reads {LAYOUT}: {advice}")
        try:
            return from_mapping(cls, _with_hyphens(values), origin=str(file))
        except ConfigurationError as error:
            raise ShardError(str(error)) from error


def _nearest_rank(share: float, counts: Mapping[int, int], ordered: Sequence[int]) -> int:
    """Return the least of `ordered` that is at least as long as `share` of all."""
    wanted = math.ceil(share * sum(counts.values()))
    so_far = itertools.accumulate(counts[length] for length in ordered)
    return next(length for length, reached in zip(ordered, so_far, strict=True) if reached >= wanted)


def _with_hyphens(value: Any) -> Any:
    """Return what was read with its keys as the files of the kit have them."""
    if isinstance(value, dict):
        return {key.replace("_", "-"): _with_hyphens(inner) for key, inner in value.items()}
    return [_with_hyphens(inner) for inner in value] if isinstance(value, list) else value


def _check_text(field: str, value: str, longest: int) -> None:
    if not 1 <= len(value) <= longest or value != value.strip() or not value.isprintable():
        raise ValueError(
            f"{field} {value!r} is not 1 to {longest} printable characters without blanks at the ends; give --{field}"
        )
