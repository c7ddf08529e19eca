"""A base model on the disk: which files it is made of, and the hash by which all know that they hold the same one.

A base model is a folder in the layout of transformers: ``config.json``, weights as safetensors and a tokenizer. Nothing
else of such a folder is ever read: no pickle, no code.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from fedlora.errors import BaseModelError

__all__ = [
    "DOCUMENTS",
    "FILES",
    "INDEX",
    "TOKENIZER",
    "BaseModel",
    "Weight",
    "choose",
    "file_sha256",
    "hold_to_hash",
    "matches",
    "model_sha256",
]

INDEX = "model.safetensors.index.json"  # of weights in several files: which tensor is in which
CONFIGURATION = ("config.json", "generation_config.json")
VOCABULARY = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken")
TOKENIZER = ("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "*.jinja", *VOCABULARY)
DOCUMENTS = ("LICENSE*", "README.md")  # stay with a model, and are no part of what it does
FILES = (*CONFIGURATION, INDEX, "*.safetensors", *TOKENIZER, *DOCUMENTS)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
HELD = "A base model is a folder with config.json, *.safetensors and tokenizer files"


class Weight(NamedTuple):
    """A tensor of a base model, as the header of its file has it."""

    name: str
    dtype: str
    shape: tuple[int, ...]


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
        """Hash of all files that decide what the model does: configuration, weights, tokenizer."""
        return model_sha256({file.name: file_sha256(file) for file in self.files})

    @cached_property
    def tokenizer_sha256(self) -> str:
        """Hash of the tokenizer's files alone, so that a difference can be named."""
        files = [file for file in self.files if matches(file.name, TOKENIZER)]
        return _combined({file.name: file_sha256(file) for file in files})

    @cached_property
    def files(self) -> list[Path]:
        """The files that the hash is made of, by name.

        Raises
        ------
        BaseModelError
            If the folder is no base model: names what is missing.
        """
        try:
            names = [entry.name for entry in self.directory.iterdir()]
            index = (self.directory / INDEX).read_text(encoding="utf-8") if INDEX in names else ""
        except (OSError, UnicodeDecodeError) as error:
            raise BaseModelError(f"{self.directory} is not a base model: it cannot be read: {error}. {HELD}") from error
        return [self.directory / name for name in choose(names, index, str(self.directory))]

    def weights(self) -> Iterator[Weight]:
        """Yield the tensors of the weights, from the headers of their files alone.

        Raises
        ------
        BaseModelError
            If a file is damaged.
        """
        for file in self.files:
            if file.suffix == ".safetensors":
                try:
                    with safe_open(file, framework="numpy") as tensors:
                        for name in tensors.keys():  # noqa: SIM118 - not a mapping
                            tensor = tensors.get_slice(name)
                            yield Weight(name, tensor.get_dtype(), tuple(tensor.get_shape()))
                except (OSError, ValueError, SafetensorError) as error:
                    raise BaseModelError(f"{file} cannot be read: {error}") from error

    def check(self, sha256: str = "") -> "BaseModel":
        """Check that the folder holds a base model, and return it.

        Parameters
        ----------
        sha256 : str
            The hash that it must have; empty for any.

        Raises
        ------
        BaseModelError
            Names what is missing or cannot be read, or both hashes.
        """
        for file in self.files:
            _check_readable(file)
        if sha256:
            hold_to_hash(f"the base model in {self.directory}", self.sha256, sha256)
        return self


def choose(names: Iterable[str], index: str, where: str) -> list[str]:
    """Return those of the file names in a folder that make up a base model, sorted.

    Parameters
    ----------
    names : iterable of str
        All of them; what lies in folders below is left out.
    index : str
        Text of the file `INDEX`, where there is one: it decides which weights are read.
    where : str
        The folder, for the error.

    Raises
    ------
    BaseModelError
        If they make up none: names what is missing, and what to do with weights that are pickles.
    """
    plain = {name for name in names if "/" not in name and not name.startswith(".")}
    weights = _weights(plain, index, where)
    missing = [
        part for part, there in (("config.json", "config.json" in plain), ("*.safetensors", weights)) if not there
    ]
    if not any(matches(name, VOCABULARY) for name in plain):
        missing.append("tokenizer")
    pickles = sorted(name for name in plain if matches(name, PICKLES))
    if not weights and pickles:
        raise BaseModelError(
            f"{where} is not a base model: its weights are pickles ({', '.join(pickles)}), which can run code when "
            "they are read. Have them converted to safetensors where that does no harm (transformers' save_pretrained "
            "does it), then: fedlora model import FOLDER"
        )
    if missing:
        raise BaseModelError(f"{where} is not a base model: no {', no '.join(missing)}. {HELD}")
    return sorted(weights | {name for name in plain if matches(name, (*CONFIGURATION, *TOKENIZER))})


def _weights(names: set[str], index: str, where: str) -> set[str]:
    """Return the files that transformers would read the weights from: repositories may hold copies in other layouts."""
    if INDEX in names:
        try:
            listed = set(json.loads(index)["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BaseModelError(f"{where}: {INDEX} says not which files hold the weights") from error
        if lost := sorted(str(name) for name in listed - names):
            raise BaseModelError(f"{where} is not a base model: no {', no '.join(lost)}, which {INDEX} names. {HELD}")
        if odd := sorted(name for name in listed if not name.endswith(".safetensors")):
            raise BaseModelError(f"{where}: {INDEX} names {', '.join(odd)}; allowed: files that end in .safetensors")
        return {INDEX, *listed} if listed else set()
    if "model.safetensors" in names:
        return {"model.safetensors"}
    return {name for name in names if name.endswith(".safetensors")}


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Say whether a file's name fits one of `patterns`."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def hold_to_hash(what: str, found: str, wanted: str) -> None:
    """Check that a base model has the hash that is asked for.

    Raises
    ------
    BaseModelError
        With both hashes, if it has not.
    """
    if found != wanted:
        raise BaseModelError(
            f"{what} has SHA-256 {found}; {wanted} is asked for. Ask the coordinator for revision and hash, and get "
            "the right one with `fedlora model fetch` or `fedlora model import`"
        )


def model_sha256(files: Mapping[str, str]) -> str:
    """Return the hash over the files of a base model, from the SHA-256 of each by its name; documents do not count."""
    return _combined({name: digest for name, digest in files.items() if not matches(name, DOCUMENTS)})


def _combined(files: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0".encode() + bytes.fromhex(files[name]))
    return digest.hexdigest()


def _check_readable(file: Path) -> None:
    """Open a file, because the libraries that read weights call one that they may not read missing."""
    try:
        file.open("rb").close()
    except OSError as error:
        raise BaseModelError(f"{file} cannot be read: {error}") from error


def file_sha256(file: Path) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    BaseModelError
        If it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BaseModelError(f"{file} cannot be read: {error}") from error
