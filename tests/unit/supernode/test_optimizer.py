"""Optimisers, and the moments that a site keeps from round to round."""

import dataclasses

import numpy as np
import pytest
import torch

from fedlora.errors import TrainerError
from fedlora.recipes import recipe as recipe_of
from superlink.initialisation import initial_adapter
from supernode.trainer.optimizer import check_optimizer, moments_of, new_optimizer

RECIPE = recipe_of(
    "medical", "quick", rounds=3, steps=3, batch=4, length=64, learning_rate=1e-2, rank=128, alpha=8,
    optimizer_state="kept",
)  # fmt: skip
NAMES = ("adamw", "adamw-8bit")


def steps(optimizer, parameter, gradients):
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach().clone()


@pytest.mark.parametrize("name", NAMES)
def test_moments_go_on_bit_for_bit(name):
    recipe = dataclasses.replace(RECIPE, optimizer=name)
    gradients = [torch.randn(64, 128, generator=torch.Generator().manual_seed(number)) for number in range(6)]
    whole = torch.nn.Parameter(torch.zeros(64, 128))
    expected = steps(new_optimizer(recipe, [whole], 1), whole, gradients)
    halved = torch.nn.Parameter(torch.zeros(64, 128))
    first = new_optimizer(recipe, [halved], 1)
    steps(first, halved, gradients[:3])
    second = new_optimizer(recipe, [halved], 1, moments_of(first))
    assert torch.equal(steps(second, halved, gradients[3:]), expected)
    fresh = torch.nn.Parameter(torch.zeros(64, 128))
    for start in (0, 3):
        found = steps(new_optimizer(recipe, [fresh], 1), fresh, gradients[start : start + 3])
    assert not torch.equal(found, expected)


@pytest.mark.parametrize("moments", [b"", b"no tensors", "other"], ids=["empty", "damaged", "of others"])
def test_moments_that_do_not_fit_are_left_and_said(moments, caplog):
    if moments == "other":
        parameter = torch.nn.Parameter(torch.zeros(3))
        other = new_optimizer(RECIPE, [parameter], 1)
        steps(other, parameter, [torch.ones(3)])
        moments = moments_of(other)
    made = new_optimizer(RECIPE, [torch.nn.Parameter(torch.zeros(64, 128))], 1, moments)
    assert not made.state
    assert "the optimiser begins anew, for its moments cannot be used" in caplog.text


def test_weight_decay_and_rate_are_the_recipes():
    recipe = dataclasses.replace(RECIPE, weight_decay=0.5, learning_rate=0.1, final_learning_rate=0.1)
    parameter = torch.nn.Parameter(torch.ones(3))
    made = new_optimizer(recipe, [parameter], 1)
    assert steps(made, parameter, [torch.zeros(3)]).tolist() == pytest.approx([1 - 0.1 * 0.5] * 3)


@pytest.mark.parametrize("name", NAMES)
def test_both_optimisers_work_here(name):
    check_optimizer(dataclasses.replace(RECIPE, optimizer=name), "cpu")


def test_an_optimiser_that_the_device_does_not_have_is_named_before_the_start(resident_trainer, monkeypatch):
    """The library's own error for a device without the kernel; there is no such device here."""
    import bitsandbytes.functional

    def missing(*_arguments, **_named):
        raise NotImplementedError("bitsandbytes::optimizer_update_8bit_blockwise")

    monkeypatch.setattr(bitsandbytes.functional, "optimizer_update_8bit_blockwise", missing)
    with pytest.raises(TrainerError, match="recipe medical/quick: adamw-8bit does not work on cpu: bitsandbytes::opt"):
        resident_trainer(dataclasses.replace(RECIPE, optimizer="adamw-8bit"))


@pytest.mark.parametrize("name", NAMES)
def test_a_round_goes_on_with_the_moments_of_the_one_before(resident_trainer, name):
    recipe = dataclasses.replace(RECIPE, optimizer=name)
    site = resident_trainer(recipe)
    start = initial_adapter(site.adapter.spec, 0)
    first, _, moments = site.train(recipe, start, 1, lambda: False)
    kept = site.train(recipe, start + first, 2, lambda: False, moments)[0]
    reset = site.train(recipe, start + first, 2, lambda: False)[0]
    again = site.train(recipe, start + first, 2, lambda: False, moments)[0]
    assert kept.tobytes() == again.tobytes() != reset.tobytes()
    assert np.linalg.norm(kept - reset) > 0.1 * np.linalg.norm(reset)


def test_a_recipe_that_resets_keeps_nothing(resident_trainer):
    recipe = dataclasses.replace(RECIPE, optimizer_state="reset")
    site = resident_trainer(recipe)
    assert site.train(recipe, initial_adapter(site.adapter.spec, 0), 1, lambda: False)[2] is None
