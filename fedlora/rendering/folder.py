"""Writing a rendering: the same bytes each time, and nothing over what somebody has edited."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from fedlora.errors import ConfigurationError

__all__ = ["MANIFEST", "left_over", "write_rendering"]

MANIFEST = ".rendered.json"  # the SHA-256 of each file as it was rendered


def write_rendering(files: Mapping[str, bytes], directory: Path, *, force: bool = False) -> list[str]:
    """Write `files` below `directory` and return the names of those that changed.

    Parameters
    ----------
    files : mapping
        Content by name; a name may have folders in it.
    directory : Path
        Where to; made if it is not there. Other files in it stay.
    force : bool
        Whether files that somebody has edited, or made, are replaced.

    Raises
    ------
    ConfigurationError
        If a file is not as it was rendered, or the disk does not take one. Nothing is written in the first case.
    """
    try:
        before = _read_manifest(directory)
        edited = [name for name, content in files.items() if _is_edited(directory / name, content, before.get(name))]
        if edited and not force:
            raise ConfigurationError(
                f"{', '.join(str(directory / name) for name in edited)}: not as rendered; somebody has edited or made "
                "what would be overwritten. Put the change into the federation's file and move these away, or replace "
                "them with --force"
            )
        changed = [name for name, content in files.items() if _content(directory / name) != content]
        for name in changed:
            _write(directory / name, files[name])
        manifest = {name: _sha256(content) for name, content in sorted(files.items())}
        _write(directory / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or directory} cannot be written or read: {error.strerror}"
        ) from error
    return changed


def left_over(files: Mapping[str, bytes], directory: Path) -> list[str]:
    """Return the names below `directory` of a site's folder or values file that is none of `files`."""
    wanted = {name.partition("/")[0] for name in files}
    if not directory.is_dir():
        return []
    there = {file.parent.name for file in directory.glob("site-*/compose.yaml")}
    if wanted and all(name.endswith(".yaml") for name in wanted):
        there = {file.name for file in directory.glob("site-*.yaml")}
    return sorted(there - wanted)


def _read_manifest(directory: Path) -> dict[str, str]:
    content = _content(directory / MANIFEST)
    if content is None:
        return {}
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ConfigurationError(f"{directory / MANIFEST} is damaged: {error}; remove it, and use --force") from error
    if not isinstance(manifest, dict):
        raise ConfigurationError(f"{directory / MANIFEST} is damaged: no table; remove it, and use --force")
    return manifest


def _is_edited(file: Path, wanted: bytes, rendered: str | None) -> bool:
    content = _content(file)
    return content is not None and content != wanted and _sha256(content) != rendered


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _write(file: Path, content: bytes) -> None:
    """Write a file that everybody may read: the containers' user is not the one who renders."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.chmod(0o644)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
