"""Importing a base model from a folder or a bundle: what somebody else has fetched, brought here without a network."""

import shutil
from pathlib import Path

from fedlora.errors import BaseModelError
from fedlora.language_model.base_model import BaseModel, hold_to_hash
from fedlora.language_model.bundle import bundled_manifest, unpack
from fedlora.language_model.cache import manifest_of, new_model
from fedlora.language_model.manifest import MANIFEST, ModelManifest, describe, documents, is_model_name

__all__ = ["announced", "import_model"]


def announced(source: Path, name: str = "") -> ModelManifest:
    """Return what a folder or a bundle says it holds; of a folder without a manifest, what it holds.

    Parameters
    ----------
    source : Path
        The folder or the bundle.
    name : str
        What a folder without a manifest is to be called; empty for the folder's name.

    Raises
    ------
    BaseModelError
        If it is neither.
    """
    if not source.is_dir():
        if not source.is_file():
            raise BaseModelError(f"there is no {source}; give a folder, or a file made with: fedlora model bundle")
        return bundled_manifest(source)
    if (manifest := manifest_of(source)) is not None:
        return manifest
    name = name or source.resolve().name.replace("--", "/")
    if not is_model_name(name):
        raise BaseModelError(f"the folder {source} cannot be the name of a model; give one with --name")
    return describe(source, name)


def import_model(source: Path, directory: Path, claim: ModelManifest, *, name: str, sha256: str = "") -> ModelManifest:
    """Copy the base model in `source` into the new folder `directory`, and return its manifest.

    Parameters
    ----------
    source : Path
        A folder, or a bundle.
    directory : Path
        The folder to make.
    claim : ModelManifest
        What it says it holds; every file is held to it after it was copied.
    name : str
        What to call it.
    sha256 : str
        The hash that it must have; empty for any.

    Raises
    ------
    BaseModelError
        Names every file that is not what the manifest says, links, or both hashes. Nothing of it is left behind.
    """
    with new_model(directory, str(source)) as unfinished:
        if source.is_dir():
            _copy(source, unfinished)
        else:
            unpack(source, unfinished)
        made = describe(unfinished, name, revision=claim.revision, licence=claim.licence)
        if changed := sorted({file.name for file in set(made.files) ^ set(claim.files)}):
            raise BaseModelError(
                f"{source} is not what its {MANIFEST} was written for: {', '.join(changed)} changed, missing or added; "
                "get it again, and ask its giver for the hash"
            )
        if sha256:
            hold_to_hash(str(source), made.sha256, sha256)
        (unfinished / MANIFEST).write_text(made.to_json(), encoding="utf-8")
    return made


def _copy(source: Path, target: Path) -> None:
    """Copy the files of a base model, and no others; links are refused, they could name anything on this machine."""
    for file in [*BaseModel(source.name, source).files, *documents(source)]:
        if file.is_symlink() or not file.is_file():
            raise BaseModelError(f"{file} is a link, or no plain file; copy what it names (cp -rL) and import the copy")
        shutil.copyfile(file, target / file.name)
