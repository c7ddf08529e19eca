"""Adapters on the disk, in the layout of PEFT."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from fedlora.errors import WireError
from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector

__all__ = ["join_adapter", "write_adapter"]


def write_adapter(vector: Vector, spec: AdapterSpec, directory: Path) -> None:
    """Write `vector` into the folder `directory` so that ``peft.PeftModel.from_pretrained`` loads it.

    Parameters
    ----------
    vector : Vector
        ``spec.size`` values.
    spec : AdapterSpec
        Names and shapes; rank and target modules follow from them.
    directory : Path
        Gets ``adapter_model.safetensors`` and ``adapter_config.json``.
    """
    save_file(dict(spec.views(vector)), directory / "adapter_model.safetensors", metadata={"format": "pt"})
    config = json.dumps(_peft_config(spec), indent=2, sort_keys=True)
    (directory / "adapter_config.json").write_text(config + "\n", encoding="utf-8")


def join_adapter(tensors: Mapping[str, Vector], spec: AdapterSpec) -> Vector:
    """Return the tensors of an adapter as one vector of ``spec.size`` values.

    Raises
    ------
    WireError
        If they are not those of the spec.
    """
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != {tensor.name: tensor.shape for tensor in spec.tensors}:
        raise WireError("the adapter's tensors are not those of its spec")
    vector: Vector = np.concatenate([tensors[tensor.name].ravel() for tensor in spec.tensors])
    return vector


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
        "use_dora": spec.adapter == "dora",
        "use_rslora": spec.adapter == "rslora",
    }
