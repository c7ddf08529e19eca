"""What a coordinator offers of a run to evaluators on other machines, and what a mirror of it notes.

An offer is JSON: where the run stands, and of each checkpoint the files with sizes and hashes. A mirror is a folder of
runs at the evaluator in which ``<run>/checkpoints`` looks as at the coordinator; ``<run>/mirror.json`` is the last
offer that was taken whole, by which programs see that the run has ended.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from fedlora.adapters.checkpoint import NOTE
from fedlora.config import from_mapping
from fedlora.errors import CheckpointError, ConfigurationError
from fedlora.rules import at_least, matching

__all__ = ["FILE_NAME", "MIRROR", "OfferedCheckpoint", "OfferedFile", "OfferedRun", "read_mirror", "read_offer"]

MIRROR = "mirror.json"
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")  # no folder, no hidden file, nothing above


@dataclass(frozen=True)
class OfferedFile:
    """Size and hash of a file of a checkpoint."""

    bytes: Annotated[int, at_least(0)]
    sha256: Annotated[str, matching("[0-9a-f]{64}", "a SHA-256 in hexadecimal")]


@dataclass(frozen=True)
class OfferedCheckpoint:
    """A checkpoint and its files, `checkpoint.json` among them.

    Raises
    ------
    ValueError
        If a name could lead out of the checkpoint's folder, or there is no `checkpoint.json`.
    """

    round: Annotated[int, at_least(0)]
    epoch: int
    files: Mapping[str, OfferedFile]

    def __post_init__(self) -> None:
        for name in self.files:
            if not FILE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot name a file of a checkpoint")
        if NOTE not in self.files:
            raise ValueError(f"checkpoint {self.round} has no {NOTE}")

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"round-{self.round:04d}"

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files.values())


@dataclass(frozen=True)
class OfferedRun:
    """Where a run stands, whether it goes no further, and its checkpoints, the newest first."""

    run: str
    state: str
    ended: bool
    checkpoints: tuple[OfferedCheckpoint, ...]

    def to_json(self) -> str:
        """Return it as a document."""
        return json.dumps(asdict(self), indent=2) + "\n"


def read_offer(content: bytes, origin: str) -> OfferedRun:
    """Read what `OfferedRun.to_json` has written.

    Raises
    ------
    CheckpointError
        If it is something else; names `origin`.
    """
    try:
        return from_mapping(OfferedRun, json.loads(content), origin=origin)
    except (ValueError, TypeError, AttributeError, ConfigurationError) as error:
        raise CheckpointError(f"{origin} is no list of a run's checkpoints: {error}") from error


def read_mirror(directory: Path) -> OfferedRun | None:
    """Return what a mirror has noted in the folder of a run; None where the folder is no mirror's.

    Raises
    ------
    CheckpointError
        If the note is something else.
    """
    file = directory / MIRROR
    try:
        return read_offer(file.read_bytes(), str(file))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
