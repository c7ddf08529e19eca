"""Merging an adapter into its base model; torch is imported when it is done."""

import shutil
from pathlib import Path

from safetensors import SafetensorError

from fedlora.adapters import Adapter
from fedlora.errors import AdapterError, BaseModelError
from fedlora.language_model.base_model import TOKENIZER, BaseModel

__all__ = ["check_base_model", "merge"]

# Beside the weights and their configuration, which are written anew: the tokenizer, and what must stay with a model.
KEPT = (*TOKENIZER, "LICENSE*")


def check_base_model(adapter: Adapter, base: BaseModel) -> None:
    """Check that `base` is the model that `adapter` was trained on, where the adapter says which that was.

    Raises
    ------
    AdapterError
        If it is another one.
    """
    if adapter.spec is not None and adapter.spec.base_model_sha256 != base.sha256:
        raise AdapterError(
            f"{adapter.directory} was trained on the base model {adapter.spec.base_model} with SHA-256 "
            f"{adapter.spec.base_model_sha256}; {base.directory} has {base.sha256}. Give the right one, or "
            "--any-base-model if you mean it"
        )


def merge(adapter: Adapter, base: BaseModel, directory: Path) -> None:
    """Write `base` with `adapter` added to its weights into the folder `directory`, as safetensors, in its own dtype.

    Raises
    ------
    BaseModelError
        If the base model cannot be loaded.
    AdapterError
        If the adapter does not fit it.
    OSError
        If the disk does not take the model.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(
            base.directory, dtype="auto", local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BaseModelError(f"base model {base.name} cannot be loaded: {error}") from error
    try:
        adapted = PeftModel.from_pretrained(model, str(adapter.directory))
        state = get_peft_model_state_dict(adapted, save_embedding_layers=False)
        taken = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if taken != {name: tensor.shape for name, tensor in adapter.tensors.items()}:  # PEFT only warns of it
            raise ValueError("the modules of the adapter are not those of the base model")
        merged = adapted.merge_and_unload(safe_merge=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise AdapterError(f"the adapter {adapter.directory} does not fit {base.name}: {error}") from error
    try:
        merged.save_pretrained(directory)
    except SafetensorError as error:  # how safetensors says that the disk is full
        raise OSError(str(error)) from error
    for pattern in KEPT:
        for file in base.directory.glob(pattern):
            shutil.copyfile(file, directory / file.name)
