"""Loading a base model for training or scoring; torch is imported when it is done."""

import logging
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from fedlora.errors import BaseModelError
from fedlora.language_model.base_model import BaseModel
from fedlora.recipes.recipe import BasePrecision, ComputePrecision

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["load"]


class _OnceEach(logging.Filter):
    """Let each message through once: bitsandbytes warns of every product in 8 bits that it casts."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the message is a new one."""
        new = record.msg not in self.seen
        self.seen.add(record.msg)
        return new


ONCE = _OnceEach()


def load(
    base: BaseModel,
    device: str = "cpu",
    precision: BasePrecision = "bf16",
    compute: ComputePrecision = "bf16",
    *,
    gpus: int = 1,
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Load weights (safetensors only, no remote code) and tokenizer from the disk.

    Parameters
    ----------
    base : BaseModel
        Which one.
    device : str
        Where the weights go: ``cpu``, or ``cuda``.
    precision : str
        What the weights of matrix products are held in. Below bf16, it is bitsandbytes that holds them; embeddings,
        norms and head stay bf16.
    compute : str
        What products are computed in. Of weights below bf16 bitsandbytes makes such values for each product. Others
        are held in what is computed: with fp32, the values are as `precision` rounds them, and take four bytes each.
    gpus : int
        How many GPUs the layers are spread over, where `device` is ``cuda``.

    Raises
    ------
    BaseModelError
        If transformers cannot load them, or they are no causal language model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(base.directory, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            base.directory,
            dtype=torch.float32 if precision == "fp32" else torch.bfloat16,
            # The tuned kernels of sdpa lose on short records on a CPU: 1.5 times the step time of plain products.
            attn_implementation="eager" if device == "cpu" else "sdpa",
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            **_quantisation(precision, compute),
            **_places(precision, device, gpus),
        )
    except (ImportError, OSError, ValueError, KeyError, SafetensorError) as error:
        raise BaseModelError(f"base model {base.name} cannot be loaded: {error}") from error
    if precision in ("bf16", "fp32"):
        where = device if gpus == 1 else None  # spread over several, each layer is where it belongs already
        torch.nn.Module.to(model, where, torch.float32 if compute == "fp32" else None)
    head = model.get_output_embeddings()
    if head is None:
        raise BaseModelError(f"base model {base.name} has no output embeddings; it is no causal language model")
    # A slice of the hidden states is not contiguous; torch would copy the whole vocabulary matrix for each record.
    head.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    return model, tokenizer


def _quantisation(precision: BasePrecision, compute: ComputePrecision) -> dict[str, Any]:
    """Return what transformers is told of weights below bf16: no double quantisation, as the benchmark has it."""
    if precision in ("bf16", "fp32"):
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    logging.getLogger("bitsandbytes.autograd._functions").addFilter(ONCE)  # the same again is not added twice
    if precision == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=precision,
            bnb_4bit_compute_dtype=torch.float32 if compute == "fp32" else torch.bfloat16,
        )
    return {"quantization_config": config}


def _places(precision: BasePrecision, device: str, gpus: int) -> dict[str, Any]:
    """Return what transformers is told of where the weights go: over several GPUs, accelerate spreads them evenly."""
    if gpus > 1:
        import torch

        free = {number: torch.cuda.mem_get_info(number)[0] for number in range(gpus)}
        return {"device_map": "balanced", "max_memory": free}
    return {} if precision in ("bf16", "fp32") else {"device_map": {"": device}}
