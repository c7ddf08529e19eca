"""Loading a base model for training or scoring; torch is imported when it is done."""

from typing import TYPE_CHECKING

from safetensors import SafetensorError

from fedlora.errors import BaseModelError
from fedlora.language_model.base_model import BaseModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["load"]


def load(base: BaseModel, device: str = "cpu") -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Load weights (bf16, safetensors only, no remote code) and tokenizer from the disk.

    Parameters
    ----------
    base : BaseModel
        Which one.
    device : str
        Where the weights go: ``cpu``, or ``cuda``.

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
            dtype=torch.bfloat16,
            # The tuned kernels of sdpa lose on short records on a CPU: 1.5 times the step time of plain products.
            attn_implementation="eager" if device == "cpu" else "sdpa",
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BaseModelError(f"base model {base.name} cannot be loaded: {error}") from error
    torch.nn.Module.to(model, device)
    head = model.get_output_embeddings()
    if head is None:
        raise BaseModelError(f"base model {base.name} has no output embeddings; it is no causal language model")
    # A slice of the hidden states is not contiguous; torch would copy the whole vocabulary matrix for each record.
    head.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    return model, tokenizer
