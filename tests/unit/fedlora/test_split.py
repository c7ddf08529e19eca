"""Dividing records that are in memory: among sites, and into what is trained and what is held out."""

import pytest

from fedlora.errors import ShardError
from fedlora.shards.records import Record
from fedlora.shards.split import hold_out, partition


def different(count: int) -> list[Record]:
    return [Record(f"question {number:03}", "", f"answer {number}") for number in range(count)]


def in_order(part: list[Record]) -> bool:
    return part == sorted(part, key=lambda record: record.instruction)


@pytest.mark.parametrize(
    ("count", "parts", "sizes"),
    [(10, 1, [10]), (10, 2, [5, 5]), (10, 3, [4, 3, 3]), (11, 4, [3, 3, 3, 2]), (5, 5, [1] * 5)],
)
def test_partition_loses_and_doubles_nothing(count, parts, sizes):
    records = different(count)
    shards = partition(records, parts, seed=3)
    assert [len(shard) for shard in shards] == sizes
    assert sorted((record for shard in shards for record in shard), key=lambda record: record.instruction) == records


def test_partition_keeps_the_order_within_a_part():
    assert all(in_order(shard) for shard in partition(different(50), 3, seed=3))


def test_partition_is_not_by_position():
    # Files are often sorted by kind: contiguous or striped parts would not be identically distributed.
    records = different(60)
    first, second = partition(records, 2, seed=3)
    assert first not in (records[:30], records[30:], records[::2], records[1::2])
    assert second not in (records[:30], records[30:], records[::2], records[1::2])


def test_partition_keeps_equal_records():
    twice = different(1) * 4
    assert partition(twice, 2, seed=0) == [twice[:2], twice[2:]]


def test_the_seed_decides_the_partition():
    records = different(40)
    assert partition(records, 2, seed=7) == partition(records, 2, seed=7)
    assert partition(records, 2, seed=7) != partition(records, 2, seed=8)


def test_too_few_records_for_the_sites():
    with pytest.raises(ShardError) as caught:
        partition(different(2), 3, seed=0)
    assert str(caught.value) == "2 record(s) cannot be divided into 3 parts"


@pytest.mark.parametrize(
    ("count", "fraction", "most", "held"),
    [
        (100, 0.1, 1000, 10),
        (100, 0.1, 5, 5),
        (100, 0.016, 1000, 2),
        (100, 0.001, 1000, 1),
        (100, 0.99, 1000, 99),
        (2, 0.5, 10, 1),
    ],
)
def test_sizes_of_the_held_out_part(count, fraction, most, held):
    records = different(count)
    train, kept = hold_out(records, fraction=fraction, most=most, seed=5)
    assert (len(train), len(kept)) == (count - held, held)
    assert sorted(train + kept, key=lambda record: record.instruction) == records


def test_hold_out_keeps_the_order_of_both_parts():
    train, held = hold_out(different(60), fraction=0.5, most=100, seed=5)
    assert in_order(train)
    assert in_order(held)


def test_the_seed_decides_what_is_held_out():
    records = different(60)
    first = hold_out(records, fraction=0.5, most=100, seed=5)
    assert hold_out(records, fraction=0.5, most=100, seed=5) == first
    assert hold_out(records, fraction=0.5, most=100, seed=6) != first


@pytest.mark.parametrize("seed", range(5))
def test_no_question_stands_on_both_sides(seed):
    records = [Record(f"question {n % 20}", f"about {n % 2}", f"answer {n}") for n in range(60)]
    train, held = hold_out(records, fraction=0.2, most=100, seed=seed)
    asked = {(record.instruction, record.input) for record in train}
    assert asked.isdisjoint((record.instruction, record.input) for record in held)
    assert (len(train), len(held)) == (48, 12)


@pytest.mark.parametrize("seed", range(8))
def test_a_frequent_question_is_not_held_out_where_a_rare_one_fits(seed):
    often = [Record("often", "", f"answer {number}") for number in range(9)]
    once = Record("once", "", "answer")
    assert hold_out([*often[:4], once, *often[4:]], fraction=0.5, most=5, seed=seed) == (often, [once])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("fraction", "most"), [(0.1, 100), (0.9, 2)])
def test_the_rarest_question_is_held_out_where_none_is_rare_enough(fraction, most, seed):
    records = [Record(question, "", f"answer {number}") for number in range(5) for question in "abc"]
    records = [record for record in records if record.instruction != "b" or record.output < "answer 3"]
    train, held = hold_out(records, fraction=fraction, most=most, seed=seed)
    assert held == [record for record in records if record.instruction == "b"]
    assert train == [record for record in records if record.instruction != "b"]
    assert (len(train), len(held)) == (10, 3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("fraction", "most"), [(0.25, 100), (0.9, 5)])
def test_rather_fewer_than_more_so_that_questions_stay_whole(fraction, most, seed):
    records = [Record(f"question {number % 10}", "", f"answer {number}") for number in range(20)]
    train, held = hold_out(records, fraction=fraction, most=most, seed=seed)
    assert (len(train), len(held)) == (16, 4)
    assert len({record.instruction for record in held}) == 2


def test_the_same_instruction_about_something_else_is_another_question():
    records = [Record("Sentiment?", f"tweet {number}", "positive") for number in range(10)]
    train, held = hold_out(records, fraction=0.3, most=10, seed=1)
    assert (len(train), len(held)) == (7, 3)


@pytest.mark.parametrize(
    ("records", "most"),
    [
        pytest.param([], 10, id="none"),
        pytest.param(different(1), 10, id="one"),
        pytest.param(different(1) * 5, 10, id="one-question"),
        pytest.param(different(5), 0, id="none-may-be-held-out"),
    ],
)
def test_too_few_records_to_hold_out(records, most):
    with pytest.raises(ShardError) as caught:
        hold_out(records, fraction=0.5, most=most, seed=0)
    assert str(caught.value) == f"{len(records)} record(s) are too few to train on some and hold out others"


def test_everything_cannot_be_held_out():
    with pytest.raises(ShardError) as caught:
        hold_out(different(4), fraction=1.0, most=10, seed=0)
    assert str(caught.value) == "4 record(s) are too few to train on some and hold out others"
