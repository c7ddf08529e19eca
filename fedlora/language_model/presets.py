"""Base models that are known by name before they are here: their sizes, and what follows from them.

The sizes are those of the models' own ``config.json``; licences are what their cards name, and no advice.
"""

from dataclasses import KW_ONLY, dataclass
from math import prod
from pathlib import Path
from typing import Annotated

from fedlora.config import read_toml
from fedlora.errors import ConfigurationError
from fedlora.language_model.families import ATTENTION
from fedlora.language_model.manifest import MODEL_NAME, NAME_RULE
from fedlora.rules import at_least, matching, one_of

__all__ = ["PRECISIONS", "PRESETS", "ModelPreset", "known"]

SEPARATE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FUSED = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
# Families of one shape: attention with keys and values for groups of heads, and a gated product of three matrices.
SHAPED_ALIKE = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "internlm3")
# Bytes of a weight of a matrix product. Four bits: bitsandbytes keeps a scale in fp32 for each 64 values.
PRECISIONS = {"fp4": 0.5 + 4 / 64, "nf4": 0.5 + 4 / 64, "int8": 1.0, "bf16": 2.0, "fp32": 4.0}
ADAPTED_VALUE = 16  # bytes of an adapter's value, its gradient and AdamW's two moments, all fp32

Count = Annotated[int, at_least(1)]


@dataclass(frozen=True)
class ModelPreset:
    """A base model by its sizes.

    Attributes
    ----------
    name : str
        Hub id.
    family : str
        ``model_type`` in its configuration.
    licence : str
        As its card names it.
    layers, hidden, intermediate, heads, key_value_heads, head_size, vocabulary : int
        Its sizes.
    tied : bool
        Whether its head is its embedding.
    chat_template : bool
        Whether its tokenizer has one.
    gated : bool
        Whether the hub asks for a login and the licence's acceptance.
    """

    name: Annotated[str, matching(MODEL_NAME, NAME_RULE)]
    family: Annotated[str, one_of(SHAPED_ALIKE)]
    licence: str
    layers: Count
    hidden: Count
    intermediate: Count
    heads: Count
    key_value_heads: Count
    head_size: Count
    vocabulary: Count
    _: KW_ONLY
    tied: bool
    chat_template: bool = True
    gated: bool = False

    @property
    def default_modules(self) -> tuple[str, ...]:
        """What "default" targets."""
        return ATTENTION[self.family]

    @property
    def linear_modules(self) -> tuple[str, ...]:
        """What "all-linear" targets."""
        return FUSED if self.family == "phi3" else SEPARATE

    @property
    def parameters(self) -> int:
        """Values of the whole model; a tied head counts once."""
        queries, keys = self.heads * self.head_size, self.key_value_heads * self.head_size
        norms = (4 if self.family.startswith("gemma") else 2) * self.hidden
        if self.family in ("qwen3", "gemma3_text"):
            norms += 2 * self.head_size
        biases = queries + 2 * keys if self.family == "qwen2" else 0
        embeddings = self.hidden * self.vocabulary * (1 if self.tied else 2)
        return embeddings + self._linear + self.layers * (norms + biases) + self.hidden

    def adapter_values(self, rank: int, *, all_linear: bool = False) -> int:
        """Return how many values a LoRA adapter of `rank` has."""
        modules = self.linear_modules if all_linear else self.default_modules
        return self.layers * rank * sum(sum(self._shapes[module]) for module in modules)

    def memory(self, precision: str, rank: int, *, all_linear: bool = False) -> int:
        """Return the least bytes that training takes: weights, adapter, optimiser; activations come on top.

        Embeddings, head and norms stay in bf16 unless all is fp32.
        """
        rest = (self.parameters - self._linear) * (4 if precision == "fp32" else 2)
        adapter = ADAPTED_VALUE * self.adapter_values(rank, all_linear=all_linear)
        return round(self._linear * PRECISIONS[precision]) + rest + adapter

    @property
    def _linear(self) -> int:
        return self.layers * sum(prod(self._shapes[module]) for module in self.linear_modules)

    @property
    def _shapes(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each module of a layer."""
        hidden, between = self.hidden, self.intermediate
        queries, keys = self.heads * self.head_size, self.key_value_heads * self.head_size
        return {
            "q_proj": (hidden, queries),
            "k_proj": (hidden, keys),
            "v_proj": (hidden, keys),
            "qkv_proj": (hidden, queries + 2 * keys),
            "o_proj": (queries, hidden),
            "gate_proj": (hidden, between),
            "up_proj": (hidden, between),
            "gate_up_proj": (hidden, 2 * between),
            "down_proj": (between, hidden),
        }


def _llama(name: str, version: str, *sizes: int, tied: bool) -> ModelPreset:
    return ModelPreset(f"meta-llama/{name}", "llama", f"llama{version}", *sizes, tied=tied, gated=True)


def _qwen(name: str, family: str, *sizes: int, tied: bool, licence: str = "apache-2.0") -> ModelPreset:
    return ModelPreset(f"Qwen/{name}", family, licence, *sizes, tied=tied)


def _gemma(name: str, family: str, *sizes: int) -> ModelPreset:
    return ModelPreset(f"google/{name}", family, "gemma", *sizes, tied=True, gated=True)


def _smollm(name: str, *sizes: int) -> ModelPreset:
    return ModelPreset(f"HuggingFaceTB/{name}", "llama", "apache-2.0", *sizes, tied=True)


MISTRAL_7B = (32, 4096, 14336, 32, 8, 128, 32768)
# Those of the FlowerTune leaderboard's rows. Sizes: layers, hidden, intermediate, heads, key-value heads, head size,
# vocabulary.
PRESETS = (
    _llama("Llama-3.2-1B-Instruct", "3.2", 16, 2048, 8192, 32, 8, 64, 128256, tied=True),
    _llama("Llama-3.2-3B-Instruct", "3.2", 28, 3072, 8192, 24, 8, 128, 128256, tied=True),
    _llama("Llama-3.1-8B-Instruct", "3.1", 32, 4096, 14336, 32, 8, 128, 128256, tied=False),
    ModelPreset(
        "mistralai/Mistral-7B-v0.3", "mistral", "apache-2.0", *MISTRAL_7B, tied=False, chat_template=False, gated=True
    ),
    ModelPreset("mistralai/Mistral-7B-Instruct-v0.3", "mistral", "apache-2.0", *MISTRAL_7B, tied=False, gated=True),
    _qwen("Qwen2.5-0.5B-Instruct", "qwen2", 24, 896, 4864, 14, 2, 64, 151936, tied=True),
    _qwen("Qwen2.5-Coder-0.5B-Instruct", "qwen2", 24, 896, 4864, 14, 2, 64, 151936, tied=True),
    _qwen("Qwen2.5-1.5B-Instruct", "qwen2", 28, 1536, 8960, 12, 2, 128, 151936, tied=True),
    _qwen("Qwen2.5-3B-Instruct", "qwen2", 36, 2048, 11008, 16, 2, 128, 151936, tied=True, licence="qwen-research"),
    _qwen("Qwen2.5-7B-Instruct", "qwen2", 28, 3584, 18944, 28, 4, 128, 152064, tied=False),
    _qwen("Qwen2.5-Coder-7B-Instruct", "qwen2", 28, 3584, 18944, 28, 4, 128, 152064, tied=False),
    _qwen("Qwen3-0.6B", "qwen3", 28, 1024, 3072, 16, 8, 128, 151936, tied=True),
    _qwen("Qwen3-1.7B", "qwen3", 28, 2048, 6144, 16, 8, 128, 151936, tied=True),
    _qwen("Qwen3-4B", "qwen3", 36, 2560, 9728, 32, 8, 128, 151936, tied=True),
    _qwen("Qwen3-8B", "qwen3", 36, 4096, 12288, 32, 8, 128, 151936, tied=False),
    _gemma("gemma-2-2b-it", "gemma2", 26, 2304, 9216, 8, 4, 256, 256000),
    _gemma("gemma-2-9b-it", "gemma2", 42, 3584, 14336, 16, 8, 256, 256000),
    _gemma("gemma-3-270m-it", "gemma3_text", 18, 640, 2048, 4, 1, 256, 262144),
    _gemma("gemma-3-1b-it", "gemma3_text", 26, 1152, 6912, 4, 1, 256, 262144),
    ModelPreset("microsoft/Phi-4-mini-instruct", "phi3", "mit", 32, 3072, 8192, 24, 8, 128, 200064, tied=True),
    ModelPreset("microsoft/phi-4", "phi3", "mit", 40, 5120, 17920, 40, 10, 128, 100352, tied=False),
    _smollm("SmolLM2-135M-Instruct", 30, 576, 1536, 9, 3, 64, 49152),
    _smollm("SmolLM2-360M-Instruct", 32, 960, 2560, 15, 5, 64, 49152),
    _smollm("SmolLM2-1.7B-Instruct", 24, 2048, 8192, 32, 32, 64, 49152),
    ModelPreset(
        "internlm/internlm3-8b-instruct", "internlm3", "apache-2.0", 48, 4096, 10240, 32, 2, 128, 128512, tied=False
    ),
)


@dataclass(frozen=True)
class _File:
    """A file that adds base models to those known here."""

    model: tuple[ModelPreset, ...]


def known(file: Path | None = None) -> tuple[ModelPreset, ...]:
    """Return the base models that are known, with those that `file` adds; one of the same name takes a preset's place.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, with everything that is wrong in it, or names a model twice.
    """
    if file is None:
        return PRESETS
    added = read_toml(_File, file).model
    names = [model.name for model in added]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"{file}: {', '.join(twice)} stands there more than once")
    return (*(preset for preset in PRESETS if preset.name not in names), *added)
