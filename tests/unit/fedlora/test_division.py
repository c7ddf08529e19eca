"""Divisions by chance, by id and into few labels: nothing is lost, and each rule keeps what it says."""

from collections import Counter

import pytest

from fedlora.errors import ShardError
from fedlora.shards.division import (
    numbers_of,
    partition_by_id,
    partition_evenly,
    partition_into_few_labels,
)

LABELS = [number % 3 if number % 2 else 0 for number in range(120)]  # 80 of 0, 20 of 1, 20 of 2
IDS = [number * number % 37 for number in range(200)]  # 19 different ones


def test_numbers_of_parts_rise():
    assert [list(part) for part in numbers_of(partition_evenly(7, 3, seed=0), 3)] != [[0, 3, 6], [1, 4], [2, 5]]
    assert [list(part) for part in numbers_of([1, 0, 1, 1], 3)] == [[1], [0, 2, 3], []]


@pytest.mark.parametrize(
    "divide",
    [
        lambda seed: partition_evenly(100, 7, seed=seed),
        lambda seed: partition_by_id(IDS, 3, seed=seed),
        lambda seed: partition_into_few_labels(LABELS, 4, each=2, seed=seed),
    ],
)
def test_the_seed_decides(divide):
    assert divide(1) == divide(1)
    assert divide(1) != divide(2)


@pytest.mark.parametrize("seed", range(5))
def test_every_id_stays_in_one_part_and_parts_are_as_equal_as_that_allows(seed):
    owners = partition_by_id(IDS, 3, seed=seed)
    assert len({(one, owner) for one, owner in zip(IDS, owners, strict=True)}) == len(set(IDS))
    sizes = Counter(owners)
    assert set(sizes) == {0, 1, 2}
    assert max(sizes.values()) - min(sizes.values()) <= min(Counter(IDS).values())


def test_an_id_that_most_records_have_stays_whole():
    ids = [0] * 50 + [1, 2, 3, 4]
    assert sorted(Counter(partition_by_id(ids, 3, seed=0)).values()) == [2, 2, 50]


@pytest.mark.parametrize(("parts", "each"), [(3, 1), (4, 1), (2, 2), (4, 2), (5, 2), (4, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_each_part_has_so_many_labels_and_no_record_is_lost(parts, each, seed):
    owners = partition_into_few_labels(LABELS, parts, each=each, seed=seed)
    held = {part: {LABELS[record] for record in own} for part, own in enumerate(numbers_of(owners, parts))}
    assert [len(labels) for labels in held.values()] == [each] * parts
    assert len(owners) == len(LABELS)
    holders = Counter(label for labels in held.values() for label in labels)
    assert max(holders.values()) - min(holders.values()) <= 1
    for label in range(3):  # evenly among those that hold it
        shares = Counter(owner for other, owner in zip(LABELS, owners, strict=True) if other == label)
        assert max(shares.values()) - min(shares.values()) <= 1


def test_parts_do_not_all_hold_the_same_pairs():
    labels = [number % 10 for number in range(1000)]
    owners = partition_into_few_labels(labels, 20, each=2, seed=0)
    pairs = {frozenset(labels[record] for record in part) for part in numbers_of(owners, 20)}
    assert len(pairs) > 10


@pytest.mark.parametrize(
    ("divide", "reason"),
    [
        (lambda: partition_evenly(2, 3, seed=0), "2 record(s) cannot be divided into 3 parts"),
        (lambda: partition_by_id([1, 1, 2], 3, seed=0), "2 different id(s) cannot be divided into 3 parts"),
        (
            lambda: partition_into_few_labels(LABELS, 2, each=1, seed=0),
            "1 label(s) in each of 2 parts cannot hold all of 3; allowed: 2 to 3",
        ),
        (lambda: partition_into_few_labels(LABELS, 2, each=4, seed=0), "4 label(s) in each of 2 parts cannot hold all"),
        (lambda: partition_into_few_labels([0] * 9, 2, each=1, seed=0), "1 different answer(s) are no labels"),
        (lambda: partition_into_few_labels(list(range(51)), 2, each=26, seed=0), "more than 50 different answer(s)"),
        (
            lambda: partition_into_few_labels([0] * 20 + [1], 6, each=1, seed=0),
            "a label of 1 record(s) cannot be divided among 3 parts; make fewer parts, or give each fewer labels",
        ),
    ],
)
def test_what_cannot_be_divided_is_named(divide, reason):
    with pytest.raises(ShardError) as caught:
        divide()
    assert str(caught.value).startswith(reason)
