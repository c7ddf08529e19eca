"""What sites do differently for a strategy: FedProx's term, and factors that are frozen."""

import dataclasses

import numpy as np
import pytest
import torch

from fedlora.domains import domain
from fedlora.errors import WireError
from fedlora.language_model import BaseModel
from fedlora.language_model.loading import load
from fedlora.recipes import recipe as recipe_of
from fedlora.shards import read_records
from fedlora.wire import codec_named, decode, encode
from supernode.trainer import trainer_pb2
from supernode.trainer.journal import Journal
from supernode.trainer.model import AdapterModel
from supernode.trainer.service import TrainerService
from supernode.trainer.tokens import Tokeniser
from supernode.trainer.training import train_round

RECIPE = recipe_of(
    "medical",
    "quick",
    rounds=4,
    steps=3,
    batch=4,
    length=32,
    rank=2,
    alpha=4,
    learning_rate=1e-2,
    base_precision="fp32",
    compute_precision="fp32",
)


def received(spec, seed=1):
    """An adapter with values in all its tensors, so that both factors have gradients."""
    values = np.random.default_rng(seed).normal(0.0, 0.05, spec.size).astype(np.float32)
    for name, view in spec.views(values):
        if "magnitude" in name:
            view[:] = np.abs(view) + 1
    return values


@pytest.fixture
def prepared(tiny_model):
    base = BaseModel("tiny", tiny_model)
    model, tokenizer = load(base, precision="fp32", compute="fp32")
    adapter = AdapterModel(base, model, RECIPE)
    records = read_records(domain("medical").sample("train"), domain("medical"))
    return adapter, Tokeniser(tokenizer, RECIPE).examples(records)[0]


def trained(prepared, proximal, optimizer, steps=3):
    """Return what a round of plain gradient descent, or AdamW, changes of the adapter."""
    adapter, examples = prepared
    start = received(adapter.spec)
    adapter.load(start)
    recipe = dataclasses.replace(RECIPE, proximal=proximal, steps=steps)
    made = optimizer(adapter.parameters) if optimizer else None
    train_round(adapter, examples, recipe, 1, seed=0, padding=0, tokens_at_once=4096, optimizer=made)
    return adapter.change(start)


@pytest.mark.parametrize("proximal", [0.5, 3.0])
def test_the_term_is_that_of_the_papers_loss(prepared, monkeypatch, proximal):
    """Against the loss F(w) + mu / 2 |w - w_t|^2, differentiated as a whole (Li et al. 2020, equation 2)."""
    from supernode.trainer import training

    def descent(parameters):
        return torch.optim.SGD(parameters, lr=0.05)

    monkeypatch.setattr(training, "LARGEST_GRADIENT", 1e9)
    ours = trained(prepared, proximal, descent)
    adapter, own_loss = prepared[0], training._summed_loss
    begun = [torch.zeros(0)]

    def with_the_term(model, batch, recipe):
        distance = sum(((p - w) ** 2).sum() for p, w in zip(model.parameters, begun, strict=True))
        weight = int((batch.labels != training.NOT_SCORED).sum())
        return own_loss(model, batch, recipe) + weight * proximal / 2 * distance

    adapter.load(received(adapter.spec))
    begun[:] = [parameter.detach().clone() for parameter in adapter.parameters]
    monkeypatch.setattr(training, "_summed_loss", with_the_term)
    theirs = trained(prepared, 0.0, descent)
    monkeypatch.setattr(training, "_summed_loss", own_loss)
    without = trained(prepared, 0.0, descent)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-7)
    assert np.linalg.norm(ours - without) > 100 * np.linalg.norm(ours - theirs)


def test_more_of_it_holds_the_update_nearer(prepared):
    lengths = [np.linalg.norm(trained(prepared, mu, None, steps=8)) for mu in (0.0, 1.0, 100.0)]
    assert lengths[0] > 1.05 * lengths[1] > 1.05 * lengths[2]


def test_without_it_nothing_is_held(prepared):
    """A round of one step begins where the term is zero: the same bits with it and without."""
    assert trained(prepared, 5.0, None, steps=1).tobytes() == trained(prepared, 0.0, None, steps=1).tobytes()


def changed(site, recipe, number):
    """Return which tensors' values a round changes, by their kinds, and that no other value is anything but zero."""
    vector = received(site.load(recipe).spec)
    delta, _, _ = site.train(recipe, vector, number, lambda: False)
    kinds = {}
    for name, values in site.adapter.spec.views(delta):
        kind = "A" if ".lora_A." in name else "B" if ".lora_B." in name else "magnitude"
        kinds.setdefault(kind, set()).add(bool(np.abs(values).max() > 0))
    return {kind: found.pop() for kind, found in kinds.items() if len(found) == 1}


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora"])
def test_frozen_factors_do_not_move_by_a_bit_and_the_others_do(resident_trainer, kind):
    """Rounds of several recipes on one resident model: what one froze, the next one trains."""
    recipes = {
        factors: dataclasses.replace(RECIPE, factors=factors, adapter=kind, weight_decay=0.1)
        for factors in ("both", "b", "alternating")
    }
    site = resident_trainer(recipes["both"], dataclasses.replace(recipes["b"], preset="default"))
    also = {"magnitude": True} if kind == "dora" else {}
    for factors, number, expected in (
        ("b", 1, {"A": False, "B": True}),
        ("both", 1, {"A": True, "B": True}),
        ("alternating", 1, {"A": False, "B": True}),
        ("alternating", 2, {"A": True, "B": False}),
        ("alternating", 3, {"A": False, "B": True}),
        ("b", 2, {"A": False, "B": True}),
        ("both", 2, {"A": True, "B": True}),
    ):
        assert changed(site, recipes[factors], number) == {**expected, **also}, (factors, number)


def test_the_optimiser_knows_nothing_of_a_frozen_factor(prepared):
    adapter, _ = prepared
    adapter.freeze("A")
    assert {parameter.shape[1] for parameter in adapter.parameters} == {2}  # columns of B: the rank
    adapter.freeze("")
    both = len(adapter.parameters)
    adapter.freeze("B")
    assert (len(adapter.parameters), both) == (both // 2, len(adapter.spec.tensors))


@pytest.fixture
def rounds_of(resident_trainer, tmp_path):
    """Return a function that trains three rounds in turn, A and B alternating, and returns the messages sent back."""
    recipe = dataclasses.replace(RECIPE, factors="alternating", rounds=3)
    site = resident_trainer(recipe)
    service, spec = TrainerService(site, site.settings.policy, Journal(tmp_path / "journal")), site.adapter.spec
    start = received(spec)

    def call(codec):
        about = {"recipe_sha256": recipe.sha256, "spec_sha256": spec.sha256, "broadcast_codec": "fp32"}
        service.Configure(trainer_pb2.ConfigureRequest(run=codec, epoch=1, upload_codec=codec, **about), Caller())
        for number in (1, 2, 3):
            sent = encode(start, spec, kind="global", run=codec, epoch=1, round_number=number)
            adapter = trainer_pb2.Adapter(header=sent.header.to_json(), blocks=sent.blocks)
            asked = trainer_pb2.TrainRequest(run=codec, epoch=1, round=number, adapter=adapter, counted=number - 1)
            yield payload_of(service.Train(asked, Caller()).update), spec, spec.trained("alternating", number)

    return call


def test_only_what_is_trained_is_sent_and_what_is_not_its_part_is_refused(rounds_of):
    for (payload, spec, part), side in zip(rounds_of("fp32"), "BAB", strict=True):
        assert {tensor.name.split(".lora_")[1][0] for tensor in part.tensors} == {side}
        delta = decode(payload, part)
        assert delta.shape == (part.size,)
        assert np.abs(delta).max() > 0
        with pytest.raises(WireError, match="header field spec_sha256 is "):
            decode(payload, spec)


def test_what_a_lossy_codec_leaves_out_of_a_factor_waits_until_it_is_trained_again(rounds_of):
    b, a, b_again = (decode(payload, part) for payload, _, part in rounds_of("fp32"))
    sent_b, sent_a, sent_b_again = (decode(payload, part, "int4") for payload, _, part in rounds_of("int4"))
    rough = codec_named("int4")

    def rounded(delta):
        return rough.decode(rough.encode(delta.astype(np.float32)), delta.size)

    np.testing.assert_array_equal(sent_b, rounded(b))
    np.testing.assert_array_equal(sent_a, rounded(a))
    np.testing.assert_array_equal(sent_b_again, rounded(np.where(b_again == 0, 0, b_again + (b - sent_b))))
    assert not np.array_equal(sent_b_again, rounded(b_again))


def payload_of(update):
    from fedlora.wire import Header, Payload

    return Payload(Header.from_json(update.header), tuple(update.blocks))


class Caller:
    """A gRPC context of somebody who waits."""

    def time_remaining(self):
        return 60.0

    def is_active(self):
        return True

    def abort(self, status, reason):
        raise AssertionError(f"{status}: {reason}")
