"""Which tensors an adapter has on a base model, read from the headers of its files: no torch, no weights in memory."""

from fedlora.errors import BaseModelError
from fedlora.language_model.base_model import BaseModel
from fedlora.language_model.families import target_modules
from fedlora.recipes import Recipe
from fedlora.wire import TensorSpec
from fedlora.wire.spec import MAGNITUDE

__all__ = ["adapter_tensors"]


def adapter_tensors(base_model: BaseModel, recipe: Recipe) -> tuple[TensorSpec, ...]:
    """Return the tensors that PEFT gives an adapter of `recipe` on `base_model`, by name.

    Raises
    ------
    BaseModelError
        If the base model has none of the recipe's target modules, or a file of it is damaged.
    """
    found, targets = [], target_modules(base_model, recipe)
    for weight in base_model.weights():
        module, _, kind = weight.name.rpartition(".")
        if kind == "weight" and module.rpartition(".")[2] in targets and len(weight.shape) == 2:
            outputs, inputs = weight.shape
            found.append(TensorSpec(f"base_model.model.{module}.lora_A.weight", (recipe.rank, inputs)))
            found.append(TensorSpec(f"base_model.model.{module}.lora_B.weight", (outputs, recipe.rank)))
            if recipe.adapter == "dora":
                found.append(TensorSpec(f"base_model.model.{module}{MAGNITUDE}", (outputs,)))
    if not found:
        raise BaseModelError(
            f"base model {base_model.name} has none of the modules that recipe {recipe.name} targets: "
            f"{', '.join(targets)}"
        )
    return tuple(sorted(found, key=lambda tensor: tensor.name))
