"""Families of base models: what their modules are called, and which of them get an adapter."""

import json
import re
from collections.abc import Iterable
from typing import Any

from fedlora.errors import BaseModelError
from fedlora.language_model.base_model import BaseModel
from fedlora.recipes import ALL_LINEAR, FAMILY_DEFAULT, Recipe

__all__ = ["ATTENTION", "target_modules"]

# What an adapter gets where no modules are named, by a configuration's model_type: PEFT's choice, or where PEFT has
# none (the second group), query and value as for their like.
ATTENTION = {
    **dict.fromkeys(
        ("llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "stablelm", "gptj", "opt"),
        ("q_proj", "v_proj"),
    ),
    **dict.fromkeys(("gpt_neox", "falcon", "bloom"), ("query_key_value",)),
    "phi": ("q_proj", "v_proj", "fc1", "fc2"),
    **dict.fromkeys(("internlm3", "olmo2"), ("q_proj", "v_proj")),
    "phi3": ("qkv_proj",),
}
TRANSPOSED = ("gpt2", "openai-gpt", "imagegpt", "decision_transformer")  # their weights stand on end (Conv1D)
SENSES = ("vision_config", "audio_config")
IN_A_LAYER = re.compile(r"\.\d+\.")  # layers are numbered; embeddings and head are not
EXPERTS = ".experts."


def target_modules(base_model: BaseModel, recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the modules of `base_model` that get an adapter of `recipe`.

    Raises
    ------
    BaseModelError
        If the model is of a kind that no adapter is trained for, the recipe leaves the modules to a family that is not
        known, names some that the model has not, or the model's files are damaged.
    """
    config = _configuration(base_model)
    kind = config.get("model_type")
    none = f"base model {base_model.name} gets no adapter of recipe {recipe.name}:"
    if kind in TRANSPOSED:
        raise BaseModelError(f"{none} it is of the family {kind!r}, whose weights are transposed (Conv1D)")
    if senses := [sense for sense in SENSES if sense in config]:
        raise BaseModelError(f"{none} it is no model of text alone: {', '.join(senses)} in its config.json")
    products = _matrix_products(base_model)
    if recipe.target_modules == (ALL_LINEAR,):
        if any(EXPERTS in product for product in products):
            raise BaseModelError(
                f"{none} its experts are not single matrix products; name its attention's modules in target-modules"
            )
        return _names(products)
    wanted = recipe.target_modules
    if wanted == (FAMILY_DEFAULT,):
        if kind not in ATTENTION:
            raise BaseModelError(
                f"base model {base_model.name} is of the family {kind!r}, for which no default modules are known; "
                f'known: {", ".join(ATTENTION)}; write target-modules = ["{ALL_LINEAR}"], or their names'
            )
        wanted = ATTENTION[kind]
    there = _names(product for product in products if EXPERTS not in product)
    if missing := [name for name in wanted if name not in there]:
        raise BaseModelError(
            f"base model {base_model.name} has {'none' if len(missing) == len(wanted) else 'not all'} of the modules "
            f"that recipe {recipe.name} targets: no {', '.join(missing)}; it has: {', '.join(there)}"
        )
    return wanted


def _configuration(base_model: BaseModel) -> dict[str, Any]:
    file = base_model.directory / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BaseModelError(f"{file} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise BaseModelError(f"{file} holds a {type(config).__name__}, not the configuration of a model")
    return config


def _matrix_products(base_model: BaseModel) -> list[str]:
    """Return the modules in the model's layers that multiply by a matrix."""
    return [
        weight.name.removesuffix(".weight")
        for weight in base_model.weights()
        if weight.name.endswith(".weight") and len(weight.shape) == 2 and IN_A_LAYER.search(weight.name)
    ]


def _names(modules: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({module.rpartition(".")[2] for module in modules}))
