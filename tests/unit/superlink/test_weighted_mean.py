from itertools import permutations

import numpy as np
import pytest

from superlink.strategies import WeightedMean


def test_the_mean_of_three_updates_by_hand():
    mean = WeightedMean(2, positions=3)
    mean.add(0, np.array([1.0, 2.0], dtype=np.float32), 10)
    mean.add(1, np.array([3.0, -2.0], dtype=np.float32), 30)
    mean.add(2, np.array([-1.0, 0.5], dtype=np.float32), 60)
    # (10 * 1 + 30 * 3 - 60 * 1) / 100 and (10 * 2 - 30 * 2 + 60 * 0.5) / 100
    np.testing.assert_array_equal(mean.mean(), np.array([0.4, -0.1], dtype=np.float32))


def test_the_order_of_arrival_does_not_change_a_bit():
    generator = np.random.default_rng(1)
    updates = [generator.normal(scale=10.0**-k, size=4096).astype(np.float32) for k in range(4)]
    results = set()
    for order in permutations(range(4)):
        mean = WeightedMean(4096, positions=4)
        for position in order:
            mean.add(position, updates[position], 7 + position)
        results.add(mean.mean().tobytes())
    assert len(results) == 1


def test_missing_updates_weigh_nothing():
    mean = WeightedMean(1, positions=3)
    mean.miss(1)
    mean.add(2, np.array([4.0], dtype=np.float32), 1)
    mean.add(0, np.array([2.0], dtype=np.float32), 3)
    assert mean.mean() == np.float32(2.5)


def test_sums_are_kept_in_fp64():
    mean = WeightedMean(1, positions=1001)
    mean.add(0, np.array([2.0**24], dtype=np.float32), 1)
    for position in range(1, 1001):
        mean.add(position, np.array([1.0], dtype=np.float32), 1)  # each vanishes against 2**24 in fp32
    assert mean.mean() == np.float32((2.0**24 + 1000) / 1001)


def test_what_is_not_settled_or_settled_twice_is_an_error():
    mean = WeightedMean(1, positions=2)
    mean.add(0, np.array([1.0], dtype=np.float32), 1)
    with pytest.raises(ValueError, match="position 1 of 2 is neither added nor missed"):
        mean.mean()
    with pytest.raises(ValueError, match="position 0 is settled already"):
        mean.miss(0)
    with pytest.raises(ValueError, match="beyond 2"):
        mean.miss(2)
    empty = WeightedMean(1, positions=1)
    empty.miss(0)
    with pytest.raises(ValueError, match="no update was added"):
        empty.mean()
