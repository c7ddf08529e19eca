"""Training pinned by numbers, on a tiny model with seeded random weights."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fedlora.domains import domain
from fedlora.errors import BaseModelError, TrainerError
from fedlora.language_model import BaseModel
from fedlora.language_model.loading import load
from fedlora.recipes import recipe as recipe_of
from fedlora.shards import read_records
from superlink.initialisation import initial_adapter
from supernode.trainer.examples import Example
from supernode.trainer.model import AdapterModel
from supernode.trainer.tokens import Tokeniser
from supernode.trainer.training import train_round

RECIPE = recipe_of("medical", "quick", rounds=2, steps=12, batch=4, length=128, learning_rate=2e-2, rank=4, alpha=8)
# Losses of the first round at seed 0, as this test first printed them (torch 2.13.0, CPU, bf16).
FIRST, LAST = 6.7921, 5.1800


@pytest.fixture
def prepared(tiny_model):
    base = BaseModel("tiny", tiny_model)
    model, tokenizer = load(base)
    adapter = AdapterModel(base, model, RECIPE)
    records = read_records(domain("medical").sample("train"), domain("medical"))
    examples, _ = Tokeniser(tokenizer, RECIPE).examples(records)
    return adapter, examples


def train(adapter, examples, round_number=1, recipe=RECIPE, **changes):
    return train_round(
        adapter, examples, recipe, round_number, **{"seed": 0, "padding": 0, "tokens_at_once": 1024, **changes}
    )


def test_the_losses_of_a_round_are_the_pinned_ones(prepared):
    adapter, examples = prepared
    adapter.load(initial_adapter(adapter.spec, seed=0))
    figures = train(adapter, examples)
    print(figures)
    assert (figures.examples, figures.tokens) == (48, 48 * RECIPE.length)
    assert figures.first_loss == pytest.approx(FIRST, abs=0.005)
    assert figures.last_loss == pytest.approx(LAST, abs=0.03)


def test_the_same_round_twice_gives_the_same_bits_and_another_round_other_ones(prepared):
    adapter, examples = prepared
    start = initial_adapter(adapter.spec, seed=0)
    results = []
    for round_number in (1, 1, 2):
        adapter.load(start)
        train(adapter, examples, round_number)
        results.append(adapter.vector().tobytes())
    assert results[0] == results[1] != results[2]


def test_the_first_loss_is_the_models_own_on_the_answers_alone(prepared):
    """Against a plain computation: whole sequences without padding, full logits, fp32 cross entropy."""
    adapter, examples = prepared
    adapter.load(initial_adapter(adapter.spec, seed=0))
    from supernode.trainer.examples import rows_of_round

    total, count = 0.0, 0
    for row in rows_of_round(len(examples), 4, round_number=1, seed=0):
        ids = torch.tensor([examples[row].ids])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            logits = adapter.model(input_ids=ids).logits[0].float()
        answered = examples[row].answer_length
        losses = torch.nn.functional.cross_entropy(logits[-answered - 1 : -1], ids[0, -answered:], reduction="sum")
        total, count = total + losses.item(), count + answered
    assert train(adapter, examples).first_loss == pytest.approx(total / count, rel=2e-3)


def test_how_much_goes_through_the_model_at_once_does_not_change_what_is_learned(prepared):
    """Records of different lengths, so that a mean of means would differ from the mean over all answer tokens."""
    adapter, examples = prepared
    examples = [Example(example.ids[i % 5 :], example.answer_length) for i, example in enumerate(examples[:40], 1)]
    examples += [Example(example.ids[-40:], 3) for example in examples[:20]]
    start, one_step = initial_adapter(adapter.spec, seed=0), dataclasses.replace(RECIPE, steps=1, batch=16)
    gradients, losses = [], []
    for tokens in (10**6, 256, 1):
        adapter.load(start)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(torch.optim.AdamW, "step", lambda _: None)
            patched.setattr(torch.optim.AdamW, "zero_grad", lambda *_, **__: None)
            losses.append(train(adapter, examples, recipe=one_step, tokens_at_once=tokens).first_loss)
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in adapter.parameters]))
        for parameter in adapter.parameters:
            parameter.grad = None
    assert losses == pytest.approx([losses[0]] * 3, rel=2e-3)
    for gradient in gradients[1:]:
        assert (gradient - gradients[0]).norm() < 0.02 * gradients[0].norm()


def test_a_vector_goes_in_and_comes_out_bit_for_bit(prepared):
    adapter, _ = prepared
    vector = np.random.default_rng(0).normal(size=adapter.spec.size).astype(np.float32)
    adapter.load(vector)
    assert adapter.vector().tobytes() == vector.tobytes()


def test_only_the_adapter_learns(prepared):
    adapter, examples = prepared
    frozen = {name: value.clone() for name, value in adapter.model.named_parameters() if "lora" not in name}
    train(adapter, examples)
    assert frozen
    for name, value in adapter.model.named_parameters():
        if name in frozen:
            assert torch.equal(value, frozen[name]), name


def test_target_modules_that_match_nothing_are_refused(tiny_model):
    base = BaseModel("tiny", tiny_model)
    model, _ = load(base)
    with pytest.raises(BaseModelError, match="tiny has none of the modules that recipe code/quick targets: no nowhere"):
        AdapterModel(base, model, recipe_of("code", "quick", target_modules=("nowhere",)))


def test_a_loss_that_is_not_finite_ends_the_round(prepared):
    adapter, examples = prepared
    adapter.load(np.full(adapter.spec.size, 1e30, dtype=np.float32))
    with pytest.raises(TrainerError, match=r"the loss is (nan|inf) in step 1 of round 1"):
        train(adapter, examples)


def test_the_next_records_are_taken_or_the_same_as_the_recipe_says(prepared, monkeypatch):
    adapter, examples = prepared
    seen = []
    monkeypatch.setattr("supernode.trainer.training.batches", lambda turn, _tokens: seen.append(turn) or [turn])
    one_step = dataclasses.replace(RECIPE, steps=1)
    for records in ("same", "next"):
        for round_number in (1, 2):
            train(adapter, examples, round_number, dataclasses.replace(one_step, records=records))
    assert seen[0] == seen[1] == seen[2] != seen[3]


def test_an_interrupted_round_ends_at_the_next_step(prepared):
    adapter, examples = prepared
    asked = iter([False, False, True])
    with pytest.raises(TrainerError, match="round 1 was interrupted at step 3"):
        train(adapter, examples, interrupted=lambda: next(asked))


def test_padding_is_counted_as_it_goes_through_the_model(prepared):
    adapter, examples = prepared
    examples = [Example(example.ids[-40 - 4 * (row % 2) :], 3) for row, example in enumerate(examples)]
    two_steps = dataclasses.replace(RECIPE, steps=2, batch=8)
    together = train(adapter, examples, recipe=two_steps, tokens_at_once=10**6)
    alone = train(adapter, examples, recipe=two_steps, tokens_at_once=1)
    assert 16 * 40 < together.tokens == alone.tokens == alone.padded_tokens < 16 * 44
    assert together.padded_tokens == 16 * 44


def test_a_round_on_a_gpu_says_what_it_took_of_it(resident_trainer):
    """The energy counter is a stub; whether it is there decides, and nothing else of the round."""
    recipe = dataclasses.replace(RECIPE, steps=1)
    trainer = resident_trainer(recipe)
    vector = initial_adapter(trainer.adapter.spec, seed=0)

    def figures():
        found = trainer.train(recipe, vector, 1, lambda: False)[1]
        return found.gpu_seconds, found.gpu_joules, found.train_seconds

    assert figures()[:2] == (None, None)
    trainer.settings = dataclasses.replace(trainer.settings, device="cuda")
    seconds, joules, train_seconds = figures()  # a GPU that NVML does not know
    assert (seconds, joules) == (train_seconds, None)
    counter = iter([1000.0, 1250.5])
    trainer.gpus = [SimpleNamespace(joules=lambda: next(counter))]
    seconds, joules, train_seconds = figures()
    assert (seconds, joules) == (train_seconds, 250.5)
