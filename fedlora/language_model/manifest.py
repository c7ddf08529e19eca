"""``model.json``, which stands beside the files of a base model that the kit has put in its place."""

import json
import re
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from fedlora.config import from_mapping
from fedlora.errors import BaseModelError, ConfigurationError
from fedlora.language_model.base_model import DOCUMENTS, FILES, BaseModel, file_sha256, matches, model_sha256

__all__ = ["MANIFEST", "ModelManifest", "SourceFile", "describe", "documents", "is_model_name", "parse"]

MANIFEST = "model.json"
LAYOUT = 1
LONGEST_TEXT = 200
# As hubs have it: OWNER/NAME, or NAME alone for what was imported. Two hyphens stand for the slash in a folder's name.
MODEL_NAME = r"(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?"
NAME_RULE = "OWNER/NAME or NAME, of letters, digits, '.', '_' and '-', no two hyphens or dots together"


@dataclass(frozen=True)
class SourceFile:
    """One file of a base model."""

    name: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]*", self.name) or not matches(self.name, FILES):
            raise ValueError(f"{self.name!r} is no file of a base model; allowed: {', '.join(FILES)}")
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"{self.name} has the hash {self.sha256!r}; allowed: 64 hexadecimal digits")


@dataclass(frozen=True)
class ModelManifest:
    """What is known of a base model.

    Attributes
    ----------
    layout : int
        Version of the file's layout.
    name : str
        Hub id, or the name that it was imported under.
    revision : str
        The commit on the hub, or the package; may be empty.
    licence : str
        As its card says; may be empty.
    architecture : str
        Class of transformers.
    dtype : str
        Types of the weights.
    parameters : int
        Values in the weights.
    bytes : int
        Of all files.
    sha256 : str
        Over all files that decide what the model does; what sites of a run agree on.
    files : tuple of SourceFile
        All files, by name.
    """

    layout: int
    name: str
    revision: str
    licence: str
    architecture: str
    dtype: str
    parameters: int
    bytes: int
    sha256: str
    files: tuple[SourceFile, ...]

    def __post_init__(self) -> None:
        if self.layout != LAYOUT:
            raise ValueError(f"layout is {self.layout}; this kit reads {LAYOUT}: use the newer kit")
        if not is_model_name(self.name):
            raise ValueError(f"name {self.name!r} is not {NAME_RULE}")
        for field in ("revision", "licence", "architecture", "dtype"):
            value = getattr(self, field)
            if len(value) > LONGEST_TEXT or not value.isprintable():
                raise ValueError(f"{field} {value!r} is not up to {LONGEST_TEXT} printable characters")
        names = [file.name for file in self.files]
        if names != sorted(set(names)):
            raise ValueError("files are not sorted by name, or one stands twice")
        if model_sha256({file.name: file.sha256 for file in self.files}) != self.sha256:
            raise ValueError("sha256 is not that of the files which are listed")

    def to_json(self) -> str:
        """Write the manifest; equal manifests give equal text."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    def check(self, directory: Path) -> None:
        """Hold the files in `directory` to the manifest.

        Raises
        ------
        BaseModelError
            Names every file that is changed or missing.
        """
        if changed := self.changed(directory):
            raise BaseModelError(
                f"{directory} is not what its {MANIFEST} was written for: {', '.join(changed)} changed or missing; "
                "get the model again"
            )

    def changed(self, directory: Path) -> list[str]:
        """Return the names of the files in `directory` that are not what the manifest says."""
        return [
            file.name
            for file in self.files
            if not (directory / file.name).is_file() or file_sha256(directory / file.name) != file.sha256
        ]


def is_model_name(text: str) -> bool:
    """Say whether a base model may be called `text`."""
    return re.fullmatch(MODEL_NAME, text, re.ASCII) is not None


def parse(text: str, where: str) -> ModelManifest:
    """Read a manifest that stands in `where`.

    Raises
    ------
    BaseModelError
        If it is none; with everything that is wrong in it.
    """
    try:
        values: Any = json.loads(text)
        return from_mapping(ModelManifest, values if isinstance(values, dict) else {}, origin=where)
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"{where} is not JSON: {error}") from error
    except ConfigurationError as error:
        raise BaseModelError(str(error)) from error


def describe(directory: Path, name: str, *, revision: str = "", licence: str = "") -> ModelManifest:
    """Return the manifest of the base model in `directory`, made from its files.

    Raises
    ------
    BaseModelError
        If it is no base model, or a file of it is damaged.
    """
    model = BaseModel(name, directory).check()
    files = sorted([*model.files, *documents(directory)])
    listed = tuple(SourceFile(file.name, file.stat().st_size, file_sha256(file)) for file in files)
    weights = list(model.weights())
    try:
        return ModelManifest(
            layout=LAYOUT,
            name=name,
            revision=revision,
            licence=licence or _licence(directory / "README.md"),
            architecture=_architecture(directory / "config.json"),
            dtype=", ".join(sorted({weight.dtype.lower() for weight in weights})),
            parameters=sum(prod(weight.shape) for weight in weights),
            bytes=sum(file.bytes for file in listed),
            sha256=model_sha256({file.name: file.sha256 for file in listed}),
            files=listed,
        )
    except ValueError as error:
        raise BaseModelError(f"{directory} cannot be described: {error}") from error


def documents(directory: Path) -> list[Path]:
    """Return the files that stay with a model beside those that it is made of."""
    return [entry for entry in directory.iterdir() if entry.is_file() and matches(entry.name, DOCUMENTS)]


def _architecture(file: Path) -> str:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        return str((config.get("architectures") or [config.get("model_type", "unknown")])[0])
    except (OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
        raise BaseModelError(f"{file} is not the configuration of a model: {error}") from error


def _licence(card: Path) -> str:
    """Return the licence that a model card states in its front matter; empty if it states none."""
    try:
        _, fence, rest = card.read_text(encoding="utf-8").partition("---\n")
    except (OSError, UnicodeDecodeError):
        return ""
    stated = re.search(r"^license: *['\"]?([^'\"\n]+?)['\"]? *$", rest.partition("\n---")[0], re.MULTILINE)
    return stated[1] if fence and stated else ""
