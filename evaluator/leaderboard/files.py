"""The files of an entry, which a stranger has made: what may be there, how large it may be, and reading it."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from evaluator.leaderboard.columns import SCORINGS, TASKS
from fedlora.adapters.folder import CONFIG, SPEC, WEIGHTS
from fedlora.errors import EntryError

__all__ = ["EVALUATION", "MANIFEST", "MODELS", "SIGNATURE", "answers_path", "digest", "files_in", "most_bytes", "read"]

MANIFEST, SIGNATURE, EVALUATION = "manifest.json", "manifest.sig", "evaluation.json"
MODELS = ("adapted", "base")  # whose results: the base model's with the adapter, and its own
KIB, MIB, GIB = 2**10, 2**20, 2**30
MOST_FILES = 1000
_RESULTS = rf"(?:{'|'.join(MODELS)})/(?:{'|'.join(TASKS)})/(?:{'|'.join(SCORINGS)})"
# What has a place in an entry, and the most bytes that are read of it.
PLACES = tuple(
    (re.compile(pattern), most)
    for pattern, most in (
        (re.escape(MANIFEST), 4 * MIB),
        (re.escape(SIGNATURE), 64),
        (f"adapter/{re.escape(WEIGHTS)}", 2 * GIB),
        (f"adapter/(?:{re.escape(CONFIG)}|{re.escape(SPEC)}|README\\.md)", 64 * MIB),
        (f"(?:{'|'.join(MODELS)})/{re.escape(EVALUATION)}", 256 * KIB),
        (f"{_RESULTS}/score\\.json", 256 * KIB),
        (f"{_RESULTS}/answers\\.jsonl", 256 * MIB),
    )
)


def answers_path(model: str, task: str, scoring: str) -> str:
    """Return where in an entry the answers of a model to a task stand."""
    return f"{model}/{task}/{scoring}/answers.jsonl"


def most_bytes(path: str) -> int:
    """Return how large a file of an entry may be; 0 if it has no place in one."""
    return next((most for pattern, most in PLACES if pattern.fullmatch(path)), 0)


def files_in(folder: Path) -> Iterator[tuple[str, int | None]]:
    """Yield path within the entry and size of everything in it that is no folder; None for what is no plain file.

    Links are not followed.

    Raises
    ------
    EntryError
        If it cannot be read, or holds more files than an entry may.
    """
    todo, found = [folder], 0
    try:
        while todo:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    found += 1
                    if found > MOST_FILES:
                        raise EntryError(f"{folder} holds more than {MOST_FILES} files and folders, and is no entry")
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(Path(entry.path))
                        continue
                    about = entry.stat(follow_symlinks=False)
                    size = about.st_size if stat.S_ISREG(about.st_mode) else None
                    yield Path(entry.path).relative_to(folder).as_posix(), size
    except OSError as error:
        raise EntryError(f"the entry {folder} cannot be read: {error.strerror}") from error


def read(folder: Path, path: str) -> bytes:
    """Return a file of an entry, no larger than it may be.

    Raises
    ------
    EntryError
        If it is not there, is no plain file, or is larger.
    """
    most = most_bytes(path)
    try:
        with os.fdopen(_open(folder / path), "rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise EntryError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise EntryError(f"{path} is larger than the {most} bytes that it may have")
    return content


def digest(folder: Path, path: str) -> str:
    """Return the SHA-256 of a file of an entry, in hexadecimal.

    Raises
    ------
    EntryError
        If it cannot be read, or is no plain file.
    """
    try:
        with os.fdopen(_open(folder / path), "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise EntryError(f"{path} cannot be read: {error.strerror}") from error


def _open(file: Path) -> int:
    """Open a plain file; a link or a pipe is refused, and nothing is waited for."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise EntryError(f"{file.name} is no plain file")
    return descriptor
