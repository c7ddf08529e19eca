"""What training takes of memory, from the files of a base model, a recipe, and the tokens at once; without torch.

The factors are fitted to peaks of resident memory that were measured on a CPU with two models of the Llama family
(docs/site.md has the table), so take the result for an estimate, and with other families for an order of magnitude.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from fedlora.errors import BaseModelError
from fedlora.language_model import BaseModel
from fedlora.language_model.adapter_shapes import adapter_tensors
from fedlora.recipes import Recipe
from fedlora.wire import TensorSpec

__all__ = ["Needs", "needs"]

PROGRAM_BYTES = 415 * 10**6  # Python, torch and transformers; on a GPU about as much for CUDA's own
# Bytes that are kept of each token for the gradients. In each layer: a channel, a channel of its inner layer, and a
# head and position of the record (where all products of attention are kept). In each adapted module: an input, as much
# again with dropout, and an output with DoRA; of an input less where the trainer computes the module as one operation.
A_CHANNEL, AN_INNER_CHANNEL, A_POSITION = 44.0, 4.2, 4.5
AN_INPUT, A_FUSED_INPUT, A_DROPPED_INPUT, AN_OUTPUT = 4.4, 1.8, 4.3, 4.8
A_WORD = 12.5  # and of each token of an answer, a word of the vocabulary
ANSWERS = 0.5  # share of the tokens that are an answer's
# Times as much with products in fp32: where all values are fp32; and where those between products stay bf16.
IN_FP32, PRODUCTS_IN_FP32 = 1.6, 1.2
A_VALUE = {"fp4": 0.5 + 4 / 64, "nf4": 0.5 + 4 / 64, "int8": 1.0, "bf16": 2.0, "fp32": 4.0}
MOMENTS = {"adamw": 8, "adamw-8bit": 2}
A_TRAINED_VALUE = 4 + 4  # itself and its gradient
A_RECEIVED_VALUE = 4  # which FedProx's term measures the distance to
IN_A_LAYER = re.compile(r"\.\d+\.")


@dataclass(frozen=True)
class Needs:
    """What training takes, in bytes.

    Attributes
    ----------
    program : int
        The program itself.
    weights : int
        The base model, as the recipe has it held.
    adapter : int
        The adapter with its gradients and the optimiser's moments, and once more where training is held near it.
    activations : int
        What is kept of the tokens that are in the model at once, for their gradients.
    logits : int
        A value for each word of the vocabulary, for each of their answers' tokens.
    update : int
        An update, as it goes over the wire.
    """

    program: int
    weights: int
    adapter: int
    activations: int
    logits: int
    update: int

    @property
    def memory(self) -> int:
        """All that is there at once."""
        return self.program + self.weights + self.adapter + self.activations + self.logits


def needs(base: BaseModel, recipe: Recipe, tokens_at_once: int, *, device: str = "cpu", rank: int = 0) -> Needs:
    """Return what training takes.

    Parameters
    ----------
    base : BaseModel
        Of which configuration and the headers of the weights are read.
    recipe : Recipe
        What is trained.
    tokens_at_once : int
        Tokens that go through the model at once; never less than a record of the recipe's length, for that is not cut.
    device : str
        Whose memory is meant: ``cpu``, or ``cuda``.
    rank : int
        The rank that is trained; 0 for the recipe's.

    Raises
    ------
    BaseModelError
        If the base model is damaged, or has none of the modules that the recipe targets.
    """
    layers, channels, inner, heads, words = _sizes(base)
    tensors = adapter_tensors(base, recipe)
    values = sum(tensor.size for tensor in tensors)
    trained = values * (rank or recipe.rank) // recipe.rank
    tokens = max(tokens_at_once, recipe.length)
    kept = layers * (A_CHANNEL * channels + AN_INNER_CHANNEL * inner) + _of_modules(recipe, tensors)
    attention = layers * heads * recipe.length * A_POSITION if device == "cpu" else 0
    return Needs(
        program=PROGRAM_BYTES,
        weights=_weights(base, recipe),
        adapter=trained * (A_TRAINED_VALUE + MOMENTS[recipe.optimizer] + A_RECEIVED_VALUE * (recipe.proximal > 0)),
        activations=round(tokens * (kept * _times(recipe) + attention)),
        logits=round(tokens * ANSWERS * A_WORD * words),
        update=4 * values,
    )


def _of_modules(recipe: Recipe, tensors: tuple[TensorSpec, ...]) -> float:
    """Return the bytes that adapted modules keep of a token in bf16."""
    inputs = sum(tensor.shape[1] for tensor in tensors if ".lora_A." in tensor.name)
    outputs = sum(tensor.shape[0] for tensor in tensors if ".lora_B." in tensor.name)
    plain = recipe.base_precision == "bf16" or (recipe.base_precision, recipe.compute_precision) == ("fp32", "fp32")
    an_input = A_FUSED_INPUT if plain and recipe.adapter != "dora" else AN_INPUT
    dropped = A_DROPPED_INPUT if recipe.dropout else 0.0
    return inputs * (an_input + dropped) + outputs * (AN_OUTPUT if recipe.adapter == "dora" else 0.0)


def _times(recipe: Recipe) -> float:
    """Return how many times as much is kept as in bf16."""
    if recipe.compute_precision == "bf16":
        return 1.0
    return IN_FP32 if recipe.base_precision in ("bf16", "fp32") else PRODUCTS_IN_FP32


def _weights(base: BaseModel, recipe: Recipe) -> int:
    """Return the bytes of the base model: products in the layers as the recipe holds them, all else in 16 bits."""
    wide = recipe.base_precision == "fp32" or (recipe.base_precision, recipe.compute_precision) == ("bf16", "fp32")
    total = 0.0
    for weight in base.weights():
        size = 1
        for dimension in weight.shape:
            size *= dimension
        product = len(weight.shape) == 2 and IN_A_LAYER.search(weight.name) is not None
        total += size * (4.0 if wide else A_VALUE[recipe.base_precision] if product else 2.0)
    return round(total)


def _sizes(base: BaseModel) -> tuple[int, int, int, int, int]:
    """Return layers, channels, channels of the inner layers, heads, and words, of the part that is a language model."""
    try:
        about: dict[str, Any] = json.loads((base.directory / "config.json").read_text(encoding="utf-8"))
        about = about.get("text_config", about)
        layers, channels, words = (int(about[key]) for key in ("num_hidden_layers", "hidden_size", "vocab_size"))
        inner = int(about.get("intermediate_size") or 4 * channels)
        heads = int(about.get("num_attention_heads") or max(1, channels // 64))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaseModelError(
            f"{base.directory / 'config.json'} does not say how large the model is: {error}"
        ) from error
    return layers, channels, inner, heads, words
