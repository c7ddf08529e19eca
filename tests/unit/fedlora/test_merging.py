"""Merged models and exported adapters, held against PEFT and transformers on a tiny model."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from fedlora.adapters import open_adapter
from fedlora.adapters.measures import measure
from fedlora.cli.main import application
from fedlora.errors import AdapterError, BaseModelError
from fedlora.language_model import BaseModel
from fedlora.language_model.loading import load
from fedlora.recipes import recipe as recipe_of
from superlink.checkpoints import Checkpoints
from supernode.trainer.model import AdapterModel

RECIPE = recipe_of("medical", "quick", rank=4, alpha=8)
IDS = torch.arange(1, 25).reshape(2, 12)


@pytest.fixture(scope="module")
def base(tiny_model, tmp_path_factory):
    """The tiny model in fp32, so that what merging adds is not lost in bf16's rounding."""
    directory = tmp_path_factory.mktemp("base") / "tiny-fp32"
    shutil.copytree(tiny_model, directory)
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).save_pretrained(directory)
    return directory


def checkpoint(base, folder):
    model, _ = load(BaseModel("tiny", base))
    spec = AdapterModel(BaseModel("tiny", base), model, RECIPE).spec
    vector = np.random.default_rng(0).normal(0, 0.2, spec.size).astype(np.float32)
    checkpoints = Checkpoints(folder)
    return checkpoints.place(checkpoints.prepare(3, 1, vector, spec), 3)


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory):
    return checkpoint(base, tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def call(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, "1" if name.startswith("HF") else "error")

    def call(*arguments):
        return CliRunner().invoke(application, ["adapter", *map(str, arguments)])

    return call


@torch.no_grad()
def logits(model):
    return model.eval()(IDS).logits.float()


def plain(directory):
    return AutoModelForCausalLM.from_pretrained(directory, dtype="auto")


def test_a_merged_model_says_what_base_and_adapter_say(base, adapter, call, tmp_path):
    result = call("merge", adapter, "--base-model", base, "--to", tmp_path / "merged")
    assert result.exit_code == 0, result.exception
    assert result.stdout == f"tiny-fp32 with the adapter {adapter} is in {tmp_path}/merged\n"
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "merged").iterdir()} == {0o644}
    merged = logits(plain(tmp_path / "merged"))
    expected = logits(PeftModel.from_pretrained(plain(base), str(adapter)))
    assert (merged - expected).abs().max() < 1e-3
    assert (merged - logits(plain(base))).abs().max() > 1.0
    tokens = [AutoTokenizer.from_pretrained(folder)("a b").input_ids for folder in (base, tmp_path / "merged")]
    assert tokens[0] == tokens[1]
    assert [file.suffix for file in (tmp_path / "merged").iterdir() if file.suffix in (".bin", ".pt")] == []


def test_a_merged_model_keeps_the_dtype_of_its_base(tiny_model, call, tmp_path):
    made = checkpoint(tiny_model, tmp_path / "checkpoints")
    assert call("merge", made, "--base-model", tiny_model, "--to", tmp_path / "merged").exit_code == 0
    merged = plain(tmp_path / "merged")
    assert {parameter.dtype for parameter in merged.parameters()} == {torch.bfloat16}
    expected = logits(PeftModel.from_pretrained(plain(tiny_model), str(made)))
    distance = (logits(merged) - expected).norm() / expected.norm()
    moved = (logits(plain(tiny_model)) - expected).norm() / expected.norm()
    print(f"{distance:.4f} {moved:.4f}")
    assert distance < 0.05 < moved


def test_norms_are_those_of_what_merging_adds(base, adapter, call, tmp_path):
    call("merge", adapter, "--base-model", base, "--to", tmp_path / "merged")
    before, after = (plain(folder).state_dict() for folder in (base, tmp_path / "merged"))
    for row in measure(open_adapter(adapter)):
        added = after[f"{row.module}.weight"] - before[f"{row.module}.weight"]
        assert row.delta == pytest.approx(float(added.norm()), rel=1e-4)


def test_another_base_model_is_refused_unless_meant(base, tiny_model, adapter, call, tmp_path):
    arguments = ("merge", adapter, "--base-model", tiny_model, "--to", tmp_path / "merged")
    refused = call(*arguments)
    assert isinstance(refused.exception, AdapterError)
    said = str(refused.exception)
    assert all(BaseModel("", folder).sha256 in said for folder in (base, tiny_model))
    assert "--any-base-model" in said
    assert not (tmp_path / "merged").exists()
    assert call(*arguments, "--any-base-model").exit_code == 0


def narrower(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))


@pytest.mark.parametrize(
    ("damage", "error", "reason"),
    [
        (narrower, AdapterError, "the modules of the adapter are not those of the base model"),
        (lambda folder: (folder / "config.json").unlink(), BaseModelError, "is not a base model: no config.json"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), BaseModelError, "cannot be loaded"),
    ],
)
@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_a_base_model_that_does_not_fit_leaves_nothing(base, adapter, call, tmp_path, damage, error, reason):
    shutil.copytree(base, tmp_path / "other")
    damage(tmp_path / "other")
    result = call("merge", adapter, "--base-model", tmp_path / "other", "--to", tmp_path / "m", "--any-base-model")
    assert isinstance(result.exception, error), result.exception
    assert reason in str(result.exception)
    assert [entry.name for entry in tmp_path.iterdir()] == ["other"]


def test_a_full_disk_leaves_nothing(base, adapter, call, tmp_path, monkeypatch):
    def full(_, directory):
        (directory / "half").touch()
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    result = call("merge", adapter, "--base-model", base, "--to", tmp_path / "merged")
    assert isinstance(result.exception, AdapterError)
    assert "merged cannot be written: No space left on device" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_not_merged(base, adapter, call, tmp_path):
    shutil.copytree(adapter, tmp_path / "damaged")
    (tmp_path / "damaged" / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes() + b"\n")
    result = call("merge", tmp_path / "damaged", "--base-model", base, "--to", tmp_path / "m")
    assert "is damaged: adapter_config.json is not what was written" in str(result.exception)


def hashes(directory):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in directory.iterdir()}


def test_an_exported_adapter_is_loaded_by_peft_and_has_the_same_bytes_each_time(base, adapter, call, tmp_path):
    for name in ("one", "two"):
        assert call("export", adapter, "--to", tmp_path / name).exit_code == 0
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert sorted(hashes(tmp_path / "one")) == [
        *("README.md", "adapter_config.json", "adapter_model.safetensors", "spec.json")
    ]
    exported = logits(PeftModel.from_pretrained(plain(base), str(tmp_path / "one")))
    assert torch.equal(exported, logits(PeftModel.from_pretrained(plain(base), str(adapter))))
    merged = call("merge", tmp_path / "one", "--base-model", base, "--to", tmp_path / "merged")
    assert merged.exit_code == 0  # the spec went along, and with it the base model's hash


def test_weights_that_are_damaged_are_named_where_they_are_loaded_for_training_too(base, tmp_path):
    shutil.copytree(base, tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").write_bytes(b"")
    with pytest.raises(BaseModelError, match="base model other cannot be loaded: "):
        load(BaseModel("other", tmp_path / "other"))
