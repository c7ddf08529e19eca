"""What an adapter is made of: the agreement that all sites of a run must share."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from fedlora.errors import WireError
from fedlora.recipes.recipe import Adapter as AdapterKind
from fedlora.recipes.recipe import frozen_factor

__all__ = ["MAGNITUDE", "AdapterSpec", "TensorSpec", "Vector"]

Vector = npt.NDArray[np.float32]  # one adapter: all tensors of a spec, flat, in the spec's order

KINDS: tuple[str, ...] = get_args(AdapterKind)
MAGNITUDE = ".lora_magnitude_vector"  # how PEFT ends the names of DoRA's magnitudes
MOST_TENSORS = 100_000
MOST_DIMENSIONS = 8
LONGEST_TEXT = 4096
MOST_VALUES = 2**31  # 8 GiB of fp32, forty times a rank-64 adapter of a 70B model


@dataclass(frozen=True)
class TensorSpec:
    """Name and shape of one tensor of the adapter."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class AdapterSpec:
    """The tensors of an adapter, and what it was made for.

    Attributes
    ----------
    kit_version : str
        Version of fedlora that named the tensors.
    base_model : str
        Hub name or folder name of the base model, for people.
    tokenizer_sha256 : str
        Hash of the tokenizer's files alone; before the next one, so that a difference of tokenizers is named.
    base_model_sha256 : str
        Hash of all files of the base model.
    recipe : str
        Name of the recipe.
    recipe_sha256 : str
        Hash of all its values.
    adapter : str
        Its kind: lora, rslora or dora.
    alpha : int
        The adapter's product is scaled by alpha over rank; of rslora over the root of it.
    tensors : tuple of TensorSpec
        Sorted by name; values travel in this order.
    """

    kit_version: str
    base_model: str
    tokenizer_sha256: str
    base_model_sha256: str
    recipe: str
    recipe_sha256: str
    adapter: str
    alpha: int
    tensors: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        names = [tensor.name for tensor in self.tensors]
        if not names or len(names) > MOST_TENSORS:
            raise WireError(f"spec has {len(names)} tensors; allowed: 1 to {MOST_TENSORS}")
        if self.adapter not in KINDS:
            raise WireError(f"spec's adapter is {self.adapter!r}; allowed: {', '.join(KINDS)}")
        if names != sorted(set(names)):
            raise WireError("spec's tensors are not sorted by name, or one stands twice")
        if any(dimension < 1 for tensor in self.tensors for dimension in tensor.shape):
            raise WireError("spec has a tensor with an empty dimension")
        # Before sizes are computed: the product of a million large numbers takes hours.
        if any(
            len(tensor.shape) > MOST_DIMENSIONS or max(tensor.shape, default=0) > MOST_VALUES for tensor in self.tensors
        ):
            raise WireError(
                f"spec has a tensor of more than {MOST_DIMENSIONS} dimensions, or of one beyond {MOST_VALUES}"
            )
        texts = (*names, *(text for text in vars(self).values() if isinstance(text, str)))
        if not all(text.isprintable() and len(text) <= LONGEST_TEXT for text in texts):
            raise WireError(f"spec has a text that is not printable, or longer than {LONGEST_TEXT} characters")
        if self.size > MOST_VALUES:
            raise WireError(f"spec has {self.size} values; allowed: at most {MOST_VALUES}")

    @cached_property
    def size(self) -> int:
        """Number of values of the whole adapter."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def bytes(self) -> int:
        """Bytes of the values of the whole adapter, as a `Vector`."""
        return self.size * np.dtype(np.float32).itemsize

    @property
    def magnitudes(self) -> "AdapterSpec | None":
        """The part of a DoRA adapter that begins as the base model's weights say; None of other adapters."""
        tensors = tuple(tensor for tensor in self.tensors if tensor.name.endswith(MAGNITUDE))
        return replace(self, tensors=tensors) if tensors else None

    def trained(self, factors: str, round_number: int) -> "AdapterSpec":
        """Return the part that a round trains, and that travels back; `factors` as a recipe says it."""
        frozen = frozen_factor(factors, round_number)
        if not frozen:
            return self
        return replace(self, tensors=tuple(tensor for tensor in self.tensors if f".lora_{frozen}." not in tensor.name))

    @cached_property
    def sha256(self) -> str:
        """The hash that names the spec, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Write the spec; equal specs give equal text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "AdapterSpec":
        """Read a spec that somebody else wrote.

        Raises
        ------
        WireError
            If it is not a spec.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            tensors = tuple(
                TensorSpec(str(tensor["name"]), tuple(int(n) for n in tensor["shape"]))
                for tensor in fields.pop("tensors")
            )
            alpha = int(fields.pop("alpha"))
            return cls(tensors=tensors, alpha=alpha, **{key: str(value) for key, value in fields.items()})
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            said = str(error).encode("ascii", "backslashreplace").decode()  # it may quote halves of characters
            raise WireError(f"spec cannot be read: {said}") from error

    def views(self, vector: Vector) -> Iterator[tuple[str, Vector]]:
        """Yield name and shaped view of each tensor in `vector`, a flat array of ``size`` values."""
        offset = 0
        for tensor in self.tensors:
            yield tensor.name, vector[offset : offset + tensor.size].reshape(tensor.shape)
            offset += tensor.size

    def cut(self, vector: Vector, part: "AdapterSpec") -> Vector:
        """Return those values of `vector` that are of `part`, in its order."""
        if part.tensors == self.tensors:
            return vector
        names = {tensor.name for tensor in part.tensors}
        values: Vector = np.concatenate([view.ravel() for name, view in self.views(vector) if name in names])
        return values

    def replaced(self, vector: Vector, part: "AdapterSpec", values: Vector) -> Vector:
        """Return `vector` with `values` in the place of those of `part`."""
        if part.tensors == self.tensors:
            return values
        whole, given = vector.copy(), dict(part.views(values))
        for name, view in self.views(whole):
            if name in given:
                view[:] = given[name]
        return whole

    def difference(self, other: "AdapterSpec") -> str:
        """Say in a few words where `other` differs, for an error; empty if it does not."""
        for field, value in asdict(self).items():
            theirs = getattr(other, field)
            if field == "tensors":
                continue
            if value != theirs:
                return f"{field.replace('_', ' ')} {value} against {theirs}"
        mine, others = set(self.tensors), set(other.tensors)
        if mine != others:
            first = min(mine ^ others, key=lambda tensor: tensor.name)
            return f"{len(mine ^ others)} tensors differ, the first is {first.name} {list(first.shape)}"
        return ""
