"""Records of domains with labels."""

import pytest
from record_files import FINANCE, SCHEMA, TWO, TWO_JSONL, refusal, row

from fedlora.shards.records import Record, read_records

LABELS = "allowed: 0 (negative), 1 (positive), 2 (neutral)"


@pytest.mark.parametrize(
    ("label", "answer"),
    [
        (0, "negative"),
        (1, "positive"),
        (2, "neutral"),
        ("0", "negative"),
        (" 2 ", "neutral"),
        ("Positive", "positive"),
        (" NEGATIVE\n", "negative"),
    ],
)
def test_labels(tmp_path, label, answer):
    file = tmp_path / "a.jsonl"
    file.write_bytes(row(text="$ABC up", label=label))
    asked = "What is the sentiment of this tweet? Please choose an answer from {negative/neutral/positive}."
    assert read_records(file, FINANCE) == [Record(asked, "$ABC up", answer)]


def test_labels_in_csv(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"text,label\nup,1\ndown,0\n")
    assert [(record.input, record.output) for record in read_records(file, FINANCE)] == [
        ("up", "positive"),
        ("down", "negative"),
    ]


def test_a_domain_with_labels_reads_instructions_too(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(TWO_JSONL)
    assert read_records(file, FINANCE) == TWO


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "a", "label": 3}, f", line 2: field 'label' is 3; {LABELS}"),
        ({"text": "a", "label": -1}, f", line 2: field 'label' is -1; {LABELS}"),
        ({"text": "a", "label": 1.0}, f", line 2: field 'label' is 1.0; {LABELS}"),
        ({"text": "a", "label": True}, f", line 2: field 'label' is True; {LABELS}"),
        ({"text": "a", "label": None}, f", line 2: field 'label' is None; {LABELS}"),
        ({"text": "a", "label": ""}, f", line 2: field 'label' is ''; {LABELS}"),
        ({"text": "a", "label": "bullish"}, f", line 2: field 'label' is 'bullish'; {LABELS}"),
        ({"text": "", "label": 0}, ", line 2: field 'text' is empty"),
        ({"text": 5, "label": 0}, ", line 2: field 'text' is a int, not text"),
        (
            {"text": "\ud83d", "label": 0},
            ", line 2: field 'text' holds half of a surrogate pair, which is no character",
        ),
        (
            {"text": "a"},
            f", line 2: field 'instruction' is missing; {SCHEMA}, or text and label; found: text",
        ),
    ],
)
def test_bad_labels_and_texts(tmp_path, fields, message):
    assert refusal(tmp_path / "a.jsonl", row(text="fine", label=0) + row(**fields), FINANCE) == message
