"""Folders and files that are put in their place in one step, so that no half-written one is ever seen."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedlora.errors import FedloraError

__all__ = ["check_room", "make_durable", "new_folder", "replace_durably"]


@contextmanager
def new_folder(
    directory: Path,
    *,
    error: type[FedloraError],
    replaceable: Callable[[Path], bool] | None = None,
    advice: str = "name another folder, or move it away",
) -> Iterator[Path]:
    """Yield an empty folder, mode 0700, that becomes `directory` when the block ends well, and is removed otherwise.

    Parameters
    ----------
    directory : Path
        The folder to make; those above it are made as well.
    error : type
        The error to raise.
    replaceable : callable, optional
        Says of a folder that stands in the place already whether it may be replaced; without it, only an empty one.
    advice : str
        What to do where something stands in the place.

    Notes
    -----
    On `directory` something may be mounted, as in a container, and a mount point is not renamed over. The files then
    get their places one after the other, and one that stands there is never replaced.

    Raises
    ------
    FedloraError
        Of the kind `error`: if something stands in the place that may not be replaced, before anything is written;
        or if the disk does not take the folder. An `OSError` of the block is taken for the disk's.
    """
    final = Path(os.path.realpath(directory))  # a link stays, and what it points to is made
    hindrance = _hindrance(final, error, replaceable)
    if hindrance:
        raise error(f"{directory} {hindrance}; {advice}")
    mounted = os.path.ismount(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".fedlora-", dir=final if mounted else final.parent))
    except OSError as problem:
        raise error(f"{directory} cannot be made: {problem}") from problem
    try:
        yield unfinished
        for entry in (*unfinished.rglob("*"), unfinished):
            make_durable(entry)
        (_place_within if mounted else _place)(unfinished, final)
    except OSError as problem:
        raise error(f"{directory} cannot be written: {problem}; nothing of it was left behind") from problem
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _hindrance(final: Path, error: type[FedloraError], replaceable: Callable[[Path], bool] | None) -> str:
    """Say what stands in the place; empty if nothing does that may not be replaced."""
    try:
        if not os.path.lexists(final):
            return ""
        if not final.is_dir():
            return "exists and is no folder"
        if not any(final.iterdir()):
            return ""
        if replaceable is None:
            return "is not empty, and is not overwritten"
        return "" if replaceable(final) else "holds other things than what would replace it, and stays as it is"
    except OSError as problem:
        raise error(f"{final} cannot be read: {problem}") from problem


def _place(unfinished: Path, final: Path) -> None:
    """Rename the folder; one that stood in its place is put back if that fails, and removed if it does not."""
    aside = None
    if final.exists() and any(final.iterdir()):
        aside = Path(tempfile.mkdtemp(prefix=".fedlora-", dir=final.parent))
        final.rename(aside)
    try:
        unfinished.rename(final)
        make_durable(final.parent)
    except BaseException:
        if aside is not None:
            with suppress(OSError):
                aside.rename(final)
        raise
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)


def _place_within(unfinished: Path, final: Path) -> None:
    """Move what is in the folder into one that is empty; what has been moved goes again if that fails."""
    if any(entry != unfinished for entry in final.iterdir()):
        raise FileExistsError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(final))
    names = sorted(entry.name for entry in unfinished.iterdir())
    try:
        for name in names:
            (unfinished / name).rename(final / name)
        make_durable(final)
    except BaseException:
        for name in names:
            with suppress(FileNotFoundError):  # it has not got there
                (final / name).rename(unfinished / name)
        raise


def replace_durably(file: Path, content: bytes) -> None:
    """Let `file` hold `content`; whenever the machine stops, it holds either all of it or what it held before.

    Raises
    ------
    OSError
        If the disk does not take it.
    """
    unfinished = file.with_name(f".{file.name}.unfinished")
    with unfinished.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(file)
    make_durable(file.parent)


def check_room(folder: Path, wanted: int, error: type[FedloraError]) -> None:
    """Check that a folder's disk takes `wanted` more bytes.

    Raises
    ------
    FedloraError
        Of the kind `error`: with what is free and what is wanted.
    """
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise error(
            f"the disk of {folder} is full: {free / 1e6:.1f} MB free, {wanted / 1e6:.1f} MB wanted. Make room on it, "
            "or give it more"
        )


def make_durable(entry: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(entry, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
