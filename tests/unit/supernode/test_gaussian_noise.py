"""The noise: normal, independent, on its grid, and nobody's to repeat."""

import math
import os

import numpy as np
import pytest
import torch

from fedlora.errors import TrainerError
from supernode.trainer.gaussian_noise import AT_ONCE, clipped, noised, standard_normal

SIZE = 400_000
MOST = 6  # standard errors; one test in 500 million fails by chance


def test_values_are_normal_and_independent():
    drawn = standard_normal(SIZE)
    error = 1 / math.sqrt(SIZE)
    assert abs(drawn.mean()) < MOST * error
    assert abs(drawn.var() - 1) < MOST * math.sqrt(2) * error
    assert abs((drawn**4).mean() - 3) < MOST * math.sqrt(96) * error
    half = SIZE // 2
    for one, other in ((drawn[:half], drawn[half:]), (drawn[:-1], drawn[1:])):  # the halves are cosine and sine
        assert abs(np.corrcoef(one, other)[0, 1]) < MOST / math.sqrt(one.size)
        assert abs(np.corrcoef(one**2, other**2)[0, 1]) < MOST / math.sqrt(one.size)
    for bound in (0.5, 1.0, 2.0, 3.0):
        share = math.erfc(bound / math.sqrt(2))
        assert abs((np.abs(drawn) > bound).mean() - share) < MOST * math.sqrt(share) * error


@pytest.mark.parametrize("size", [0, 1, 2, 7, AT_ONCE + 3])
def test_every_value_is_drawn(size):
    drawn = standard_normal(size)
    assert drawn.shape == (size,)
    assert np.isfinite(drawn).all()
    assert np.unique(drawn).size == size


def test_no_seed_repeats_it_and_the_system_is_asked_for_all_of_it(monkeypatch):
    drawn, asked, real = [], [], os.urandom
    monkeypatch.setattr(os, "urandom", lambda count: asked.append(count) or real(count))
    for _ in range(2):
        np.random.seed(0)
        torch.manual_seed(0)
        drawn.append(noised(np.zeros(1000), 1.0))
    assert not np.array_equal(*drawn)
    assert asked == [8 * 1000] * 2


@pytest.mark.parametrize("deviation", [1e-4, 0.7, 1.0, 3e3])
def test_what_leaves_lies_on_a_grid_far_coarser_than_floats(deviation):
    values = np.random.default_rng(0).normal(0, deviation, 10_000)
    sent = noised(values, deviation).astype(np.float64)
    step = 2.0 ** math.floor(math.log2(deviation)) / 1024
    np.testing.assert_array_equal(sent / step, np.rint(sent / step))
    assert sent.std() == pytest.approx(deviation * math.sqrt(2), rel=0.06)


def test_an_update_is_shortened_to_its_norm_and_not_turned():
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    exact, before = clipped(values, 0.5)
    assert before == pytest.approx(np.linalg.norm(values.astype(np.float64)))
    assert 0.5 * (1 - 1e-8) < np.linalg.norm(exact) <= 0.5
    np.testing.assert_allclose(exact / 0.5, values / before, rtol=1e-6)
    whole, _ = clipped(values, 2 * before)
    np.testing.assert_array_equal(whole, values)
    assert not clipped(np.zeros(3, dtype=np.float32), 1.0)[0].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_norm_to_be_cut_off_at(value):
    with pytest.raises(TrainerError, match="the update is not finite"):
        clipped(np.array([1.0, value], dtype=np.float32), 1.0)
