"""Files that only their owner may read, and that are never overwritten."""

import os
import secrets
from pathlib import Path

from fedlora.errors import CredentialError

__all__ = ["create_secret", "private_directory", "refuse_existing", "write_private"]


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


def refuse_existing(*files: Path) -> None:
    """Check that none of `files` exists, before the first of a pair is written.

    Raises
    ------
    CredentialError
        Names the first that does.
    """
    for file in files:
        if os.path.lexists(file):
            raise CredentialError(f"{file} exists already and is not overwritten; move it away first")


def write_private(file: Path, content: bytes) -> Path:
    """Write `content` to the new file `file`, mode 0600 from its first byte, and return it.

    Raises
    ------
    CredentialError
        If the file exists already or cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CredentialError(f"{file} exists already and is not overwritten; move it away first") from error
    except OSError as error:
        raise CredentialError(f"cannot write {file}: {error}") from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    return file


def create_secret(file: Path) -> Path:
    """Write 32 bytes of the operating system's randomness, in hexadecimal, to the new private file `file`."""
    return write_private(file, secrets.token_hex(32).encode())
