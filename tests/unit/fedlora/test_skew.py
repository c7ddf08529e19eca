"""Uneven divisions: nothing is lost, the seed decides, and `alpha` does what it says."""

import random
from collections import Counter

import pytest

from fedlora.errors import ShardError
from fedlora.shards.division import MOST_LABELS, numbers_of
from fedlora.shards.skew import _dirichlet, partition_by_label, partition_by_size


def labels(count, different=3):
    return [number % different for number in range(count)]


def by_label(given, parts, **options):
    return numbers_of(partition_by_label(given, parts, **options), parts)


def by_size(given, parts, **options):
    return numbers_of(partition_by_size(len(given), parts, **options), parts)


DIVISIONS = [by_label, by_size]


@pytest.mark.parametrize("divide", DIVISIONS)
@pytest.mark.parametrize("alpha", [0.001, 0.1, 1.0, 1e6])
@pytest.mark.parametrize(("count", "parts"), [(3, 3), (10, 3), (200, 7)])
@pytest.mark.parametrize("seed", range(3))
def test_every_record_is_in_exactly_one_part_and_none_is_empty(divide, alpha, count, parts, seed):
    divided = divide(labels(count), parts, alpha=alpha, seed=seed)
    assert len(divided) == parts
    assert all(divided)
    assert all(list(part) == sorted(part) for part in divided)  # in the order of the file
    assert sorted(record for part in divided for record in part) == list(range(count))


@pytest.mark.parametrize("divide", DIVISIONS)
def test_the_seed_decides(divide):
    first = divide(labels(90), 3, alpha=0.5, seed=1)
    assert divide(labels(90), 3, alpha=0.5, seed=1) == first
    assert divide(labels(90), 3, alpha=0.5, seed=2) != first


def test_label_skew_leaves_sizes_alone():
    assert [len(part) for part in by_label(labels(100), 3, alpha=0.1, seed=0)] == [34, 33, 33]


def one_sidedness(alpha, seed):
    """Return the mean share of the most frequent label over the parts."""
    given = labels(600)
    parts = by_label(given, 6, alpha=alpha, seed=seed)
    return sum(Counter(given[record] for record in part).most_common(1)[0][1] / len(part) for part in parts) / 6


def test_a_small_alpha_gives_one_label_to_a_part_and_a_large_one_all():
    low = sum(one_sidedness(0.01, seed) for seed in range(10)) / 10
    middle = sum(one_sidedness(1.0, seed) for seed in range(10)) / 10
    high = sum(one_sidedness(1e6, seed) for seed in range(10)) / 10
    print(low, middle, high)
    assert low > 0.72  # not 1: parts of equal size that want the same label cannot all have it
    assert 0.55 < middle < 0.7
    assert high < 0.42  # a third, and what 100 draws add


def test_shares_have_the_variance_of_their_distribution():
    generator = random.Random(0)
    drawn = [_dirichlet([0.5, 1.5], generator)[0] for _ in range(20_000)]
    mean = sum(drawn) / len(drawn)
    assert mean == pytest.approx(0.25, abs=0.01)
    variance = sum((share - mean) ** 2 for share in drawn) / len(drawn)
    assert variance == pytest.approx(0.25 * 0.75 / 3, rel=0.05)  # p (1 - p) / (sum of concentrations + 1)


def test_mixtures_follow_the_labels_of_all_records(monkeypatch):
    drawn = []

    def keep(concentrations, generator):
        drawn.append([round(value, 9) for value in concentrations])
        return _dirichlet(concentrations, generator)

    monkeypatch.setattr("fedlora.shards.skew._dirichlet", keep)
    partition_by_label([int(number % 10 == 0) for number in range(500)], 5, alpha=2, seed=0)
    assert drawn == [[1.8, 0.2]] * 5


def test_a_small_alpha_gives_nearly_all_records_to_one_and_a_large_one_the_same_to_all():
    sizes = [max(map(len, by_size(labels(100), 5, alpha=0.001, seed=seed))) for seed in range(10)]
    assert min(sizes) >= 90
    assert {len(part) for part in by_size(labels(100), 5, alpha=1e6, seed=0)} <= {19, 20, 21}


def test_parts_of_different_sizes_are_alike_otherwise():
    given = labels(3000)
    largest = max(by_size(given, 3, alpha=1.0, seed=0), key=len)
    shares = [count / len(largest) for count in Counter(given[record] for record in largest).values()]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.05)


@pytest.mark.parametrize(
    ("divide", "given", "options", "reason"),
    [
        (by_label, labels(2), {}, "2 record(s) cannot be divided into 3 parts"),
        (by_size, labels(2), {}, "2 record(s) cannot be divided into 3 parts"),
        (by_size, labels(9), {"alpha": 0.0}, "alpha is 0.0; allowed: 0.001 (one-sided) to 1000000 (even)"),
        (by_label, labels(9), {"alpha": float("nan")}, "alpha is nan; allowed: 0.001"),
        (by_label, labels(9, 1), {}, "1 different answer(s) are no labels to divide by; allowed: 2 to 50"),
        (
            by_label,
            labels(99, MOST_LABELS + 1),
            {},
            "more than 50 different answer(s) are no labels to divide by; allowed: 2 to 50; divide free text by iid, "
            "size-skew or natural-id",
        ),
    ],
)
def test_what_cannot_be_divided_is_named(divide, given, options, reason):
    with pytest.raises(ShardError) as caught:
        divide(given, 3, **{"alpha": 0.5, "seed": 0, **options})
    assert str(caught.value).startswith(reason)
