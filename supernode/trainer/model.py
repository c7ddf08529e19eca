"""The base model with its adapter, and the adapter as one flat vector."""

from collections.abc import Iterator

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from transformers import PreTrainedModel

import fedlora
from fedlora.errors import BaseModelError
from fedlora.language_model import BaseModel
from fedlora.recipes import Recipe
from fedlora.wire import AdapterSpec, TensorSpec
from fedlora.wire.spec import Vector

__all__ = ["AdapterModel"]


class AdapterModel:
    """A base model that carries one adapter.

    Parameters
    ----------
    base : BaseModel
        Where the weights came from.
    model : PreTrainedModel
        The loaded weights; the adapter is put into them.
    recipe : Recipe
        Shape of the adapter.

    Raises
    ------
    BaseModelError
        If the recipe's target modules match nothing in the model.
    """

    def __init__(self, base: BaseModel, model: PreTrainedModel, recipe: Recipe) -> None:
        config = LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            lora_dropout=recipe.dropout,
            target_modules=list(recipe.target_modules),
            task_type="CAUSAL_LM",
        )
        try:
            self.model: PeftModel = get_peft_model(model, config)
        except ValueError as error:
            raise BaseModelError(f"recipe {recipe.name} does not fit base model {base.name}: {error}") from error
        self.spec = AdapterSpec(
            kit_version=fedlora.__version__,
            base_model=base.name,
            tokenizer_sha256=base.tokenizer_sha256,
            base_model_sha256=base.sha256,
            recipe=recipe.name,
            recipe_sha256=recipe.sha256,
            alpha=recipe.alpha,
            tensors=tuple(TensorSpec(name, tuple(tensor.shape)) for name, tensor in self._tensors()),
        )

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """The trainable parameters."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    @torch.no_grad()
    def load(self, vector: Vector) -> None:
        """Overwrite the adapter with `vector`, ``spec.size`` values in the spec's order."""
        for (_, tensor), (_, values) in zip(self._tensors(), self.spec.views(vector), strict=True):
            tensor.copy_(torch.from_numpy(values))

    @torch.no_grad()
    def vector(self) -> Vector:
        """Return the adapter as ``spec.size`` values in the spec's order."""
        flat = torch.cat([tensor.reshape(-1).float().cpu() for _, tensor in self._tensors()])
        return np.asarray(flat.numpy(), dtype=np.float32)

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the adapter's tensors by the names that PEFT gives them in a saved adapter, sorted."""
        yield from sorted(get_peft_model_state_dict(self.model).items())
