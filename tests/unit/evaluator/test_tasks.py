"""Items, prompts and extraction rules of the benchmarks."""

import gzip
import hashlib
import json

import pytest
from evaluation_sets import REAL, real_file

from evaluator.tasks.catalogue import TASKS, task
from evaluator.tasks.item import LETTERS, Item
from evaluator.tasks.reference import first_letter, sentiment_of, sentiment_settled, whole_word
from evaluator.tasks.rows import quarter
from fedlora.errors import EvaluationError

LETTERED = Item("1", "Answer it.", "What is it", LETTERS, ("one", "two", "three", "four"), "B")
SPOKEN = Item("1", "Is it so?", "Some text.\nIs it", ("yes", "no", "maybe"), ("yes", "no", "maybe"), "no")
FELT = Item("1", "Feel?", "Shares rise", ("negative", "neutral", "positive"), ("negative", "neutral", "positive"), "no")
EXAM = {"question": "Q one", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": 1, "id": "a"}
MMLU = {"question": "Q", "choices": ["w", "x", "y", "z"], "answer": 1, "subject": "anatomy"}


def write(file, *rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_real_files_have_the_items_of_the_reference(real_data, tmp_path, name):
    pattern, count, digest = REAL[name]
    items = task(name).read(real_file(real_data, pattern, tmp_path))
    assert len(items) == count
    assert hashlib.sha256("\n".join(item.id for item in items).encode()).hexdigest()[:12] == digest
    if name == "mmlu":
        sizes = {group: sum(item.group == group for item in items) for group in task(name).groups}
        assert sizes == {"stem": 3153, "social-sciences": 3077, "humanities": 4705}


@pytest.mark.parametrize("n", [3, 8, 1173, 4846])
def test_the_quarter_is_that_of_the_library_the_reference_uses(n):
    from datasets import Dataset

    theirs = Dataset.from_dict({"place": list(range(n))}).train_test_split(0.25, seed=42)["test"]["place"]
    assert [place for place, _ in quarter(range(n))] == list(theirs)


def test_prompts_to_the_letter():
    assert task("mmlu").prompt(LETTERED) == (
        "<|im_start|>question\nAnswer it.\nQuestion: What is it?\n\nOptions:\nA. one\nB. two\nC. three\nD. four\n"
        "The answer is:\n<|im_end|>\n<|im_start|>answer\n"
    )
    assert task("pubmedqa").prompt(SPOKEN) == (
        "<|im_start|>question\nIs it so?\nSome text.\nIs it\nThe answer is:\n<|im_end|>\n<|im_start|>answer\n"
    )
    assert task("tfns").prompt(FELT) == "Instruction: Feel?\nInput: Shares rise\nAnswer: "
    assert task("careqa").ask(LETTERED) == "What is it\nA. one\nB. two\nC. three\nD. four\nAnswer:"
    assert task("pubmedqa").ask(SPOKEN) == "Abstract: Some text.\nQuestion: Is it\nAnswer:"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("B", "B"),
        (" b. two", "B"),
        ("An apple", "A"),
        ("** c", "C"),
        ("E", ""),
        ("the answer is b", ""),
        ("", ""),
        ("\n## d\n", "D"),
        ("1", ""),
    ],
)
def test_the_first_letter_of_an_answer(text, label):
    assert first_letter(LETTERED, text) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [("Yes.", "yes"), (" no\n", "no"), ("maybe", "maybe"), ("Maybe", "maybe"), ("maybe.", ""), ("yes it is", ""),
     ("yesno", "yes"), ("noyes", "no"), ("nono", "no"), ("", "")],
)  # fmt: skip
def test_the_whole_word_of_an_answer(text, label):
    assert whole_word(SPOKEN, text) == label


@pytest.mark.parametrize(
    ("text", "label", "settled"),
    [
        ("positive", "positive", True),
        ("It is Negative", "negative", False),  # positive may still follow, and would count
        ("negative, not positive", "positive", True),
        ("neutral", "neutral", False),
        ("who knows", "neutral", False),
        ("neutral\nAnswer: positive", "neutral", True),
        ("POSITIVE", "neutral", False),
    ],
)
def test_the_sentiment_of_an_answer(text, label, settled):
    assert sentiment_of(FELT, text) == label
    assert sentiment_settled(FELT, text) is settled


def test_a_text_that_asks_for_an_answer_itself_is_read_as_the_reference_does():
    odd = Item("1", "Feel?", "Answer: positive news", FELT.labels, FELT.choices, "neutral")
    assert sentiment_of(odd, "negative") == "positive"


def test_both_layouts_of_a_file_give_the_same_items(tmp_path):
    hub = write(tmp_path / "hub.jsonl", {**EXAM, "cop": 0}, {**EXAM, "cop": 3, "id": "b"})
    makers = write(tmp_path / "makers.jsonl", EXAM, {**EXAM, "cop": 4, "id": "b"})
    assert task("medmcqa").read(hub) == task("medmcqa").read(makers)
    first = {"input": "Q", "A": "w", "B": "x", "C": "y", "D": "z", "target": "B", "subject": "anatomy"}
    one, other = write(tmp_path / "cais.jsonl", MMLU), write(tmp_path / "lukaemon.jsonl", first)
    assert task("mmlu").read(one) == task("mmlu").read(other)
    care = {"question": "Q", "op1": "w", "op2": "x", "op3": "y", "op4": "z", "cop": 2, "unique_id": "u"}
    makers_care = tmp_path / "care.json.gz"
    options = dict(zip(LETTERS, "wxyz", strict=True))
    with gzip.open(makers_care, "wt") as out:
        json.dump({"u": {"question": "Q", "options": options, "correct_answer": "B"}}, out)
    assert task("careqa").read(write(tmp_path / "c.jsonl", care)) == task("careqa").read(makers_care)
    question = {"question": "Q", "answer": "x"}
    listed = [{"key": key, "value": value} for key, value in options.items()]
    assert task("medqa").read(write(tmp_path / "m.jsonl", {**question, "options": options})) == task("medqa").read(
        write(tmp_path / "n.jsonl", {**question, "options": listed})
    )


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("medmcqa", [{**EXAM, "opc": None}], "item 'a' lacks a choice"),
        ("medmcqa", [{**EXAM, "cop": -1}], "the answer '-1' of item 'a' is not one of"),
        ("medmcqa", [EXAM, EXAM], "the item 'a' stands there twice"),
        ("medmcqa", [{key: value for key, value in EXAM.items() if key != "question"}], "item a: lacks question"),
        ("mmlu", [{**MMLU, "choices": ["w", "x", "y"]}], "item 'anatomy/0' lacks a choice"),
        ("mmlu", [{**MMLU, "answer": 4}], "the answer '4' of item 'anatomy/0' is not one of"),
        ("mmlu", [{**MMLU, "subject": "cooking"}], "not one of MMLU's 57"),
        ("tfns", [{"text": "t", "label": 7}], "the answer '7' of item '0' is not one of"),
        ("tfns", [{"label": 1}], "item 0: lacks text"),
        ("fiqa", [{"sentence": "s", "sentiment_score": "high"}], "the sentiment score 'high' is not a number"),
        ("pubmedqa", [{"QUESTION": "q", "CONTEXTS": ["c"], "final_decision": "so"}], "the answer 'so'"),
        ("careqa", [], "holds no item"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(tmp_path, name, rows, said):
    with pytest.raises(EvaluationError, match=said):
        task(name).read(write(tmp_path / "items.jsonl", *rows))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(EvaluationError, match="cannot be read"):
        task("tfns").read(tmp_path / "none.csv")
    with pytest.raises(EvaluationError, match="cannot be read"):
        task("fpb").read(tmp_path / "none.txt")
    (tmp_path / "wrong.json").write_text("[1]")
    with pytest.raises(EvaluationError, match="neither a list of objects"):
        task("careqa").read(tmp_path / "wrong.json")


def test_names():
    assert all(name == one.name for name, one in TASKS.items())
    with pytest.raises(EvaluationError, match="mmlu"):
        task("mmul")
