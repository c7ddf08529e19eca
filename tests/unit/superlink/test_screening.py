"""What the coordinator tells about updates as they pass, held against the same computed from all of them."""

import math
import re
import statistics

import numpy as np
import pytest

from fedlora.errors import UpdateNormError
from superlink.screening import BUCKETS, FEWEST, OUTLIERS, Screening, outlying

SIZE = 3 * BUCKETS * 8 + 1234  # three portions and a bit
HONEST = 7


def made_up(seed: int, size: int = SIZE) -> np.ndarray:
    """Return updates of seven sites that learn the same and differ by chance."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=size)
    return (common + generator.normal(size=(HONEST, size))).astype(np.float32)


def screened(updates, largest: float = 0.0) -> list[dict[str, float]]:
    screening = Screening(updates[0].size, largest)
    for number, update in enumerate(updates):
        screening.take(str(number), update)
    findings = screening.findings()
    return [findings[str(number)] for number in range(len(updates))]


@pytest.mark.parametrize("size", [1, 100, BUCKETS, SIZE])
def test_norms_are_exact(size):
    updates = made_up(1, size)
    for update, found in zip(updates, screened(updates), strict=True):
        assert found["update_norm"] == pytest.approx(np.linalg.norm(update.astype(np.float64)), rel=1e-12)


@pytest.mark.parametrize("period", [1, 1024, 4096])  # a matrix whose columns lie as far apart as the buckets
def test_cosines_are_those_of_the_updates_but_for_the_sketch(period):
    updates = made_up(2) * np.where(np.arange(SIZE) % period == 0, 50, 1).astype(np.float32)
    units = updates.astype(np.float64) / np.linalg.norm(updates.astype(np.float64), axis=1, keepdims=True)
    cosines = units @ units.T
    for number, found in enumerate(screened(updates)):
        others = np.delete(cosines[number], number)
        assert found["update_cosine"] == pytest.approx(statistics.median(others), abs=0.1)
        assert found["closest_cosine"] == pytest.approx(max(others), abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_of_honest_updates_none_is_an_outlier(seed):
    assert [outlying(found) for found in screened(made_up(seed))] == [()] * HONEST


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (lambda update: -update, ("cosine",)),
        (lambda update: 10 * update, ("norm",)),
        (lambda update: 0.01 * update, ("norm",)),
        (lambda update: -10 * update, ("norm", "cosine")),
        (lambda update: np.random.default_rng(9).normal(size=update.size).astype(np.float32), ("norm", "cosine")),
    ],
    ids=["flipped", "scaled", "shrunk", "both", "random"],
)
def test_a_strange_update_is_an_outlier_by_name(attack, words):
    updates = made_up(3)
    *honest, strange = screened([*updates[:-1], attack(updates[-1])])
    assert outlying(strange) == words
    assert [outlying(found) for found in honest] == [()] * (HONEST - 1)


def test_three_of_eight_that_agree_do_not_make_the_others_the_outliers():
    updates = made_up(4)
    bad = [-updates[0] + noise for noise in 0.01 * made_up(5)[:3]]
    found = [outlying(one) for one in screened([*updates[:5], *bad])]
    assert found == [()] * 5 + [("cosine",)] * 3


def test_an_update_that_another_site_has_sent_is_a_copy_of_whatever_size():
    updates = made_up(6)
    found = screened([*updates, np.float32(1.01) * updates[2]])
    assert [number for number, one in enumerate(found) if "copy" in outlying(one)] == [2, HONEST]


def test_few_updates_have_figures_and_no_score():
    for found in screened(made_up(7)[: FEWEST - 1]):
        assert set(found) == {"update_norm", "update_cosine", "closest_cosine"}
    (alone,) = screened(made_up(7)[:1])
    assert set(alone) == {"update_norm"}


def test_zeros_and_the_largest_values_that_there_are_do_no_harm():
    updates = [*made_up(8), np.zeros(SIZE, np.float32), np.full(SIZE, np.finfo(np.float32).max, np.float32)]
    *_, zeros, largest = screened(updates)
    assert zeros == {"update_norm": 0.0}
    assert largest["update_norm"] == pytest.approx(float(np.finfo(np.float32).max) * math.sqrt(SIZE))
    assert "norm" in outlying(largest)


def test_an_update_that_is_too_long_is_refused_by_name_and_told():
    updates = made_up(9)
    longest = float(np.linalg.norm(updates[0].astype(np.float64)))
    screening = Screening(SIZE, longest * 1.5)
    screening.take("honest", updates[0])
    with pytest.raises(UpdateNormError, match=re.escape(f"norm is {2 * longest:.6g}; this run takes up to")):
        screening.take("long", 2 * updates[0])
    findings = screening.findings()
    assert findings["long"] == {"update_norm": pytest.approx(2 * longest)}
    assert set(findings["honest"]) == {"update_norm"}  # nothing that was refused is held against others


def test_nobody_can_foresee_the_sketch():
    """An update that is nothing in one round's sketch is something in the next one's."""
    first, second = Screening(SIZE), Screening(SIZE)
    update = made_up(10)[0]
    assert not np.allclose(first._sketch(update)[0], second._sketch(update)[0])


def test_words_are_those_that_are_exported():
    everything = {"norm_score": 4.0, "cosine_score": -4.0, "closest_cosine": 1.0}
    assert outlying(everything) == OUTLIERS
    assert outlying({}) == ()
