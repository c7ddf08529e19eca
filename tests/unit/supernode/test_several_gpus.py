"""A base model spread over several GPUs, as far as that can be seen without one: accelerate's hooks on one device."""

import torch
from accelerate import dispatch_model

from fedlora.domains import domain
from fedlora.language_model import BaseModel
from fedlora.language_model.loading import _places, load
from fedlora.recipes import recipe
from fedlora.shards import read_records
from superlink.initialisation import initial_adapter
from supernode.trainer.model import AdapterModel
from supernode.trainer.tokens import Tokeniser
from supernode.trainer.training import train_round

RECIPE = recipe("medical", "quick", steps=2, batch=4, length=64, rank=2, alpha=4)


def trained(model_folder, *, spread):
    base = BaseModel("tiny", model_folder)
    model, tokenizer = load(base)
    if spread:
        parts = {name: "cpu" for name, _ in model.named_modules() if name.count(".") == 2 or name == "lm_head"}
        parts |= dict.fromkeys(("model.embed_tokens", "model.norm", "model.rotary_emb"), "cpu")
        dispatch_model(model, parts, main_device="cpu", force_hooks=True)
        assert hasattr(model.model.layers[0], "_hf_hook")
    adapter = AdapterModel(base, model, RECIPE)
    start = initial_adapter(adapter.spec, seed=0)
    adapter.load(start)
    records = read_records(domain("medical").sample("train"), domain("medical"))[:16]
    examples, _ = Tokeniser(tokenizer, RECIPE).examples(records)
    train_round(adapter, examples, RECIPE, 1, seed=0, padding=0, tokens_at_once=256)
    return adapter.change(start)


def test_a_spread_model_learns_what_a_whole_one_does(tiny_model):
    whole, spread = trained(tiny_model, spread=False), trained(tiny_model, spread=True)
    assert abs(whole).max() > 0
    assert (whole == spread).all()


def test_where_weights_go(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (100 + number, 1000))
    assert _places("bf16", "cuda", 2) == {"device_map": "balanced", "max_memory": {0: 100, 1: 101}}
    assert _places("nf4", "cuda", 2) == _places("bf16", "cuda", 2)
    assert _places("nf4", "cuda", 1) == {"device_map": {"": "cuda"}}
    assert _places("bf16", "cuda", 1) == {}
