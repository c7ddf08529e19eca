"""Records held against evaluation sets."""

import gzip
import hashlib
import json

import pyarrow
import pyarrow.parquet
import pytest

from fedlora.errors import ShardError
from fedlora.shards.evaluation_sets import items, words
from fedlora.shards.leaks import LeakCheck
from fedlora.shards.records import Record

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
SHORT = "which of them is the oldest"


@pytest.fixture
def benchmark(tmp_path):
    """Write an evaluation set of items with these texts."""

    def write(*texts, name="set.jsonl"):
        file = tmp_path / name
        file.write_text("".join(json.dumps({"id": number, "text": text}) + "\n" for number, text in enumerate(texts)))
        return file

    return write


def test_words():
    assert words("It's 3.5 %, Cafe\u0301_2 — STRASSE/Straße!") == ["it", "s", "3", "5", "café_2", "strasse", "strasse"]


def cut(count):
    return " ".join(LONG.split()[:count])


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (Record(LONG, "", "a"), "exact"),
        (Record("Answer this.", LONG, "a"), "exact"),
        (Record(cut(7), " ".join(LONG.split()[7:]), "a"), "exact"),
        (Record("", LONG.upper().replace(" ", ", "), "a"), "exact"),
        (Record(SHORT, "", "a"), "exact"),
        (Record("Answer.", f"{SHORT.title()}?", "a"), "exact"),
        (Record("So:", f"zero {cut(13)}", "a"), "partial"),
        (Record("So:", f"zero {cut(12)}", "a"), ""),
        (Record("So:", "", f"As they say: {cut(13)}!"), "partial"),
        (Record("So:", "", SHORT), "partial"),
        (Record("So:", "", f"{SHORT} man"), ""),
        (Record(f"{LONG} sixteen", "", "a"), "partial"),
        (Record(LONG, "with an input", "a"), "partial"),  # the question is another, and quotes it
        (Record("So:", cut(6), cut(6)), ""),  # no sequence goes over from one field to another
        (Record("a b", "", "a b"), ""),  # too short, though it stands there
    ],
)
def test_what_overlaps(benchmark, record, found):
    check = LeakCheck([benchmark(LONG, SHORT, "a b")])
    assert check.add(record) is bool(found)
    (overlap,) = check.overlaps()
    assert {"exact": overlap.exact, "partial": overlap.partial} == {
        kind: int(kind == found) for kind in ("exact", "partial")
    }


def test_the_length_of_sequences_is_an_option(benchmark):
    file, record = benchmark(LONG), Record("So:", f"zero {cut(8)} other words", "a")
    assert not LeakCheck([file], 9).add(record)
    check = LeakCheck([file], 8)
    assert check.add(record)
    assert check.overlaps()[0].words == 8


def test_what_stands_in_many_items_is_a_template(benchmark):
    record = Record(LONG, "", "a")
    for times, found in ((10, True), (11, False)):
        file = benchmark(*[f"{LONG} {number}" for number in range(times)], SHORT)
        check = LeakCheck([file])
        assert check.add(record) is found
        assert check.add(Record(SHORT, "", "a"))


def test_each_set_is_counted_for_itself(benchmark):
    one, two = benchmark(LONG, "a b", name="one.jsonl"), benchmark(f"{LONG} more", SHORT, name="two.jsonl")
    check = LeakCheck([one, two])
    assert [check.add(record) for record in (Record(LONG, "", "a"), Record(SHORT, "", "a"), Record("x", "", "y"))] == [
        True,
        True,
        False,
    ]
    first, second = check.overlaps()
    assert (first.file, first.items, first.exact, first.partial) == ("one.jsonl", 1, 1, 0)
    assert (second.file, second.items, second.exact, second.partial) == ("two.jsonl", 2, 1, 1)
    assert first.sha256 == hashlib.sha256(one.read_bytes()).hexdigest()


QUESTION, CHOICE = "What is the capital of New Zealand?", "It is none of these cities."
BOTH = [words(QUESTION), words(CHOICE)]
DOCUMENT = {"q": QUESTION, "more": {"choices": ["Paris", CHOICE]}, "answer": 3, "none": None}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", json.dumps(DOCUMENT) + "\n\n" + json.dumps({"x": 1}), [BOTH, []]),
        ("a.json", json.dumps([DOCUMENT, QUESTION]), [BOTH, BOTH[:1]]),
        ("a.json", json.dumps({"17": DOCUMENT, "18": "no"}), [BOTH, []]),
        ("a.csv", f"q,a\n{QUESTION},yes\n{QUESTION},{CHOICE}\n", [[], BOTH[:1], BOTH]),
        ("a.csv", f'"{QUESTION}",A,A,"{CHOICE}"\n', [BOTH]),  # without a header, and with equal cells
        ("a.txt", f"{QUESTION}\r\n\r\nFour words and at@neutral\n", [BOTH[:1], [words("four words and at neutral")]]),
        ("a.txt", f"{CHOICE}@negative\n", [[words(f"{CHOICE} negative"), BOTH[1]]]),
    ],
)
def test_texts_of_each_kind_of_file(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    assert list(items(tmp_path / name)) == expected
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(content.encode()))
    assert list(items(packed)) == expected


def test_texts_of_parquet_and_of_text_that_is_not_utf_8(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"q": [QUESTION], "c": [["Paris", CHOICE]]}), tmp_path / "a.parquet")
    assert list(items(tmp_path / "a.parquet")) == [BOTH]
    (tmp_path / "a.txt").write_bytes("Die größte Stadt der Welt\n".encode("latin-1"))
    assert list(items(tmp_path / "a.txt")) == [[words("die größte stadt der welt")]]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", '{"1": "yes", "2": "no"}', ": has no text of at least 5 words to compare records with"),
        ("a.jsonl", "{", ", line 1: is not JSON: Expecting property name"),
        ("a.pdf", "", ": .pdf is not one of .jsonl, .json, .csv, .txt, .parquet"),
    ],
)
def test_a_set_that_cannot_be_compared_with_is_refused(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content)
    with pytest.raises(ShardError) as caught:
        LeakCheck([tmp_path / name])
    assert str(caught.value).startswith(f"{tmp_path / name}{reason}")


def test_a_set_that_is_named_twice_or_missing_is_refused(benchmark, tmp_path):
    file = benchmark(LONG)
    with pytest.raises(ShardError, match="is named twice among the evaluation sets"):
        LeakCheck([file, file])
    with pytest.raises(ShardError, match=r"none\.csv: cannot be read"):
        LeakCheck([tmp_path / "none.csv"])


@pytest.mark.real_data
def test_real_evaluation_sets_know_themselves(real_data):
    """Each item of a set that has a text to compare is found when its longest text is a record's question."""
    for name in (
        "general-nlp/open/eval/mmlu_dev.jsonl",
        "finance/open/eval/tfns_sent_valid.csv",
        "finance/research-only/eval/financial_phrasebank_Sentences_50Agree.txt",
        "medical/open/eval/pubmedqa_ori_pqal.json.gz",
        "code/open/eval/HumanEval.jsonl.gz",
    ):
        file = real_data / name
        check = LeakCheck([file])
        asked = [" ".join(max(item, key=len)) for item in items(file) if item]
        missed = [text for text in asked if not check.add(Record(text, "", "x"))]
        (overlap,) = check.overlaps()
        assert overlap.items == len(asked) == overlap.exact + overlap.partial + len(missed)
        assert len(missed) <= 0.002 * len(asked), name  # templates
