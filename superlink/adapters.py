"""Adapters on the disk, in the layout of PEFT."""

import json
import os
import shutil
from pathlib import Path

from safetensors.numpy import save_file

from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector

__all__ = ["save_adapter"]


def save_adapter(vector: Vector, spec: AdapterSpec, directory: Path) -> Path:
    """Write `vector` so that ``peft.PeftModel.from_pretrained`` loads it; in one step, over what stands there.

    Parameters
    ----------
    vector : Vector
        ``spec.size`` values.
    spec : AdapterSpec
        Names and shapes; rank and target modules follow from them.
    directory : Path
        Gets ``adapter_model.safetensors`` and ``adapter_config.json``.

    Returns
    -------
    Path
        `directory`.
    """
    unfinished = directory.with_name(f".{directory.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    save_file(dict(spec.views(vector)), unfinished / "adapter_model.safetensors", metadata={"format": "pt"})
    config = json.dumps(_peft_config(spec), indent=2, sort_keys=True)
    (unfinished / "adapter_config.json").write_text(config + "\n", encoding="utf-8")
    for file in unfinished.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    shutil.rmtree(directory, ignore_errors=True)
    unfinished.rename(directory)
    return directory


def _peft_config(spec: AdapterSpec) -> dict[str, object]:
    factors = [tensor for tensor in spec.tensors if ".lora_A." in tensor.name]
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": spec.base_model,
        "r": factors[0].shape[0],
        "lora_alpha": spec.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "target_modules": sorted({tensor.name.split(".lora_A.")[0].rsplit(".", 1)[1] for tensor in factors}),
        "use_dora": False,
        "use_rslora": False,
    }
