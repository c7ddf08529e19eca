"""The kinds of adapters, ranks in part, and what the base model is held and computed in, on a tiny model."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from fedlora.adapters import open_adapter
from fedlora.errors import PolicyError, SpecMismatchError, TrainerError
from fedlora.language_model import BaseModel
from fedlora.language_model.adapter_shapes import adapter_tensors
from fedlora.language_model.loading import load
from fedlora.language_model.merging import merge
from fedlora.recipes import recipe as recipe_of
from superlink.adapters import write_adapter
from superlink.initialisation import initial_adapter
from supernode.trainer.model import AdapterModel

KINDS = ("lora", "rslora", "dora")
IDS = torch.arange(1, 25).reshape(2, 12)
RECIPE = recipe_of(
    "medical", "quick", rounds=3, steps=2, batch=4, length=64, learning_rate=1e-2, rank=8, alpha=8, dropout=0.0
)


def of_kind(kind, **changes):
    return dataclasses.replace(RECIPE, adapter=kind, **changes)


@pytest.fixture
def adapted(tiny_model):
    """Return a function that gives the tiny model in fp32 an adapter of a recipe."""

    def adapt(recipe, rank=0):
        base = BaseModel("tiny", tiny_model)
        model, _ = load(base, precision="fp32", compute="fp32")
        return AdapterModel(base, model, recipe, rank)

    return adapt


def something(spec, seed=1):
    """An adapter with values in all its tensors; magnitudes are above zero, as they are."""
    vector = np.abs(np.random.default_rng(seed).normal(1, 0.1, spec.size)).astype(np.float32)
    for name, values in spec.views(vector):
        if "lora_" in name and "magnitude" not in name:
            values -= 1
    return vector


@torch.no_grad()
def logits(model):
    return model.eval()(IDS).logits.float()


def plain(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_the_shapes_are_known_without_the_model(adapted, tiny_model, kind):
    adapter = adapted(of_kind(kind))
    assert adapter_tensors(BaseModel("tiny", tiny_model), of_kind(kind)) == adapter.spec.tensors
    assert adapter.spec.adapter == kind
    assert sum("magnitude" in tensor.name for tensor in adapter.spec.tensors) == (14 if kind == "dora" else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_begins_as_the_base_model(adapted, tiny_model, kind):
    adapter = adapted(of_kind(kind))
    adapter.load(np.full(adapter.spec.size, 0.5, dtype=np.float32))  # what was there before is gone
    adapter.load(initial_adapter(adapter.spec, 0, adapter.magnitudes))
    assert (logits(adapter.model) - logits(plain(tiny_model))).abs().max() < 1e-4


def test_dora_cannot_begin_without_a_sites_magnitudes(adapted):
    with pytest.raises(SpecMismatchError, match="lora_magnitude_vector begins as the base model's weights say"):
        initial_adapter(adapted(of_kind("dora")).spec, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_trained_exported_and_merged_say_the_same(adapted, tiny_model, tmp_path, kind):
    adapter = adapted(of_kind(kind))
    vector = something(adapter.spec)
    adapter.load(vector)
    trained = logits(adapter.model)
    write_adapter(vector, adapter.spec, tmp_path)
    by_peft = PeftModel.from_pretrained(plain(tiny_model), str(tmp_path))
    assert (logits(by_peft) - trained).abs().max() < 1e-3
    exported = open_adapter(tmp_path)
    assert exported.kind == kind
    wide = tmp_path / "wide"  # a base in fp32, so that rounding hides nothing
    plain(tiny_model).save_pretrained(wide)
    (wide / "tokenizer.json").write_bytes((tiny_model / "tokenizer.json").read_bytes())
    merge(exported, BaseModel("tiny", wide), tmp_path / "merged")
    assert (logits(plain(tmp_path / "merged")) - trained).abs().max() < 1e-3
    assert (logits(plain(tiny_model)) - trained).abs().max() > 0.5


@pytest.mark.parametrize(("kind", "scale"), [("lora", 8 / 8), ("rslora", 8 / math.sqrt(8))])
def test_a_site_of_lower_rank_trains_the_first_part_at_the_same_scale(adapted, tiny_model, kind, scale):
    adapter = adapted(of_kind(kind), rank=3)
    assert adapter.spec == adapted(of_kind(kind)).spec  # outside it is as the recipe says
    assert sum(parameter.numel() for parameter in adapter.parameters) == adapter.spec.size * 3 // 8
    vector = something(adapter.spec)
    adapter.load(vector)
    by_hand = plain(tiny_model)
    factors = dict(adapter.spec.views(vector))
    for name, weight in by_hand.named_parameters():
        if (a := factors.get(f"base_model.model.{name.removesuffix('.weight')}.lora_A.weight")) is not None:
            b = factors[f"base_model.model.{name.removesuffix('.weight')}.lora_B.weight"]
            weight.data += scale * torch.from_numpy(b[:, :3] @ a[:3])
    assert (logits(adapter.model) - logits(by_hand)).abs().max() < 1e-3


def test_what_a_site_of_lower_rank_does_not_train_comes_back_as_no_change(resident_trainer):
    site = resident_trainer(RECIPE, most_rank=3)
    spec = site.adapter.spec
    delta, figures, _ = site.train(RECIPE, something(spec), 1, lambda: False)
    assert figures.rank == 3
    for name, values in spec.views(delta):
        inside, outside = (values[:3], values[3:]) if ".lora_A." in name else (values[:, :3], values[:, 3:])
        assert np.abs(inside).min(initial=1) >= 0 < np.abs(inside).max(), name
        assert not outside.any(), name


def test_a_rank_that_the_policy_does_not_reach_is_trained_whole(resident_trainer):
    site = resident_trainer(RECIPE, most_rank=64)
    assert site.train(RECIPE, something(site.adapter.spec), 1, lambda: False)[1].rank == 8


def test_dora_is_not_trained_in_part_and_the_site_is_told_so_at_its_start(resident_trainer):
    for recipes in ((of_kind("dora"),), (RECIPE, of_kind("dora"))):
        with pytest.raises(PolicyError, match="trains a DoRA adapter of rank 8, and this site at most rank 3"):
            resident_trainer(*recipes, most_rank=3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["fp4", "nf4", "int8", "bf16", "fp32"])
@pytest.mark.parametrize("compute", ["bf16", "fp32"])
@pytest.mark.filterwarnings("error:.*MatMul8bitLt")
def test_every_kind_learns_in_every_precision(resident_trainer, kind, precision, compute):
    if (kind, precision) == ("dora", "int8"):
        return  # see below
    recipe = of_kind(kind, base_precision=precision, compute_precision=compute, steps=6)
    site = resident_trainer(recipe)
    start = initial_adapter(site.adapter.spec, 0, site.adapter.magnitudes)
    delta, figures, _ = site.train(recipe, start, 1, lambda: False)
    print(precision, compute, figures.first_loss, figures.last_loss)
    assert np.isfinite(delta).all()
    assert figures.first_loss == pytest.approx(6.8, abs=0.5)
    assert figures.last_loss < figures.first_loss - 0.1


def test_what_does_not_work_on_a_cpu_is_refused_before_the_start(resident_trainer):
    with pytest.raises(TrainerError, match="a DoRA adapter on weights of int8 cannot be trained on a CPU"):
        resident_trainer(RECIPE, of_kind("dora", base_precision="int8"))


HELD = {
    ("fp4", "bf16"): (torch.uint8, torch.bfloat16),
    ("nf4", "fp32"): (torch.uint8, torch.bfloat16),
    ("int8", "bf16"): (torch.int8, torch.bfloat16),
    ("bf16", "bf16"): (torch.bfloat16, torch.bfloat16),
    ("bf16", "fp32"): (torch.float32, torch.float32),
    ("fp32", "bf16"): (torch.float32, torch.float32),
}


@pytest.mark.parametrize("precisions", HELD, ids="/".join)
def test_weights_are_held_as_the_recipe_says_and_the_adapter_in_fp32(tiny_model, precisions):
    base, (product, head) = BaseModel("tiny", tiny_model), HELD[precisions]
    model, _ = load(base, "cpu", *precisions)
    layer = model.model.layers[0].self_attn.q_proj
    assert (layer.weight.dtype, model.lm_head.weight.dtype) == (product, head)
    assert model.model.embed_tokens.weight.dtype == head
    if product is torch.uint8:
        state = layer.weight.quant_state
        assert (state.quant_type, state.nested) == (precisions[0], False)
        assert layer.compute_dtype == (torch.float32 if precisions[1] == "fp32" else torch.bfloat16)
    adapter = AdapterModel(base, model, RECIPE)
    assert {parameter.dtype for parameter in adapter.parameters} == {torch.float32}


def test_the_base_model_stays_for_recipes_of_one_precision_and_is_loaded_anew_for_others(resident_trainer, caplog):
    caplog.set_level("INFO", "fedlora.trainer")
    other, quantised = of_kind("rslora", rank=2), of_kind("lora", base_precision="nf4")
    site = resident_trainer(RECIPE, other, quantised)
    weights = site.adapter.model.base_model.model
    assert site.load(other).model.base_model.model is weights
    assert site.load(quantised).model.base_model.model is not weights
    site.load(RECIPE)
    loads = [record.message for record in caplog.records if "loading" in record.message]
    assert loads == [f"loading tiny in {held}, computing in bf16" for held in ("bf16", "nf4", "bf16")]
    delta, _, _ = site.train(RECIPE, initial_adapter(site.adapter.spec, 0), 1, lambda: False)
    assert delta.any()
