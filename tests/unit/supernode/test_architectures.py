"""Families of base models, each from configuration to merged model through the kit's own functions, on tiny models."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import torch
from peft import PeftModel
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFTS_CHOICE
from transformers import AutoConfig, AutoModelForCausalLM

from fedlora.adapters import open_adapter
from fedlora.domains import domain
from fedlora.errors import BaseModelError
from fedlora.language_model import BaseModel
from fedlora.language_model.adapter_shapes import adapter_tensors
from fedlora.language_model.encoding import padding
from fedlora.language_model.families import ATTENTION, target_modules
from fedlora.language_model.loading import load
from fedlora.language_model.merging import merge
from fedlora.language_model.presets import PRESETS, SHAPED_ALIKE
from fedlora.recipes import recipe as recipe_of
from fedlora.shards import read_records
from fedlora.wire import decode, encode
from superlink.checkpoints import Checkpoints
from superlink.initialisation import initial_adapter
from supernode.trainer.model import AdapterModel
from supernode.trainer.tokens import Tokeniser
from supernode.trainer.training import train_round

MEDICAL = domain("medical")
TINY = {"steps": 2, "batch": 2, "length": 48, "rank": 2, "alpha": 4, "learning_rate": 1e-2}
SIZES = {
    "vocab_size": 257,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 0,
}
SLIDING = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
FAMILIES = {
    **{family: {} for family in ("llama", "mistral", "qwen2", "qwen3", "phi3")},
    **{family: {} for family in ("olmo2", "gpt_neox")},
    "gemma2": {"query_pre_attn_scalar": 8, **SLIDING},
    "gemma3_text": {"query_pre_attn_scalar": 8, **SLIDING},
}


@pytest.fixture(scope="module")
def made(tiny_model, tmp_path_factory):
    """Return a function that makes a base model of a family, in several files, with the tiny tokenizer."""

    def make(family, **changes):
        directory = tmp_path_factory.mktemp(family) / family
        torch.manual_seed(0)
        sizes = {**SIZES, **FAMILIES.get(family, {}), **changes}
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **sizes))
        model.to(torch.bfloat16).save_pretrained(directory, max_shard_size="40KB")
        for file in tiny_model.glob("tokenizer*"):
            shutil.copyfile(file, directory / file.name)
        return BaseModel(family, directory)

    return make


def quick(**changes):
    return recipe_of("medical", "quick", **{**TINY, **changes})


def linear_modules(model):
    """Return the names of all linear layers but the head, as transformers built them."""
    head = model.get_output_embeddings()
    return {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }


@torch.no_grad()
def logits(model):
    return model.eval()(torch.arange(1, 25).reshape(2, 12)).logits.float()


@pytest.mark.filterwarnings("ignore::UserWarning:transformers")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_all_the_way(family, made, tmp_path):
    base, recipe = made(family), quick()
    assert len([file for file in base.files if file.suffix == ".safetensors"]) > 1
    model, tokenizer = load(base)
    assert set(target_modules(base, recipe)) == linear_modules(model)
    default = quick(target_modules=("default",))
    assert set(target_modules(base, default)) <= linear_modules(model)

    adapter = AdapterModel(base, model, recipe)
    spec = adapter.spec
    assert adapter_tensors(base, recipe) == spec.tensors
    examples, counts = Tokeniser(tokenizer, recipe).examples(read_records(MEDICAL.sample("train"), MEDICAL)[:8])
    assert counts.examples == 8
    start = initial_adapter(spec, seed=0)
    adapter.load(start)
    figures = train_round(adapter, examples, recipe, 1, seed=0, padding=padding(tokenizer), tokens_at_once=256)
    assert math.isfinite(figures.loss)
    delta = adapter.vector() - start
    changed = {name for name, values in spec.views(delta) if np.abs(values).max() > 0}
    assert changed == {tensor.name for tensor in spec.tensors}

    sent = encode(delta, spec, kind="update", run="r", epoch=1, round_number=1, examples=4, codec="fp32")
    received = decode(sent, spec)
    assert received.tobytes() == delta.tobytes()
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    kept = checkpoints.place(checkpoints.prepare(1, 1, start + 20 * received, spec), 1)
    merge(open_adapter(kept), base, tmp_path / "merged")
    plain = AutoModelForCausalLM.from_pretrained(base.directory, dtype="auto")
    before = logits(plain)
    adapted = logits(PeftModel.from_pretrained(plain, str(kept)))
    merged = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto"))
    moved = (adapted - before).norm()
    assert moved > 0.05 * before.norm()
    assert (merged - adapted).norm() < 0.5 * moved  # bf16 rounds what is added


def test_experts_are_left_alone_and_their_attention_is_not(made):
    base = made("mixtral", num_local_experts=4)
    model, _ = load(base)
    recipe = quick(target_modules=("default",))
    assert adapter_tensors(base, recipe) == AdapterModel(base, model, recipe).spec.tensors
    with pytest.raises(
        BaseModelError, match="its experts are not single matrix products; name its attention's modules"
    ):
        target_modules(base, quick())


@pytest.mark.parametrize(
    ("family", "changes", "targets", "reason"),
    [
        ("gpt2", {}, ("c_attn",), "it is of the family 'gpt2', whose weights are transposed (Conv1D)"),
        ("llama", {"vision_config": {}}, ("q_proj",), "it is no model of text alone: vision_config in its config.json"),
        (
            "phi3",
            {},
            ("q_proj", "down_proj"),
            "has not all of the modules that recipe medical/quick targets: no q_proj; it has: d",
        ),
        (
            "llama",
            {},
            ("lm_head",),
            "has none of the modules that recipe medical/quick targets: no lm_head; it has: down_proj, gate_proj, ",
        ),
        (
            "cohere2",
            {},
            ("default",),
            "is of the family 'cohere2', for which no default modules are known; known: llama,",
        ),
    ],
)
def test_what_gets_no_adapter_is_refused_by_name(made, family, changes, targets, reason):
    base = made(family)
    file = base.directory / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(BaseModelError) as refused:
        target_modules(base, quick(target_modules=targets))
    assert reason in str(refused.value)


@pytest.mark.parametrize(("text", "reason"), [("{", "cannot be read"), ("[]", "holds a list, not the configuration")])
def test_a_configuration_that_is_none_is_named(made, text, reason):
    base = made("llama")
    (base.directory / "config.json").write_text(text)
    with pytest.raises(BaseModelError, match=reason):
        target_modules(base, quick())


def test_default_modules_are_pefts_where_it_has_any():
    pefts = {family: tuple(PEFTS_CHOICE[family]) for family in ATTENTION if family in PEFTS_CHOICE}
    assert {family: ATTENTION[family] for family in pefts} == pefts
    assert set(ATTENTION) - set(pefts) == {"internlm3", "olmo2", "phi3"}


PUBLISHED = {
    "meta-llama/Llama-3.2-1B-Instruct": 1_235_814_400,
    "meta-llama/Llama-3.2-3B-Instruct": 3_212_749_824,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768,
    "Qwen/Qwen2.5-1.5B-Instruct": 1_543_714_304,
    "Qwen/Qwen2.5-3B-Instruct": 3_085_938_688,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "google/gemma-2-2b-it": 2_614_341_888,
    "google/gemma-2-9b-it": 9_241_705_984,
    "google/gemma-3-270m-it": 268_098_176,
    "google/gemma-3-1b-it": 999_885_952,
    "microsoft/Phi-4-mini-instruct": 3_836_021_760,
    "microsoft/phi-4": 14_659_507_200,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
    "HuggingFaceTB/SmolLM2-360M-Instruct": 361_821_120,
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": 1_711_376_384,
}


def test_the_sizes_of_known_models_give_the_parameters_that_were_published():
    found = {preset.name: preset.parameters for preset in PRESETS}
    assert {name: found[name] for name in PUBLISHED} == PUBLISHED
    assert {preset.family for preset in PRESETS} <= set(SHAPED_ALIKE) <= set(ATTENTION)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_known_models_values_are_those_that_transformers_makes(preset):
    """On no device at all, and with two layers, since layers are alike."""
    small = dataclasses.replace(preset, layers=2)
    sizes = {
        "vocab_size": small.vocabulary,
        "hidden_size": small.hidden,
        "intermediate_size": small.intermediate,
        "num_hidden_layers": small.layers,
        "num_attention_heads": small.heads,
        "num_key_value_heads": small.key_value_heads,
        "head_dim": small.head_size,
        "tie_word_embeddings": small.tied,
        "pad_token_id": 0,
    }
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(preset.family, **sizes))
    assert sum(values.numel() for values in model.parameters()) == small.parameters
    assert linear_modules(model) == set(preset.linear_modules)


def test_an_adapter_of_the_benchmarks_recipe_has_the_values_that_the_board_counts():
    found = {preset.name: preset for preset in PRESETS}
    assert found["mistralai/Mistral-7B-v0.3"].adapter_values(32) == 13_631_488  # 52.0 MiB in fp32
    assert round(found["Qwen/Qwen2.5-7B-Instruct"].adapter_values(32) * 4 / 2**20, 1) == 38.5
