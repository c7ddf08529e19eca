"""Files that only their owner may read, and that are not overwritten unless asked for: all of a group, or none."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from fedlora.errors import CredentialError

__all__ = [
    "create_secret",
    "new_private_directory",
    "previous",
    "private_directory",
    "refuse_existing",
    "write_private",
    "write_together",
]

MOVE = "move it away first"


def private_directory(directory: Path) -> Path:
    """Create `directory` with mode 0700 if it is not there, and return it.

    Raises
    ------
    CredentialError
        If it cannot be created, or others may enter it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CredentialError(f"cannot create the folder {directory}: {error}") from error
    mode = directory.stat().st_mode & 0o777
    if mode & 0o077:
        raise CredentialError(f"{directory} has mode {mode:04o}: others may enter it; run: chmod 700 {directory}")
    return directory


@contextmanager
def new_private_directory(directory: Path) -> Iterator[Path]:
    """Yield `private_directory`; the folders that were made for it go again if the block fails."""
    made = [folder for folder in (directory, *directory.parents) if not os.path.lexists(folder)]
    try:
        yield private_directory(directory)
    except BaseException:
        for folder in made:
            with suppress(OSError):  # it was never made, or somebody else put something into it
                folder.rmdir()
        raise


def refuse_existing(*files: Path, advice: str = MOVE) -> None:
    """Check that none of `files` exists, before the first of a pair is written.

    Raises
    ------
    CredentialError
        Names the first that does.
    """
    for file in files:
        if os.path.lexists(file):
            raise CredentialError(f"{file} exists already and is not overwritten; {advice}")


def previous(file: Path) -> Path:
    """Return where a file that was replaced is kept."""
    return file.with_name(f"{file.name}.previous")


def write_private(file: Path, content: bytes) -> Path:
    """Write `content` to the new file `file`, mode 0600 from its first byte, and return it.

    Raises
    ------
    CredentialError
        If the file exists already or cannot be written.
    """
    write_together({file: content})
    return file


def write_together(contents: Mapping[Path, bytes], *, replace: bool | None = None) -> None:
    """Write files of one folder, mode 0600, under other names first, then put them in their places; all or none.

    Parameters
    ----------
    contents : mapping
        What goes into each file.
    replace : bool, optional
        Whether files that stand there are replaced, and kept beside with ``.previous``; None where the user cannot ask
        for it.

    Raises
    ------
    CredentialError
        If a file exists that is not to be replaced, or the disk does not take one; nothing has changed then.
    """
    advice = MOVE if replace is None else f"{MOVE}, or replace it with --force"
    if not replace:
        refuse_existing(*contents, advice=advice)
    drafts: dict[Path, Path] = {}
    try:
        for file, content in contents.items():
            drafts[file] = _draft(file)
            _fill(drafts[file], content)
        if replace:
            _exchange(drafts)
        else:
            _link(drafts)
    except FileExistsError as error:  # since we looked
        raise CredentialError(
            f"{error.filename2 or error.filename} exists already and is not overwritten; {advice}"
        ) from error
    except OSError as error:
        listed = " and ".join(str(file) for file in contents)
        raise CredentialError(f"cannot write {listed}: {error.strerror}; nothing was changed") from error
    finally:
        for draft in drafts.values():
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def create_secret(file: Path) -> Path:
    """Write 32 bytes of the operating system's randomness, in hexadecimal, to the new private file `file`."""
    return write_private(file, secrets.token_hex(32).encode())


def _draft(file: Path) -> Path:
    return file.with_name(f".{file.name}.{secrets.token_hex(4)}")


def _fill(draft: Path, content: bytes) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _link(drafts: Mapping[Path, Path]) -> None:
    """Give each draft its name; a link, unlike a rename, is refused where something stands."""
    placed: list[Path] = []
    try:
        for file, draft in drafts.items():
            os.link(draft, file)
            placed.append(file)
        _make_durable(drafts)
    except OSError:
        for file in placed:
            file.unlink()
        raise


def _exchange(drafts: Mapping[Path, Path]) -> None:
    """Keep what stands in the places, then rename each draft over it: at every moment there is a whole file."""
    kept = {file for file in drafts if os.path.lexists(file)}
    for file in kept:
        _copy_name(file, previous(file))
    placed: list[Path] = []
    try:
        for file, draft in drafts.items():
            draft.replace(file)
            placed.append(file)
        _make_durable(drafts)
    except OSError:
        for file in placed:
            if file in kept:
                _copy_name(previous(file), file)
            else:
                file.unlink()
        raise


def _copy_name(file: Path, to: Path) -> None:
    """Let `to` name the same content as `file`, in one step."""
    draft = _draft(to)
    os.link(file, draft)
    try:
        draft.replace(to)
    finally:
        draft.unlink(missing_ok=True)  # a rename of two names of one content leaves both


def _make_durable(files: Mapping[Path, Path]) -> None:
    for folder in {file.parent for file in files}:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
