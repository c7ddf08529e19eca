import pytest

from fedlora.errors import BaseModelError, BudgetError
from fedlora.language_model import BaseModel
from fedlora.language_model.adapter_shapes import adapter_tensors
from fedlora.language_model.loading import load
from fedlora.recipes import Recipe
from fedlora.wire import TensorSpec, encode
from superlink.forecast import forecast
from superlink.initialisation import initial_adapter
from superlink.run_config import RunConfig
from supernode.trainer.model import AdapterModel
from tests.unit.superlink.test_run_config import VALUES

RECIPE = Recipe("code", rank=4, alpha=8)


def test_the_shapes_are_those_that_the_trainer_finds(tiny_model):
    base = BaseModel("tiny", tiny_model)
    model, _ = load(base)
    assert adapter_tensors(base, RECIPE) == AdapterModel(base, model, RECIPE).spec.tensors


def test_a_message_has_the_bytes_that_an_update_has(tiny_model):
    base = BaseModel("tiny", tiny_model)
    model, _ = load(base)
    spec = AdapterModel(base, model, RECIPE).spec
    update = encode(initial_adapter(spec, 0), spec, kind="update", run="r", epoch=1, round_number=2, examples=10**9)
    assert forecast(RunConfig.from_flower(VALUES), spec.tensors).message_bytes == update.size


def test_rounds_and_sites_are_multiplied():
    config = RunConfig.from_flower({**VALUES, "sites": "a,b,c,d", "fraction": 0.5, "over-sampling": 1, "rounds": 10})
    expected = forecast(config, (TensorSpec("x.lora_A.weight", (4, 250)), TensorSpec("x.lora_B.weight", (250, 4))))
    assert (expected.values, expected.tensors, expected.sites, expected.rounds) == (2000, 2, 3, 10)
    assert 8000 < expected.message_bytes < 9000
    assert expected.round_bytes == 6 * expected.message_bytes
    assert expected.run_bytes == 60 * expected.message_bytes
    assert expected.memory_bytes == 2000 * (24 + 3 * 4)


def test_a_budget_that_does_not_do_is_refused_before_anything_is_sent():
    tensors = (TensorSpec("x.lora_A.weight", (4, 250)),)
    config = RunConfig.from_flower({**VALUES, "rounds": 10, "budget-bytes": 100_000})
    with pytest.raises(BudgetError, match="10 rounds x"):
        forecast(config, tensors)
    forecast(RunConfig.from_flower({**config.to_flower(), "ignore-forecast": True}), tensors)


def test_a_base_model_without_the_modules_is_named(tiny_model):
    with pytest.raises(BaseModelError, match="base model tiny has none of the modules that recipe code/default"):
        adapter_tensors(BaseModel("tiny", tiny_model), Recipe("code", target_modules=("nowhere",)))


def test_a_damaged_file_is_named(tmp_path):
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"no header")
    with pytest.raises(BaseModelError, match=r"model.safetensors cannot be read"):
        adapter_tensors(BaseModel("broken", tmp_path), RECIPE)
