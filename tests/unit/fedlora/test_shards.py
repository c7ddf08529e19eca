"""Shard folders: what is written, what is read back, and what is refused."""

import hashlib
import json
import re
from collections import Counter

import pytest

from fedlora.domains import DOMAINS
from fedlora.errors import ShardError
from fedlora.shards import Record, iterate_records, load_records, open_shard, write_records
from fedlora.shards.manifest import Lengths
from fedlora.shards.shard import is_shard, write_shard
from fedlora.shards.validation import validate

FINANCE = DOMAINS["finance"]
MEDICAL = DOMAINS["medical"]
CANARY = "canary-9c1e"
RECORDS = [Record("Why?", "", f"because {CANARY}"), Record("Größe?", "a\u2028b", "c\r\nd"), Record("W", "", "12345678")]


@pytest.fixture
def folder(tmp_path):
    directory = tmp_path / "tweets"
    directory.mkdir()
    write_shard(RECORDS, directory, MEDICAL, name="tweets", licence="CC-BY-4.0 OR MIT")
    return directory


def change(directory, **values):
    """Change the manifest; a key with two underscores is one of a table."""
    file = directory / "manifest.json"
    manifest = json.loads(file.read_text())
    for key, value in values.items():
        table, _, inner = key.partition("__")
        (manifest[table] if inner else manifest)[inner or table] = value
    file.write_text(json.dumps(manifest))


def refusal(call, *arguments):
    with pytest.raises(ShardError) as caught:
        call(*arguments)
    return str(caught.value)


def test_the_manifest_is_what_it_says(folder):
    data = (folder / "records.jsonl").read_bytes()
    assert json.loads((folder / "manifest.json").read_text()) == {
        "layout": 2,
        "name": "tweets",
        "domain": "medical",
        "licence": "CC-BY-4.0 OR MIT",
        "schema": ["instruction", "input", "output"],
        "records": 3,
        "prompt_characters": {"minimum": 1, "median": 4, "p95": 9, "maximum": 9},
        "answer_characters": {"minimum": 4, "median": 8, "p95": 19, "maximum": 19},
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "preparation": [],
    }
    assert [file.stat().st_mode & 0o777 for file in folder.iterdir()] == [0o600, 0o600]


def test_the_manifest_quotes_no_record(folder):
    assert CANARY in (folder / "records.jsonl").read_text()
    assert CANARY not in (folder / "manifest.json").read_text()


def test_lengths_are_nearest_ranks():
    assert Lengths.of(Counter(range(1, 101))) == Lengths(1, 50, 95, 100)
    assert Lengths.of(Counter([7])) == Lengths(7, 7, 7, 7)
    assert Lengths.of(Counter([3, 1])) == Lengths(1, 1, 3, 3)
    assert Lengths.of({2: 9, 5: 10, 9: 1}) == Lengths(2, 5, 5, 9)


def test_records_come_back(folder, tmp_path):
    assert list(open_shard(folder, MEDICAL).records()) == RECORDS
    assert load_records(folder, MEDICAL) == RECORDS
    write_records(RECORDS, tmp_path / "plain.jsonl")
    assert load_records(tmp_path / "plain.jsonl", MEDICAL) == RECORDS
    validate(open_shard(folder))


def test_records_are_read_one_after_the_other_and_the_hash_is_known_at_the_end(folder):
    data = folder / "records.jsonl"
    data.write_bytes(data.read_bytes().replace(b"12345678", b"12345679"))
    records, read = iterate_records(folder, MEDICAL), []
    with pytest.raises(ShardError, match="was changed after its manifest was written"):
        read.extend(record.instruction for record in records)
    assert read == ["Why?", "Größe?", "W"]


def test_a_change_is_named_before_what_it_led_to(folder):
    data = folder / "records.jsonl"
    for damaged in (b"{\n", b"{}\n", b"\xff\n", b""):
        data.write_bytes(damaged)
        assert "was changed after its manifest was written" in refusal(load_records, folder, MEDICAL)


def test_a_plain_file_is_read_one_record_after_the_other(tmp_path):
    file = tmp_path / "plain.jsonl"
    write_records(RECORDS, file)
    with file.open("a") as stream:
        stream.write("{")
    records = iterate_records(file, MEDICAL)
    assert [next(records) for _ in RECORDS] == RECORDS
    with pytest.raises(ShardError, match="line 4: is not JSON"):
        next(records)


def test_data_that_were_changed_are_refused_with_both_hashes(folder):
    expected = json.loads((folder / "manifest.json").read_text())["sha256"]
    data = folder / "records.jsonl"
    data.write_bytes(data.read_bytes().replace(b"12345678", b"12345679"))  # same length, same count
    found = hashlib.sha256(data.read_bytes()).hexdigest()
    said = refusal(load_records, folder, MEDICAL)
    assert said.startswith(
        f"{data}: was changed after its manifest was written: SHA-256 is {found}, expected {expected}; "
    )
    assert CANARY not in said


def test_another_domain_is_refused(folder):
    assert refusal(load_records, folder, FINANCE) == f"{folder}: is a shard of domain medical, not of finance"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "there is no manifest; a shard folder is made with"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be read: Expecting property name"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff"), "cannot be read: 'utf-8' codec"),
        (lambda folder: (folder / "manifest.json").write_text("[1]"), "is a list, not an object with fields"),
        (lambda folder: change(folder, layout=3, more=1), "has layout 3; this kit reads 2: use the newer kit"),
        (
            lambda folder: change(folder, layout=1),
            "has layout 1; this kit reads 2: import the data again: fedlora",
        ),
        (lambda folder: change(folder, layout="2"), "has layout '2'; this kit reads 2"),
        (lambda folder: change(folder, domain="law"), "domain 'law' is not one of general-nlp, finance"),
        (lambda folder: change(folder, schema=["text", "label"]), "schema is text, label; this kit reads instruction"),
        (lambda folder: change(folder, name="a\nb"), r"name 'a\nb' is not 1 to 64 printable characters"),
        (lambda folder: change(folder, licence="l" * 201), "is not 1 to 200 printable characters"),
        (lambda folder: (folder / "records.jsonl").unlink(), "records.jsonl: cannot be read: "),
    ],
)
def test_a_folder_that_is_no_shard_is_refused(folder, damage, reason):
    damage(folder)
    assert reason in refusal(load_records, folder, MEDICAL)


def test_all_that_is_wrong_with_a_manifest_is_said_at_once(folder):
    change(folder, records="3", bytes=None, owner="me", prompt_characters__median=1.5)
    said = refusal(open_shard, folder)
    assert said.splitlines() == [
        f"{folder}/manifest.json has 4 problem(s):",
        "  - owner: unknown key; allowed: answer-characters, bytes, domain, layout, licence, name, "
        "preparation, prompt-characters, records, schema, sha256",
        "  - records: '3' is not a whole number",
        "  - prompt-characters.median: 1.5 is not a whole number",
        "  - bytes: None is not a whole number",
    ]


def test_no_folder_is_no_shard(tmp_path):
    assert refusal(open_shard, tmp_path / "none").startswith(f"{tmp_path}/none: is no folder; a shard folder is made")


def test_all_that_is_wrong_with_the_data_is_said_at_once_by_line(folder):
    data = folder / "records.jsonl"
    lines = data.read_text(encoding="utf-8").split("\n")
    lines[0] = '{"text": "a", "label": 1}'
    lines[1:1] = ["", '{"instruction": "", "input": "", "output": "x"}', "{"]
    data.write_text("\n".join(lines), encoding="utf-8")
    said = refusal(validate, open_shard(folder)).splitlines()
    schema = "the manifest's schema is instruction, input, output"
    assert said[:5] == [
        f"{folder} has 11 problem(s):",
        f"  - {data}, line 1: the fields are text, label; {schema}",
        f"  - {data}, line 2: is not JSON: Expecting value at column 1",
        f"  - {data}, line 3: field 'instruction' is empty",
        f"  - {data}, line 4: is not JSON: Expecting property name enclosed in double quotes at column 2",
    ]
    assert [re.sub(r"\b[0-9a-f]{64}\b", "HASH", line.removeprefix(f"  - {data}: ")) for line in said[5:]] == [
        "SHA-256 is HASH, expected HASH",
        f"size in bytes is {data.stat().st_size}, expected 192",
        "number of good records is 2, expected 3",
        "median of the prompts in characters is 1, expected 4",
        "median of the answers in characters is 4, expected 8",
        "p95 of the answers in characters is 8, expected 19",
        "maximum of the answers in characters is 8, expected 19",
    ]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"records": 4}, "number of good records is 3, expected 4"),
        ({"bytes": 1}, "size in bytes is 192, expected 1"),
        ({"prompt_characters__p95": 5}, "p95 of the prompts in characters is 9, expected 5"),
        ({"answer_characters__minimum": 5}, "minimum of the answers in characters is 4, expected 5"),
        ({"sha256": "0" * 64}, "SHA-256 is"),
    ],
)
def test_each_figure_of_the_manifest_is_held_to(folder, values, reason):
    change(folder, **values)
    said = refusal(validate, open_shard(folder))
    assert said.startswith(f"{folder} has 1 problem(s):\n")
    assert reason in said


def test_many_bad_lines_are_counted(folder):
    (folder / "records.jsonl").write_text("{}\n" * 120)
    said = refusal(validate, open_shard(folder))
    assert f"{folder}/records.jsonl: and 70 more such lines" in said
    assert "line 50:" in said
    assert "line 51:" not in said


@pytest.mark.parametrize("content", [b"", b"\xff\n"])
def test_data_that_are_no_text_or_nothing(folder, content):
    (folder / "records.jsonl").write_bytes(content)
    assert "number of good records is 0, expected 3" in refusal(validate, open_shard(folder))


def test_only_a_shard_and_nothing_else_may_be_replaced(folder, tmp_path):
    assert is_shard(folder)
    assert not is_shard(tmp_path)
    (folder / "notes.txt").touch()
    assert not is_shard(folder)
