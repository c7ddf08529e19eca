"""What the commands on base models share."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedlora.language_model.manifest import ModelManifest

__all__ = ["IntoOption", "ModelArgument", "Sha256Option", "place", "standing", "told"]

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name of a base model on this machine, or a folder.", show_default=False)
]
IntoOption = Annotated[
    Path | None,
    typer.Option(
        "--into", metavar="DIR", help="Folder to make; else one in the cache, FEDLORA_CACHE.", show_default=False
    ),
]


def _is_hash(text: str) -> str:
    if text and not re.fullmatch("[0-9a-f]{64}", text):
        raise typer.BadParameter(f"{text!r} is not a SHA-256; allowed: 64 of 0-9 and a-f")
    return text


Sha256Option = Annotated[
    str,
    typer.Option(
        "--sha256",
        metavar="HASH",
        callback=_is_hash,
        help="Refuse a model with another hash than this, which the coordinator has told.",
        show_default=False,
    ),
]


def place(name: str, into: Path | None) -> Path:
    """Return the folder that a model is to be put into."""
    from fedlora.language_model.cache import folder_of

    return into or folder_of(name)


def standing(directory: Path, sha256: str) -> "ModelManifest | None":
    """Return what stands in the place of a model already, held to its manifest and to `sha256`, or nothing.

    Raises
    ------
    BaseModelError
        If it is changed, no base model, or has another hash.
    """
    from fedlora.errors import BaseModelError
    from fedlora.language_model.base_model import hold_to_hash
    from fedlora.language_model.cache import manifest_of

    if not directory.is_dir() or not any(directory.iterdir()):
        return None
    manifest = manifest_of(directory)
    if manifest is None:
        raise BaseModelError(
            f"{directory} holds something else already; name another folder with --into, or move it away"
        )
    manifest.check(directory)
    if sha256:
        hold_to_hash(str(directory), manifest.sha256, sha256)
    return manifest


def told(manifest: "ModelManifest", directory: Path) -> str:
    """Return what is said of a model that has got into its place."""
    revision = f" at revision {manifest.revision}" if manifest.revision else ""
    return (
        f"{manifest.name}{revision}: {manifest.architecture}, {manifest.parameters:,} parameters, {manifest.bytes:,} "
        f"bytes\nSHA-256 {manifest.sha256}\nin {directory}"
    )
