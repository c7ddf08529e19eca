"""What is said about a file that cannot be read."""

import gzip
import json

import pytest
from record_files import BOM, GOOD, MEDICAL, SCHEMA, refusal, row

from fedlora.errors import ShardError
from fedlora.shards.records import read_records
from fedlora.shards.rows import SUFFIXES

ENDINGS = ".jsonl, .json, .csv, .parquet"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param(
            "a.jsonl",
            GOOD + b"\n" + b'{"instruction": "a", "output"\n',
            ", line 3: is not JSON: Expecting ':' delimiter at column 30",
            id="jsonl-broken-line",
        ),
        pytest.param(
            "a.jsonl", GOOD + b'"a, b"\n', ", line 2: is a str, not an object with fields", id="jsonl-no-object"
        ),
        pytest.param(
            "a.jsonl",
            GOOD + row(instruction="a", input="c", answer="b"),
            f", line 2: field 'output' is missing; {SCHEMA}; found: instruction, input, answer",
            id="jsonl-missing-output",
        ),
        pytest.param(
            "a.jsonl",
            row(output="b"),
            f", line 1: field 'instruction' is missing; {SCHEMA}; found: output",
            id="jsonl-missing-instruction",
        ),
        pytest.param(
            "a.jsonl",
            b"{}\n",
            f", line 1: field 'instruction' is missing; {SCHEMA}; found: no fields",
            id="jsonl-no-fields",
        ),
        pytest.param(
            "a.jsonl",
            row(text="a", label=0),
            f", line 1: field 'instruction' is missing; {SCHEMA}; found: text, label",
            id="labels-in-a-domain-without",
        ),
        pytest.param(
            "a.jsonl", row(instruction="a", output=""), ", line 1: field 'output' is empty", id="jsonl-empty-output"
        ),
        pytest.param(
            "a.jsonl", row(instruction="a", output=" \n"), ", line 1: field 'output' is empty", id="jsonl-blank-output"
        ),
        pytest.param(
            "a.jsonl",
            row(instruction="a", output="\u200b\u00a0\ufeff"),
            ", line 1: field 'output' is empty",
            id="jsonl-invisible-output",
        ),
        pytest.param(
            "a.jsonl",
            row(instruction=" ", output="b"),
            ", line 1: field 'instruction' is empty",
            id="jsonl-blank-instruction",
        ),
        pytest.param(
            "a.jsonl",
            row(instruction="a", output=4),
            ", line 1: field 'output' is a int, not text",
            id="jsonl-output-no-text",
        ),
        pytest.param(
            "a.jsonl",
            row(instruction=None, output="b"),
            ", line 1: field 'instruction' is a NoneType, not text",
            id="jsonl-instruction-null",
        ),
        pytest.param(
            "a.jsonl",
            row(instruction="a", input=["c"], output="b"),
            ", line 1: field 'input' is a list, not text",
            id="jsonl-input-no-text",
        ),
        pytest.param("a.jsonl", b"", ": holds 0 records; a shard needs at least one", id="jsonl-empty-file"),
        pytest.param("a.jsonl", b"\n \n", ": holds 0 records; a shard needs at least one", id="jsonl-0-records"),
        pytest.param(
            "a.jsonl",
            GOOD + '{"instruction": "é", "output": "'.encode() + 'é"}\n'.encode("latin-1"),
            ", line 2: byte 0xe9 is not UTF-8; convert the file to UTF-8",
            id="jsonl-latin-1",
        ),
        pytest.param(
            "a.jsonl",
            BOM + GOOD + b"\xe9\n",
            ", line 2: byte 0xe9 is not UTF-8; convert the file to UTF-8",
            id="jsonl-bom-latin-1",
        ),
        pytest.param(
            "a.csv",
            BOM + b"instruction,output\na,b\nc,\xfc\n",
            ", line 3: byte 0xfc is not UTF-8; convert the file to UTF-8",
            id="csv-bom-latin-1",
        ),
        pytest.param(
            "a.jsonl",
            GOOD + row(instruction="a", output="b\ud800"),
            ", line 2: field 'output' holds half of a surrogate pair, which is no character",
            id="jsonl-surrogate-in-output",
        ),
        pytest.param(
            "a.jsonl",
            row(instruction="a", input="\udfff", output="b"),
            ", line 1: field 'input' holds half of a surrogate pair, which is no character",
            id="jsonl-surrogate-in-input",
        ),
        pytest.param(
            "a.json",
            b"[" + GOOD + b"," + row(instruction="\ud800", output="b") + b"]",
            ", record 2: field 'instruction' holds half of a surrogate pair, which is no character",
            id="json-surrogate-in-instruction",
        ),
        pytest.param(
            "a.csv",
            GOOD.decode().encode("utf-16"),
            ", line 1: byte 0xff is not UTF-8; convert the file to UTF-8",
            id="csv-utf-16",
        ),
        pytest.param(
            "a.json",
            b'[\n{"instruction": "a",\n"output" "b"}]',
            ", line 3: is not JSON: Expecting ':' delimiter at column 10",
            id="json-broken",
        ),
        pytest.param("a.json", GOOD, ": holds a dict, not a list of records", id="json-no-list"),
        pytest.param(
            "a.json",
            b"[" + GOOD + b", 7]",
            ", record 2: is a int, not an object with fields",
            id="json-no-object",
        ),
        pytest.param(
            "a.json",
            b"[" + GOOD + b"," + row(instruction="a", output="") + b"]",
            ", record 2: field 'output' is empty",
            id="json-empty-output",
        ),
        pytest.param("a.json", b"", ": holds 0 records; a shard needs at least one", id="json-empty-file"),
        pytest.param("a.json", b"[]", ": holds 0 records; a shard needs at least one", id="json-0-records"),
        pytest.param(
            "a.csv",
            b"instruction,output\na,b\nc,d,e\n",
            ", line 3: has more fields than the header names",
            id="csv-too-many-fields",
        ),
        pytest.param(
            "a.csv",
            b"instruction,output\na,b\nc\n",
            f", line 3: field 'output' is missing; {SCHEMA}; found: instruction",
            id="csv-too-few-fields",
        ),
        pytest.param(
            "a.csv",
            b'instruction,output\n"a\na",b\nc,\n',
            ", line 4: field 'output' is empty",
            id="csv-empty-output-behind-a-record-of-two-lines",
        ),
        pytest.param(
            "a.csv",
            b"instruction,output,output\na,b,c\n",
            ", line 1: a field is named twice: instruction, output, output",
            id="csv-field-named-twice",
        ),
        pytest.param("a.csv", b"", ": holds 0 records; a shard needs at least one", id="csv-empty-file"),
        pytest.param(
            "a.csv", b"instruction,output\n", ": holds 0 records; a shard needs at least one", id="csv-0-records"
        ),
        pytest.param("a.jsonl.gz", GOOD, ": cannot be read: Not a gzipped file (b'{\"')", id="gz-that-is-none"),
        pytest.param(
            "a.jsonl.gz",
            gzip.compress(GOOD)[:-9],
            ": cannot be read: Compressed file ended before the end-of-stream marker was reached",
            id="gz-truncated",
        ),
        pytest.param(
            "a.jsonl.gz",
            gzip.compress(GOOD + b"[]\n"),
            ", line 2: is a list, not an object with fields",
            id="gz-wrong-row",
        ),
        pytest.param("a.txt", GOOD, f": .txt is not one of {ENDINGS}", id="unknown-ending"),
        pytest.param("a.txt.gz", gzip.compress(GOOD), f": .txt is not one of {ENDINGS}", id="unknown-ending-gz"),
        pytest.param("a.parquet.gz", gzip.compress(b"PAR1"), f": .gz is not one of {ENDINGS}", id="parquet-gz"),
        pytest.param("a.JSONL", GOOD, f": .JSONL is not one of {ENDINGS}", id="ending-in-capitals"),
        pytest.param("records", GOOD, f": a name without an ending is not one of {ENDINGS}", id="no-ending"),
    ],
)
def test_what_is_refused(tmp_path, name, content, message):
    assert refusal(tmp_path / name, content) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(gzip.compress(GOOD)[:-8] + bytes(8), ": cannot be read: CRC check failed", id="checksum"),
        pytest.param(
            gzip.compress(GOOD)[:10] + b"\xff" * 40, ": cannot be read: Error -3 while decompressing", id="no-deflate"
        ),
    ],
)
def test_damaged_gz(tmp_path, content, message):
    # What follows is Python's own text, which is not the same everywhere.
    assert refusal(tmp_path / "a.jsonl.gz", content).startswith(message)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        pytest.param(b'instruction,output\na,"b"c\n', 2, "',' expected after '\"'", id="behind-a-quote"),
        pytest.param(b'instruction,output\na,b\nc,"d"e\nf,g\n', 3, "',' expected after '\"'", id="between-records"),
        pytest.param(
            b'instruction,output\n"a\na",b\nc,"d"e\n', 4, "',' expected after '\"'", id="behind-a-record-of-two-lines"
        ),
        pytest.param(b'"instruction"s,output\na,b\n', 1, "',' expected after '\"'", id="header"),
        pytest.param(b'instruction,output\na,"b\n', 2, "unexpected end of data", id="open-quote"),
        pytest.param(b'instruction,output\na,"b\nc,d\n', 3, "unexpected end of data", id="open-quote-of-two-lines"),
        pytest.param(b'"instruction,output\n', 1, "unexpected end of data", id="open-quote-in-the-header"),
    ],
)
def test_broken_csv(tmp_path, content, line, reason):
    assert refusal(tmp_path / "a.csv", content) == f", line {line}: is not CSV: {reason}"


@pytest.mark.parametrize(("name", "before", "line"), [("a.json", b"", 1), ("a.jsonl", GOOD, 2)], ids=["json", "jsonl"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 200_000, id="nested-too-deeply"),
        pytest.param("1" * 5_000, id="number-too-long"),
        pytest.param('[{"instruction": "a", "output": "b", "id": ' + "1" * 5_000 + "}]", id="field-too-long"),
    ],
)
def test_json_that_python_does_not_read(tmp_path, name, before, line, text):
    # Not for its syntax, but for limits of Python's own, in its own words.
    with pytest.raises((RecursionError, ValueError)) as own:
        json.loads(text)
    assert not isinstance(own.value, json.JSONDecodeError)
    assert refusal(tmp_path / name, before + text.encode()) == f", line {line}: is not JSON: {own.value}"


def test_what_is_read_at_once_may_not_be_large(tmp_path, monkeypatch):
    monkeypatch.setattr("fedlora.shards.rows.MOST_AT_ONCE", 2 * 2**20)
    long = row(instruction="a", output="b" * 2**21)
    assert refusal(tmp_path / "a.jsonl", GOOD + long) == ", line 2: is longer than 2 MiB, the most that a line may be"
    assert refusal(tmp_path / "a.csv", b"instruction,output\na," + b"b" * 2**21 + b"\n").startswith(
        ", line 2: is longer"
    )
    for name, content in (("a.json", b"[" + long + b"]"), ("a.json.gz", gzip.compress(b"[" + long + b"]"))):
        assert refusal(tmp_path / name, content) == (
            ": is larger than 2 MiB, and JSON that is not JSON Lines is read at once; convert it to JSON Lines, for "
            "example with: jq --compact-output '.[]'"
        )
    open_quote = b'instruction,output\na,"' + b"b\n" * 2**21
    assert refusal(tmp_path / "a.csv", open_quote).endswith("is not CSV: field larger than field limit (2097152)")


def test_the_endings_in_the_messages_are_those_of_the_module():
    assert ", ".join(SUFFIXES) == ENDINGS


def test_missing_file(tmp_path):
    file = tmp_path / "a.jsonl"
    with pytest.raises(ShardError) as caught:
        read_records(file, MEDICAL)
    assert str(caught.value) == f"{file}: cannot be read: [Errno 2] No such file or directory: '{file}'"


def test_folder_in_place_of_a_file(tmp_path):
    file = tmp_path / "a.csv"
    file.mkdir()
    with pytest.raises(ShardError) as caught:
        read_records(file, MEDICAL)
    assert str(caught.value) == f"{file}: cannot be read: [Errno 21] Is a directory: '{file}'"
