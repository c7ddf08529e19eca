"""Building a base model's folder: ``python -m fedlora.language_model.build convert|fetch SOURCE FOLDER``.

A program of its own, because it needs torch and gigabytes of memory for a moment, and its callers need neither.
"""

import sys
from pathlib import Path

__all__ = ["convert_gguf", "fetch"]

HUB_PATTERNS = ["*.json", "*.safetensors", "tokenizer*", "*.model", "LICENSE*", "README.md"]


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


def fetch(hub_id: str, directory: Path) -> None:
    """Download the files of `hub_id` that a base model needs; no code and no pickled weights."""
    from huggingface_hub import snapshot_download

    snapshot_download(hub_id, local_dir=directory, allow_patterns=HUB_PATTERNS)


def main(arguments: list[str]) -> int:
    """Do what the command line says."""
    action, source, directory = arguments
    if action == "convert":
        convert_gguf(Path(source), Path(directory))
    else:
        fetch(source, Path(directory))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
