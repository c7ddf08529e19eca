"""What makes a folder of an adapter a checkpoint: ``checkpoint.json``, which names every other file with its hash."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora.errors import AdapterError

__all__ = [
    "CHECKPOINTS",
    "LAYOUT",
    "NOTE",
    "ROUND_NAME",
    "CheckpointNote",
    "changed_files",
    "checkpoint_folders",
    "file_sha256",
    "note_files",
    "read_note",
]

LAYOUT = 1  # version of the folder's layout
NOTE = "checkpoint.json"
CHECKPOINTS = "checkpoints"  # in the folder of a run
ROUND_NAME = re.compile(r"round-(\d{4,})")


@dataclass(frozen=True)
class CheckpointNote:
    """Which round a checkpoint is of, in which attempt, and which files are not what was written."""

    round: int
    epoch: int
    changed: tuple[str, ...]


def read_note(directory: Path) -> CheckpointNote | None:
    """Read the note in `directory`, and hold the files to it; None where there is no note.

    Raises
    ------
    AdapterError
        If it cannot be read, or is of another layout.
    """
    if not (directory / NOTE).exists():
        return None
    number, epoch, files = note_files(directory)
    try:
        return CheckpointNote(number, epoch, changed_files(directory, files))
    except OSError as error:
        raise AdapterError(f"{directory} cannot be read: {error}") from error


def note_files(directory: Path) -> tuple[int, int, dict[str, str]]:
    """Return round and attempt that a checkpoint says it is of, and its files with their hashes, unchecked.

    Raises
    ------
    AdapterError
        If the note is missing, cannot be read, or is of another layout.
    """
    file = directory / NOTE
    try:
        about: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if about["layout"] != LAYOUT:
            raise AdapterError(f"{file} has layout {about['layout']!r}; this kit reads {LAYOUT}: use the newer kit")
        files = {str(name): str(expected) for name, expected in about["files"].items()}
        return int(about["round"]), int(about["epoch"]), files
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AdapterError(f"{file} cannot be read: {type(error).__name__}: {error}") from error


def checkpoint_folders(directory: Path) -> list[tuple[int, Path]]:
    """Return round and folder of every checkpoint below `directory`, the newest first."""
    if not directory.is_dir():
        return []
    named = ((ROUND_NAME.fullmatch(entry.name), entry) for entry in directory.iterdir())
    return sorted(((int(match[1]), entry) for match, entry in named if match), reverse=True)


def changed_files(directory: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    """Return which of `files`, names with hashes, are missing or have another hash."""
    return tuple(
        name
        for name, expected in files.items()
        if not (directory / name).is_file() or file_sha256(directory / name) != expected
    )


def file_sha256(file: Path) -> str:
    """Return the hash of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
