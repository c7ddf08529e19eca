"""The embedded sample files: every domain has them, and they can be trained on and scored."""

import json
from importlib.resources import files

import pytest

from fedlora.domains import DOMAINS
from fedlora.shards.records import Record, read_records

COUNTS = {"train": 120, "eval": 40}
EACH_FILE = pytest.mark.parametrize(
    ("domain", "split"),
    [(domain, split) for domain in DOMAINS.values() for split in COUNTS],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
EACH_DOMAIN = pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.name)


def questions(records: list[Record]) -> set[tuple[str, str]]:
    return {(record.instruction, record.input) for record in records}


def test_there_are_four_domains_with_two_files_each():
    assert list(DOMAINS) == ["general-nlp", "finance", "medical", "code"]
    found = [
        f"{folder.name}/{file.name}" for folder in (files("fedlora") / "samples").iterdir() for file in folder.iterdir()
    ]
    assert sorted(found) == [
        "code/eval.jsonl",
        "code/train.jsonl",
        "finance/eval.jsonl",
        "finance/train.jsonl",
        "general-nlp/eval.jsonl",
        "general-nlp/train.jsonl",
        "medical/eval.jsonl",
        "medical/train.jsonl",
    ]


@EACH_FILE
def test_number_of_records(domain, split):
    assert len(read_records(domain.sample(split), domain)) == COUNTS[split]


@EACH_FILE
def test_every_record_is_read_as_it_stands(domain, split):
    lines = domain.sample(split).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert all(list(row) == ["instruction", "input", "output"] for row in rows)
    assert [Record(**row) for row in rows] == read_records(domain.sample(split), domain)


@EACH_FILE
def test_no_output_is_empty_or_padded(domain, split):
    records = read_records(domain.sample(split), domain)
    assert [record for record in records if not record.output or record.output != record.output.strip()] == []


@EACH_FILE
def test_no_question_twice(domain, split):
    records = read_records(domain.sample(split), domain)
    assert len(questions(records)) == len(records)


@EACH_DOMAIN
def test_no_question_in_both_files(domain):
    train, held_out = (read_records(domain.sample(split), domain) for split in COUNTS)
    assert questions(train) & questions(held_out) == set()


@pytest.mark.parametrize("split", COUNTS)
def test_finance_answers_are_its_labels_in_equal_shares(split):
    finance = DOMAINS["finance"]
    answers = [record.output for record in read_records(finance.sample(split), finance)]
    shares = {label: answers.count(label) for label in finance.sentiment_labels}
    assert sum(shares.values()) == COUNTS[split]
    assert max(shares.values()) - min(shares.values()) <= 1
