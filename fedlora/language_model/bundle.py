"""A base model as one file: a tar whose first member is ``model.json`` and whose others are the files it lists.

Not compressed: weights do not get smaller. What is read may come from anybody, so nothing is taken from it but the
contents of plain files whose names, sizes and hashes the manifest has.
"""

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

from fedlora.errors import BaseModelError
from fedlora.language_model.base_model import BaseModel
from fedlora.language_model.cache import manifest_of
from fedlora.language_model.manifest import MANIFEST, ModelManifest, describe, parse

__all__ = ["bundled_manifest", "unpack", "write_bundle"]

LARGEST_MANIFEST = 2**20
PIECE = 2**20


def write_bundle(model: BaseModel, file: Path) -> ModelManifest:
    """Write `model` into the new file `file`, the same bytes each time, and return its manifest.

    Raises
    ------
    BaseModelError
        If something stands there, the model's files are not what its manifest says, or the disk does not take it.
    """
    manifest = manifest_of(model.directory)
    if manifest is None:
        manifest = describe(model.directory, model.name)
    else:
        manifest.check(model.directory)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        if os.path.lexists(file):
            raise FileExistsError
        try:
            with unfinished.open("xb") as stream:
                _write(model.directory, manifest, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(unfinished, file)  # refuses where one stands, unlike a rename
        finally:
            unfinished.unlink(missing_ok=True)
    except FileExistsError as error:
        raise BaseModelError(f"{file} exists and is not overwritten; name another file, or move it away") from error
    except OSError as error:
        raise BaseModelError(f"{file} cannot be written: {error}; nothing of it was left behind") from error
    return manifest


def _write(directory: Path, manifest: ModelManifest, stream: IO[bytes]) -> None:
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        text = manifest.to_json().encode()
        archive.addfile(_member(MANIFEST, len(text)), BytesIO(text))
        for entry in manifest.files:
            with (directory / entry.name).open("rb") as source:
                archive.addfile(_member(entry.name, entry.bytes), source)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)  # no owner, no time: the same bytes each time
    member.size, member.mode = size, 0o644
    return member


def bundled_manifest(file: Path) -> ModelManifest:
    """Return what a bundle says it holds; see `unpack`."""
    with _opened(file) as archive:
        return _manifest(archive, file)


def unpack(file: Path, directory: Path) -> ModelManifest:
    """Write the files of a bundle into the folder `directory`, and return its manifest.

    The caller holds the contents to the manifest's hashes.

    Raises
    ------
    BaseModelError
        If it is no bundle, was cut off, or has a member that the manifest does not list, that is no plain file, or that
        has another size.
    OSError
        If the disk does not take them.
    """
    with _opened(file) as archive:
        manifest = _manifest(archive, file)
        left = {entry.name: entry.bytes for entry in manifest.files}
        for member in archive:
            if member.offset == 0:
                continue
            if member.name not in left:
                raise BaseModelError(f"{file} has {member.name!r}, which its {MANIFEST} does not list, or has it twice")
            _copy(_plain(archive, member, file, left.pop(member.name)), directory / member.name)
        if left:
            raise BaseModelError(f"{file} lacks {', '.join(sorted(left))}: it was cut off; copy it again")
    return manifest


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, mode="r:") as archive:
            yield archive
    except tarfile.TarError as error:
        raise BaseModelError(
            f"{file} is not a bundle, or was cut off: {error}; a bundle is made with: fedlora model bundle"
        ) from error


def _manifest(archive: tarfile.TarFile, file: Path) -> ModelManifest:
    """Read the first member, which must be the manifest."""
    member = archive.next()
    if member is None or member.name != MANIFEST or member.size > LARGEST_MANIFEST:
        raise BaseModelError(f"{file} does not begin with {MANIFEST}; a bundle is made with: fedlora model bundle")
    with _plain(archive, member, file, member.size) as stream:
        text = stream.read().decode(errors="replace")
    return parse(text, f"{MANIFEST} in {file}")


def _plain(archive: tarfile.TarFile, member: tarfile.TarInfo, file: Path, size: int) -> IO[bytes]:
    """Return the contents of a member that is a plain file of the right size."""
    if member.type != tarfile.REGTYPE:
        raise BaseModelError(f"{file}: {member.name} is a link, a folder or a device; allowed: plain files")
    if member.size != size:
        raise BaseModelError(f"{file}: {member.name} has {member.size} bytes; its {MANIFEST} says {size}")
    contents = archive.extractfile(member)
    assert contents is not None  # only of members that are no files
    return contents


def _copy(contents: IO[bytes], target: Path) -> None:
    with contents, target.open("xb") as stream:
        shutil.copyfileobj(contents, stream, PIECE)
