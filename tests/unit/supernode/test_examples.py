import torch
from hypothesis import given
from hypothesis import strategies as st

from supernode.trainer.examples import NOT_SCORED, Example, batches, collate, rows_of_round


def test_a_batch_is_padded_on_the_left_and_scores_answers_alone():
    batch = collate([Example((1, 2, 3, 4), 2), Example((5, 6), 1)], padding=0)
    assert batch.ids.tolist() == [[1, 2, 3, 4], [0, 0, 5, 6]]
    assert batch.mask.tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
    assert batch.positions.tolist() == [[0, 1, 2, 3], [0, 0, 0, 1]]
    assert batch.labels.tolist() == [[3, 4], [NOT_SCORED, 6]]
    assert batch.labels.dtype is torch.int64


def test_every_record_is_seen_once_before_any_is_seen_twice():
    seen = [row for n in (1, 2, 3, 4, 5) for row in rows_of_round(10, 6, round_number=n, seed=1)]
    for start in (0, 10, 20):
        assert sorted(seen[start : start + 10]) == list(range(10))
    assert seen[:10] != seen[10:20]


def test_the_seed_decides_the_order_and_a_round_can_be_asked_for_alone():
    alone = rows_of_round(10, 6, round_number=4, seed=1)
    assert alone == [row for n in (1, 2, 3, 4) for row in rows_of_round(10, 6, round_number=n, seed=1)][18:]
    assert alone != rows_of_round(10, 6, round_number=4, seed=2)


@given(lengths=st.lists(st.integers(1, 60), max_size=30), tokens=st.integers(1, 200))
def test_batches_hold_every_example_once_and_fit(lengths, tokens):
    examples = [Example((7,) * length, 1) for length in lengths]
    made = list(batches(examples, tokens))
    assert sorted(len(example.ids) for batch in made for example in batch) == sorted(lengths)
    for batch in made:
        assert batch
        padded = len(batch) * max(len(example.ids) for example in batch)
        assert padded <= tokens or len(batch) == 1
