"""Answers as they are kept, and scores made of them."""

import itertools
import math

import pytest

from evaluator.results.answer import Answer, append_answers, read_answers
from evaluator.results.score import mcnemar, pass_at, score, share
from fedlora.errors import EvaluationError

ANSWERS = [
    Answer("a", gold="A", likelihoods={"A": -1.5, "B": -2.0}, tokens={"A": 1, "B": 2}, chosen="A", correct=True),
    Answer("b", gold="B", text="ü \u2028 \x1b", chosen="", group="stem", prompt_tokens=9, cut=3),
]


def marked(*pattern):
    return [Answer(str(place), correct=bool(mark), chosen="A") for place, mark in enumerate(pattern)]


def test_answers_come_back_as_they_were(tmp_path):
    file = tmp_path / "answers.jsonl"
    for one in ANSWERS:
        append_answers([one], file)
    assert list(read_answers(file)) == ANSWERS


def test_a_line_that_was_cut_in_two_is_left_out(tmp_path):
    file = tmp_path / "answers.jsonl"
    append_answers(ANSWERS, file)
    file.write_bytes(file.read_bytes()[:-4])
    assert list(read_answers(file)) == ANSWERS[:1]


@pytest.mark.parametrize(
    ("line", "said"),
    [('{"id": "a"}\n{"id": "a"}\n', "item 'a', sample 0, stands there twice"), ("[]\n", "no answer"),
     ('{"id": 3}\n', "3 is not a string"), ('{"id": "a", "more": 1}\n', "unknown key")],
)  # fmt: skip
def test_what_is_no_answer_is_named(tmp_path, line, said):
    file = tmp_path / "answers.jsonl"
    file.write_text(line)
    with pytest.raises(EvaluationError, match=said):
        list(read_answers(file))


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (747, 2388)])
def test_the_interval_holds_the_shares_that_the_observed_one_is_likely_under(hits, n):
    """Wilson's limits are the p with |p^ - p| = z sqrt(p (1 - p) / n), which he derives them from."""
    found = share(hits, n)
    for limit in (found.low, found.high):
        if 1e-12 < limit < 1 - 1e-12:
            assert abs(hits / n - limit) == pytest.approx(1.959963984540054 * math.sqrt(limit * (1 - limit) / n))
    assert 0 <= found.low <= hits / n <= found.high <= 1


@pytest.mark.parametrize(("n", "right", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (4, 4, 4), (7, 6, 2)])
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(n, right, k):
    draws = list(itertools.combinations(range(n), k))
    assert pass_at(n, right, k) == pytest.approx(sum(min(draw) < right for draw in draws) / len(draws))


@pytest.mark.parametrize(("ours", "theirs"), [((1, 1, 0, 0), (0, 0, 0, 1)), ((1,) * 6, (0,) * 6), ((1, 0), (1, 0))])
def test_mcnemar_is_the_chance_of_as_uneven_a_split_of_coins(ours, theirs):
    differing = [one for one, other in zip(ours, theirs, strict=True) if one != other]
    most = max(sum(differing), len(differing) - sum(differing))
    coins = list(itertools.product((0, 1), repeat=len(differing)))
    uneven = sum(max(sum(coin), len(coin) - sum(coin)) >= most for coin in coins) / len(coins)
    assert mcnemar(marked(*ours), marked(*theirs)) == pytest.approx(uneven)


def test_mcnemar_wants_the_same_items():
    with pytest.raises(EvaluationError, match="different items: 1"):
        mcnemar(marked(1, 0), marked(1))


def test_a_score_counts_each_item_once_and_groups_apart():
    made = score("mmlu", "flowertune", ANSWERS)
    assert (made.accuracy.n, made.accuracy.value, made.unparsable, made.cut) == (2, 0.5, 0.5, 1)
    assert {name: (one.n, one.value) for name, one in made.groups.items()} == {"stem": (1, 0.0)}
    assert made.items_sha256 == score("mmlu", "flowertune", ANSWERS[::-1]).items_sha256
    assert made.items_sha256 != score("mmlu", "flowertune", ANSWERS[:1]).items_sha256


def test_several_samples_of_an_item_are_one_item():
    answers = [Answer("a", sample, correct=sample < 2, chosen="passed") for sample in range(10)]
    answers += [Answer("b", sample, correct=False, chosen="failed") for sample in range(10)]
    made = score("humaneval", "flowertune", answers)
    assert (made.accuracy.n, made.accuracy.value) == (2, pytest.approx(0.1))
    assert made.pass_at == {"1": pytest.approx(0.1), "10": pytest.approx(0.5)}
    with pytest.raises(EvaluationError, match="items have 9 and 10 samples"):
        score("humaneval", "flowertune", answers[:-1])


def test_nothing_is_no_score():
    with pytest.raises(EvaluationError, match="no answer"):
        score("mmlu", "likelihood", [])
