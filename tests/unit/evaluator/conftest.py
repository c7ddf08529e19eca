"""What tests of the evaluator share: the tiny model with room for prompts, and adapters of it."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open

from fedlora.language_model import BaseModel
from fedlora.language_model.loading import load
from fedlora.wire import AdapterSpec, TensorSpec


@pytest.fixture(scope="session")
def model(tiny_model, tmp_path_factory):
    """The tiny model with a context that holds a prompt of bytes, as a folder."""
    folder = tmp_path_factory.mktemp("long") / "tiny"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8192}))
    return BaseModel("tiny", folder)


@pytest.fixture(scope="session")
def adapter(model, tmp_path_factory):
    """An adapter of that model, as a folder."""
    base, _ = load(model, precision="fp32", compute="fp32")
    torch.manual_seed(1)
    made = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    folder = tmp_path_factory.mktemp("adapter")
    made.save_pretrained(folder)
    return folder


@pytest.fixture
def foreign(adapter, tmp_path):
    """The same adapter, which says that it was trained on another model."""
    folder = shutil.copytree(adapter, tmp_path / "foreign")
    with safe_open(folder / "adapter_model.safetensors", "numpy") as file:
        tensors = tuple(TensorSpec(name, tuple(file.get_tensor(name).shape)) for name in sorted(file.keys()))
    hashes = {"tokenizer_sha256": "t" * 64, "base_model_sha256": "b" * 64, "recipe_sha256": "r" * 64}
    spec = AdapterSpec("0", "other", recipe="finance/default", adapter="lora", alpha=8, tensors=tensors, **hashes)
    (folder / "spec.json").write_text(spec.to_json())
    return folder
