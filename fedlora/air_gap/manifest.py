"""``bundle.json``: what a bundle holds, and the hash of each of its files; ``SHA256SUMS`` has the same for `sha256sum`.

What is read may come from anybody: a path in it leads nowhere but into the bundle.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from fedlora.adapters.checkpoint import file_sha256
from fedlora.air_gap.images import Image
from fedlora.config import from_mapping, keyed
from fedlora.errors import BundleError, ConfigurationError
from fedlora.rules import at_least, matching

__all__ = ["MANIFEST", "SUMS", "BundleManifest", "BundledFile", "describe", "verify", "write"]

MANIFEST, SUMS = "bundle.json", "SHA256SUMS"
LAYOUT = 1


@dataclass(frozen=True)
class BundledFile:
    """Size and hash of a file."""

    bytes: Annotated[int, at_least(0)]
    sha256: Annotated[str, matching("[0-9a-f]{64}", "a SHA-256 in hexadecimal")]


@dataclass(frozen=True)
class BundleManifest:
    """What a bundle holds.

    Attributes
    ----------
    layout : int
        Version of the manifest.
    kit : str
        Version of the kit.
    base_model, base_model_sha256 : str
        Name and hash of the base model, if there is one.
    images : tuple of Image
        The images in ``images/images.tar``.
    files : mapping
        Every file but the manifest and the list of sums, by its path below the bundle.

    Raises
    ------
    ValueError
        If it is of another layout, or a path leads out of the bundle.
    """

    layout: int
    kit: str
    base_model: str
    base_model_sha256: str
    images: tuple[Image, ...]
    files: Mapping[str, BundledFile]

    def __post_init__(self) -> None:
        if self.layout != LAYOUT:
            raise ValueError(f"layout is {self.layout}; this kit reads {LAYOUT}: use the newer kit")
        for name in self.files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or str(path) != name or not re.fullmatch(r"[\x20-\x7e]+", name):
                raise ValueError(f"{name!r} is no path of a file in a bundle")

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files.values())


def describe(directory: Path) -> dict[str, BundledFile]:
    """Return size and hash of every file below `directory`, by path; manifest and sums are left out."""
    found = sorted(file for file in directory.rglob("*") if file.is_file() and not file.is_symlink())
    names = {str(file.relative_to(directory)): file for file in found}
    return {
        name: BundledFile(file.stat().st_size, file_sha256(file))
        for name, file in names.items()
        if name not in (MANIFEST, SUMS)
    }


def write(manifest: BundleManifest, directory: Path) -> None:
    """Write the manifest and the list of sums."""
    (directory / MANIFEST).write_text(json.dumps(keyed(asdict(manifest)), indent=2) + "\n", encoding="utf-8")
    listed = {**manifest.files, MANIFEST: BundledFile(0, file_sha256(directory / MANIFEST))}
    lines = (f"{file.sha256}  {name}\n" for name, file in listed.items())
    (directory / SUMS).write_text("".join(lines), encoding="utf-8")


def verify(directory: Path, sha256: str = "") -> BundleManifest:
    """Hold a bundle to its manifest, and the manifest to its hash, if that is given; return the manifest.

    Raises
    ------
    BundleError
        If there is no manifest or it has another hash, or with every file that is missing, changed, or not listed.
    """
    file = directory / MANIFEST
    try:
        if sha256 and file_sha256(file) != sha256.lower():
            raise BundleError(f"{file} has the SHA-256 {file_sha256(file)}, not {sha256}: it is not the bundle meant")
        manifest = from_mapping(BundleManifest, json.loads(file.read_text(encoding="utf-8")), origin=str(file))
        found = describe(directory)
    except (OSError, ValueError, TypeError, AttributeError, ConfigurationError) as error:
        raise BundleError(f"{directory} is no bundle: {error}; one is made with: fedlora bundle make") from error
    wrong = [f"{name} is missing" for name in manifest.files if name not in found]
    wrong += [f"{name} is not listed" for name in found if name not in manifest.files]
    wrong += [
        f"{name} is not what was bundled: SHA-256 {found[name].sha256}"
        for name, expected in manifest.files.items()
        if name in found and found[name] != expected
    ]
    wrong += [
        f"{link.relative_to(directory)} is a link, and a bundle has none"
        for link in sorted(directory.rglob("*"))
        if link.is_symlink()
    ]
    if wrong:
        listed = "\n".join(f"  - {one}" for one in wrong)
        raise BundleError(f"{directory} has {len(wrong)} problem(s); carry it again:\n{listed}")
    return manifest
