"""Reading an adapter's folder: PEFT's configuration and tensors and, where it is the kit's own, spec and checkpoint."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from fedlora.adapters.checkpoint import CheckpointNote, read_note
from fedlora.errors import AdapterError, WireError
from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector

__all__ = ["CONFIG", "SPEC", "WEIGHTS", "Adapter", "Factors", "open_adapter"]

CONFIG, WEIGHTS, SPEC = "adapter_config.json", "adapter_model.safetensors", "spec.json"
PREFIX = "base_model.model."  # PEFT puts it before the name of each module
FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
READABLE = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class Factors:
    """The adapter of one module: its weight changes by ``scale * b @ a``.

    With DoRA, that changes the weight's direction; each of its rows then gets the length that its magnitude says.

    Attributes
    ----------
    module : str
        Name of the module in the base model.
    a, b : Vector
        Of shape (rank, inputs) and (outputs, rank).
    scale : float
        Alpha over rank, in the plain case.
    """

    module: str
    a: Vector
    b: Vector
    scale: float

    @property
    def kind(self) -> str:
        """The last part of the name, which a module shares with its like in other layers."""
        return self.module.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class Adapter:
    """An adapter that was read.

    Attributes
    ----------
    directory : Path
        Where it is.
    config : Mapping
        PEFT's configuration.
    tensors : Mapping
        Every tensor by its name, in fp32.
    dtypes : tuple of str
        In which types they stand in the file.
    spec : AdapterSpec or None
        What the kit has noted of it, if it is the kit's own.
    checkpoint : CheckpointNote or None
        Which round it is of, if the folder is a checkpoint.
    """

    directory: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Vector]
    dtypes: tuple[str, ...]
    spec: AdapterSpec | None
    checkpoint: CheckpointNote | None

    @property
    def base_model(self) -> str:
        """Name of the base model; of one that was named by a path, the last part of it."""
        name = str(self.config.get("base_model_name_or_path") or "unknown")
        return name.rstrip("/").rsplit("/", 1)[-1] if name.startswith(("/", ".", "~")) else name

    @property
    def rank(self) -> int:
        """The rank that the configuration names."""
        return int(self.config["r"])

    @property
    def kind(self) -> str:
        """Which kind of adapter it is: lora, rslora or dora."""
        if self.config.get("use_dora"):
            return "dora"
        return "rslora" if self.config.get("use_rslora") else "lora"

    @property
    def alpha(self) -> float:
        """LoRA's alpha."""
        return float(self.config["lora_alpha"])

    @property
    def target_modules(self) -> tuple[str, ...]:
        """Which modules are adapted: ends of names, or one regular expression."""
        targets = self.config.get("target_modules") or ()
        return (targets,) if isinstance(targets, str) else tuple(sorted(targets))

    @property
    def size(self) -> int:
        """Number of values."""
        return sum(tensor.size for tensor in self.tensors.values())

    @cached_property
    def factors(self) -> tuple[Factors, ...]:
        """The adapted modules, by name.

        Raises
        ------
        AdapterError
            If a module has one factor alone, or two that do not fit each other.
        """
        sides: dict[str, dict[str, Vector]] = {}
        for name, tensor in self.tensors.items():
            match = FACTOR.fullmatch(name)
            if match is not None and tensor.ndim == 2:
                sides.setdefault(match["module"].removeprefix(PREFIX), {})[match["side"]] = tensor
        for module, found in sides.items():
            if set(found) != {"A", "B"} or found["A"].shape[0] != found["B"].shape[1]:
                raise AdapterError(f"{self.directory / WEIGHTS}: module {module} has no lora_A and lora_B that fit")
        return tuple(
            Factors(module, found["A"], found["B"], self._scale(module, found["A"].shape[0]))
            for module, found in sorted(sides.items())
        )

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the tensors that are no factors of a linear module, such as whole layers saved beside them."""
        own = {f"{PREFIX}{one.module}.lora_{side}.weight" for one in self.factors for side in "AB"}
        return tuple(sorted(set(self.tensors) - own))

    def check(self) -> "Adapter":
        """Check that a checkpoint's files are what was written, and return the adapter.

        Raises
        ------
        AdapterError
            If one is not.
        """
        if self.checkpoint is not None and self.checkpoint.changed:
            changed = ", ".join(self.checkpoint.changed)
            raise AdapterError(f"checkpoint {self.directory} is damaged: {changed} is not what was written")
        return self

    def _scale(self, module: str, rank: int) -> float:
        alpha = self.alpha
        for pattern, value in (self.config.get("alpha_pattern") or {}).items():
            if re.fullmatch(rf"(?:.*\.)?(?:{pattern})", module):
                alpha = float(value)
                break
        return alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)


def open_adapter(directory: Path) -> Adapter:
    """Read the adapter in `directory`.

    Raises
    ------
    AdapterError
        If there is none, it is damaged, it is no LoRA adapter, or does not fit the spec beside it. A checkpoint whose
        files were changed is read all the same; see `Adapter.check`.
    """
    missing = [name for name in (CONFIG, WEIGHTS) if not (directory / name).is_file()]
    if missing:
        raise AdapterError(f"{directory} is no adapter: no {', no '.join(missing)}; it must be a folder of PEFT's")
    try:
        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        _check_config(config, directory / CONFIG)
        tensors, dtypes = _read_tensors(directory / WEIGHTS)
        spec = _read_spec(directory / SPEC)
        adapter = Adapter(directory, config, tensors, dtypes, spec, read_note(directory))
        _ = adapter.rank, adapter.alpha, adapter.factors
    except (OSError, ValueError, KeyError, TypeError, AttributeError, WireError, SafetensorError) as error:
        raise AdapterError(f"{directory} cannot be read: {type(error).__name__}: {error}") from error
    if spec is not None and {one.name: one.shape for one in spec.tensors} != {
        name: tensor.shape for name, tensor in tensors.items()
    }:
        raise AdapterError(f"{directory}: the tensors in {WEIGHTS} are not those of {SPEC}")
    return adapter


def _check_config(config: Any, file: Path) -> None:
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        found = config.get("peft_type") if isinstance(config, dict) else None
        raise AdapterError(f"{file}: peft_type is {found!r}; this kit reads 'LORA'")


def _read_spec(file: Path) -> AdapterSpec | None:
    return AdapterSpec.from_json(file.read_text(encoding="utf-8")) if file.exists() else None


def _read_tensors(file: Path) -> tuple[dict[str, Vector], tuple[str, ...]]:
    tensors: dict[str, Vector] = {}
    dtypes: set[str] = set()
    for name, stored in deserialize(file.read_bytes()):
        dtypes.add(stored["dtype"])
        if stored["dtype"] not in READABLE:
            raise AdapterError(f"{file}: tensor {name} is of type {stored['dtype']}; allowed: {', '.join(READABLE)}")
        values = np.frombuffer(stored["data"], READABLE[stored["dtype"]]).reshape(stored["shape"])
        if stored["dtype"] == "BF16":  # the upper half of an fp32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = values.astype(np.float32)
        if not np.isfinite(tensors[name]).all():
            raise AdapterError(f"{file}: tensor {name} holds values that are not finite")
    return dict(sorted(tensors.items())), tuple(sorted(dtypes))
