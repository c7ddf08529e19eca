"""Converting a GGUF file into a base model: ``python -m fedlora.language_model.build FILE FOLDER``.

A program of its own, because it needs torch and gigabytes of memory for a moment, and its callers need neither.
"""

import sys
from pathlib import Path

__all__ = ["convert_gguf"]


def convert_gguf(source: Path, directory: Path) -> None:
    """Turn the GGUF file `source` into safetensors in bf16, with its tokenizer, in `directory`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.bfloat16)
    # The loader leaves a trace of GGUF's quantisation behind, which the weights, now plain bf16, no longer have.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    for trace, plain in (("hf_quantizer", None), ("is_quantized", False)):
        setattr(model, trace, plain)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


if __name__ == "__main__":
    convert_gguf(Path(sys.argv[1]), Path(sys.argv[2]))
