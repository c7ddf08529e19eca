import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from fedlora.errors import TrainerError
from fedlora.language_model import prompt
from fedlora.shards import Record
from supernode.trainer.examples import NOT_SCORED, Example, batches, collate, rows_of_round, tokenise


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


def test_a_rendered_record_is_the_pinned_text(tokenizer):
    examples, cut = tokenise([Record("Add.", "1 + 1", "2")], tokenizer, 100)
    assert tokenizer.decode(examples[0].ids) == "Instruction: Add.\nInput: 1 + 1\nAnswer: 2<|end|>"
    assert (examples[0].answer_length, cut) == (3, 0)  # space, digit, end of text


def test_a_record_without_input_has_no_input_line():
    assert prompt(Record("Say hello.", "", "Hello.")) == "Instruction: Say hello.\nAnswer:"


def test_what_is_too_long_loses_the_end_of_its_answer_and_is_counted(tokenizer):
    asked = prompt(Record("Go.", "", "x"))  # 24 characters, so 24 tokens
    (example,), cut = tokenise([Record("Go.", "", "x" * 50)], tokenizer, 60)
    assert (len(example.ids), cut) == (60, 1)
    assert tokenizer.decode(example.ids) == f"{asked} {'x' * (60 - len(asked) - 1)}"


def test_a_long_prompt_loses_its_beginning_and_never_the_whole_answer(tokenizer):
    (example,), cut = tokenise([Record("y" * 200, "", "short")], tokenizer, 40)
    assert (len(example.ids), cut) == (40, 1)
    assert tokenizer.decode(example.ids).endswith("\nAnswer: short<|end|>")


def test_a_tokenizer_without_an_end_is_refused(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model, eos_token=None)
    with pytest.raises(TrainerError, match="has no end-of-text token"):
        tokenise([Record("a", "", "b")], tokenizer, 10)


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
