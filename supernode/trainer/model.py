"""The base model with its adapter, and the adapter as one flat vector."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from transformers import PreTrainedModel

import fedlora
from fedlora.errors import BaseModelError
from fedlora.language_model import BaseModel
from fedlora.language_model.families import target_modules
from fedlora.recipes import Recipe
from fedlora.wire import AdapterSpec, TensorSpec
from fedlora.wire.spec import MAGNITUDE, Vector
from supernode.trainer.fused_lora import fuse

__all__ = ["AdapterModel"]


class AdapterModel:
    """A base model that carries one adapter.

    Of a recipe's rank that is above the site's, the first rows of A and columns of B are trained, at the scale of the
    whole (HetLoRA: Cho et al. 2024, arXiv 2401.06432). Outside, the adapter is always as the recipe says.

    Parameters
    ----------
    base : BaseModel
        Where the weights came from.
    model : PreTrainedModel
        The loaded weights; the adapter is put into them.
    recipe : Recipe
        Kind and shape of the adapter.
    rank : int
        The rank that is trained; 0 for the recipe's.

    Attributes
    ----------
    spec : AdapterSpec
        What the adapter is, outside.
    rank : int
        The rank that is trained.
    magnitudes : Vector or None
        Where the magnitudes of a DoRA adapter begin, values of ``spec.magnitudes``; None of other adapters.

    Raises
    ------
    BaseModelError
        If the recipe's target modules match nothing in the model.
    """

    def __init__(self, base: BaseModel, model: PreTrainedModel, recipe: Recipe, rank: int = 0) -> None:
        self.rank = rank or recipe.rank
        # PEFT divides by the rank that it is told, or by its root; the scale is to be that of the recipe's rank.
        alpha: Any = recipe.scale * (math.sqrt(self.rank) if recipe.adapter == "rslora" else self.rank)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=alpha,  # any number, although PEFT's type says a whole one
            lora_dropout=recipe.dropout,
            target_modules=list(target_modules(base, recipe)),
            task_type="CAUSAL_LM",
            use_rslora=recipe.adapter == "rslora",
            use_dora=recipe.adapter == "dora",
        )
        try:
            self.model: PeftModel = get_peft_model(model, config)
        except ValueError as error:
            raise BaseModelError(f"recipe {recipe.name} does not fit base model {base.name}: {error}") from error
        fuse(self.model)
        self.spec = AdapterSpec(
            kit_version=fedlora.__version__,
            base_model=base.name,
            tokenizer_sha256=base.tokenizer_sha256,
            base_model_sha256=base.sha256,
            recipe=recipe.name,
            recipe_sha256=recipe.sha256,
            adapter=recipe.adapter,
            alpha=recipe.alpha,
            tensors=tuple(TensorSpec(name, _whole(name, tensor, recipe.rank)) for name, tensor in self._tensors()),
        )
        self.magnitudes = self._magnitudes()

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """The trainable parameters."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    @property
    def checkpointing(self) -> bool:
        """Whether activations are computed again for the gradients, instead of being kept."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.model.modules())

    def checkpoint_gradients(self) -> None:
        """Compute activations again for the gradients from now on: a third more work, and a fraction of the memory."""
        self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def freeze(self, factor: str) -> None:
        """Train all of the adapter but `factor`, "A" or "B"; empty for all of it."""
        for name, parameter in self.model.named_parameters():
            if ".lora_" in name:
                parameter.requires_grad_(f".lora_{factor}." not in name)

    @torch.no_grad()
    def load(self, vector: Vector) -> None:
        """Overwrite the adapter with `vector`, ``spec.size`` values in the spec's order."""
        for (_, tensor), (_, values) in zip(self._tensors(), self.spec.views(vector), strict=True):
            tensor.copy_(torch.from_numpy(values[_part(tensor)]))

    @torch.no_grad()
    def vector(self) -> Vector:
        """Return the adapter as ``spec.size`` values in the spec's order; what is not trained is zero."""
        vector: Vector = np.zeros(self.spec.size, dtype=np.float32)
        for (_, tensor), (_, values) in zip(self._tensors(), self.spec.views(vector), strict=True):
            values[_part(tensor)] = tensor.float().cpu().numpy()
        return vector

    @property
    def held(self) -> Vector:
        """1 for each of the spec's values that a round may train here, all up to the rank; 0 for the others."""
        held: Vector = np.zeros(self.spec.size, dtype=np.float32)
        for (_, tensor), (_, values) in zip(self._tensors(), self.spec.views(held), strict=True):
            values[_part(tensor)] = 1
        return held

    @torch.no_grad()
    def change(self, vector: Vector) -> Vector:
        """Return what the adapter has changed of `vector`, that it was loaded from; what is not trained is zero."""
        change = self.vector()
        views = zip(self._tensors(), self.spec.views(change), self.spec.views(vector), strict=True)
        for (_, tensor), (_, after), (_, before) in views:
            after[_part(tensor)] -= before[_part(tensor)]
        return change

    def _magnitudes(self) -> Vector | None:
        found = [tensor.detach().float().cpu().numpy() for name, tensor in self._tensors() if name.endswith(MAGNITUDE)]
        return np.concatenate(found) if found else None

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the adapter's tensors by the names that PEFT gives them in a saved adapter, sorted."""
        yield from sorted(get_peft_model_state_dict(self.model).items())


def _whole(name: str, tensor: torch.Tensor, rank: int) -> tuple[int, ...]:
    """Return the shape of a tensor of an adapter of `rank`, of which `tensor` may be a part."""
    shape = tuple(tensor.shape)
    if ".lora_A." in name:
        return (rank, *shape[1:])
    return (*shape[:-1], rank) if ".lora_B." in name else shape


def _part(tensor: torch.Tensor) -> tuple[slice, ...]:
    """Return what of a whole tensor of the adapter `tensor` is."""
    return tuple(slice(length) for length in tensor.shape)
