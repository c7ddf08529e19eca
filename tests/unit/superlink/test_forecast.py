import numpy as np
import pytest

from fedlora.codecs import CODECS
from fedlora.errors import BaseModelError, BudgetError
from fedlora.language_model import BaseModel
from fedlora.language_model.adapter_shapes import adapter_tensors
from fedlora.language_model.loading import load
from fedlora.recipes import recipe as recipe_of
from fedlora.wire import TensorSpec, encode
from superlink.forecast import forecast
from superlink.initialisation import initial_adapter
from superlink.run_config import RunConfig
from supernode.trainer.model import AdapterModel
from tests.unit.superlink.test_run_config import VALUES

PLAIN = {"upload-codec": "fp32", "broadcast-codec": "fp32"}
RECIPE = recipe_of("code", "quick", rank=4, alpha=8)


def test_the_shapes_are_those_that_the_trainer_finds(tiny_model):
    base = BaseModel("tiny", tiny_model)
    model, _ = load(base)
    assert adapter_tensors(base, RECIPE) == AdapterModel(base, model, RECIPE).spec.tensors


@pytest.mark.parametrize("codec", CODECS)
def test_messages_have_the_bytes_that_are_forecast_or_fewer(tiny_model, codec):
    base = BaseModel("tiny", tiny_model)
    model, _ = load(base)
    spec = AdapterModel(base, model, RECIPE).spec
    about = {"kind": "update", "run": "r", "epoch": 1, "round_number": 2, "examples": 10**9, "codec": codec}
    update = encode(initial_adapter(spec, 0), spec, **about)
    noise = encode(np.random.default_rng(0).integers(-30, 30, spec.size, np.int8).astype(np.float32), spec, **about)
    for way, other in (("upload", "broadcast"), ("broadcast", "upload")):
        values = {**VALUES, f"{way}-codec": codec, f"{other}-codec": "fp32"}
        expected = forecast(RunConfig.from_flower(values), spec.tensors)
        size = expected.update_bytes if way == "upload" else expected.broadcast_bytes
        assert expected.bounded is codec.endswith("z")
        assert expected.memory_bytes == spec.size * (24 + 2 * 4 + 16 * (expected.bounded and way == "upload"))
        assert max(update.size, noise.size) <= size if expected.bounded else update.size == noise.size == size
        assert expected.round_bytes == 2 * (expected.update_bytes + expected.broadcast_bytes)


def test_rounds_and_sites_are_multiplied():
    config = RunConfig.from_flower(
        {**VALUES, "sites": "a,b,c,d", "fraction": 0.5, "over-sampling": 1, "rounds": 10, **PLAIN}
    )
    expected = forecast(config, (TensorSpec("x.lora_A.weight", (4, 250)), TensorSpec("x.lora_B.weight", (250, 4))))
    assert (expected.values, expected.tensors, expected.sites, expected.rounds) == (2000, 2, 3, 10)
    assert 8000 < expected.update_bytes == expected.broadcast_bytes < 9000
    assert expected.round_bytes == 6 * expected.update_bytes
    assert expected.run_bytes == 60 * expected.update_bytes
    assert expected.memory_bytes == 2000 * (24 + 3 * 4)


@pytest.mark.parametrize(("factors", "updates"), [("both", 10 * 7000), ("b", 10 * 6000), ("alternating", 35_000)])
def test_frozen_factors_do_not_travel_back(factors, updates):
    """Four bytes a value, of which A has 250 and B 1,500; what is beyond that are headers."""
    config = RunConfig.from_flower({**VALUES, "sites": "a", "rounds": 10, "factors": factors, **PLAIN})
    tensors = TensorSpec("x.lora_A.weight", (1, 250)), TensorSpec("x.lora_B.weight", (1500, 1))
    expected = forecast(config, tensors)
    assert 0 < expected.run_bytes - 10 * 7000 - updates < 20 * 700
    assert 0 < expected.update_bytes - (7000 if factors == "both" else 6000) < 700


def test_an_odd_number_of_rounds_has_one_more_of_b():
    tensors = TensorSpec("x.lora_A.weight", (1, 250)), TensorSpec("x.lora_B.weight", (1500, 1))

    def run_bytes(rounds):
        values = {**VALUES, "sites": "a", "rounds": rounds, "factors": "alternating", **PLAIN}
        return forecast(RunConfig.from_flower(values), tensors).run_bytes

    assert 13_000 < run_bytes(3) - run_bytes(2) < 13_000 + 1400  # a broadcast, and B
    assert 8000 < run_bytes(4) - run_bytes(3) < 8000 + 1400


def test_a_budget_that_does_not_do_is_refused_before_anything_is_sent():
    tensors = (TensorSpec("x.lora_A.weight", (4, 250)),)
    config = RunConfig.from_flower({**VALUES, "rounds": 10, "budget-bytes": 100_000, **PLAIN})
    with pytest.raises(BudgetError, match="10 rounds x"):
        forecast(config, tensors)
    forecast(RunConfig.from_flower({**config.to_flower(), "ignore-forecast": True}), tensors)


def test_a_base_model_without_the_modules_is_named(tiny_model):
    with pytest.raises(BaseModelError, match="base model tiny has none of the modules that recipe code/quick"):
        adapter_tensors(BaseModel("tiny", tiny_model), recipe_of("code", "quick", target_modules=("nowhere",)))


def test_a_damaged_file_is_named(tmp_path):
    for name in ("tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"no header")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(BaseModelError, match=r"model.safetensors cannot be read"):
        adapter_tensors(BaseModel("broken", tmp_path), RECIPE)
