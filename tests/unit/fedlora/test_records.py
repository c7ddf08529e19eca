"""Reading and writing records, and what is said about a file that cannot be read."""

import gzip
import json
import os
import re
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from fedlora.domains import DOMAINS
from fedlora.errors import ShardError
from fedlora.shards.records import SUFFIXES, Record, read_records, write_records

FINANCE = DOMAINS["finance"]
MEDICAL = DOMAINS["medical"]
ENDINGS = ".jsonl, .json, .csv, .parquet"
SCHEMA = "a record holds instruction, output and perhaps input"
LABELS = "allowed: 0 (negative), 1 (positive), 2 (neutral)"

TWO = [Record("Größe?", "a, b", " 1 "), Record("Why?", "", "because\nof “this”")]
TWO_JSONL = (
    '{"instruction": "Größe?", "input": "a, b", "output": " 1 "}\n'
    '{"instruction": "Why?", "output": "because\\nof “this”"}\n'
).encode()
TWO_JSON = json.dumps(
    [
        {"instruction": "Größe?", "input": "a, b", "output": " 1 "},
        {"instruction": "Why?", "input": None, "output": "because\nof “this”"},
    ],
    indent=2,
).encode()
TWO_CSV = 'instruction,input,output\nGröße?,"a, b", 1 \nWhy?,,"because\nof “this”"\n'.encode()
BOM = b"\xef\xbb\xbf"


def row(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


GOOD = row(instruction="a", output="b")


def refusal(file: Path, content: bytes, domain=MEDICAL) -> str:
    """Return what is said of `content`, without the name of the file that it must begin with."""
    file.write_bytes(content)
    with pytest.raises(ShardError) as caught:
        read_records(file, domain)
    message = str(caught.value)
    assert message.startswith(str(file))
    return message.removeprefix(str(file))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.jsonl", TWO_JSONL, id="jsonl"),
        pytest.param("a.jsonl", BOM + TWO_JSONL, id="jsonl-bom"),
        pytest.param("a.jsonl", TWO_JSONL.replace(b"}\n", b"}\r\n"), id="jsonl-crlf"),
        pytest.param("a.jsonl", b"\n" + TWO_JSONL.replace(b"}\n", b"}\n \n"), id="jsonl-blank-lines"),
        pytest.param("a.jsonl", TWO_JSONL.rstrip(), id="jsonl-no-newline-at-end"),
        pytest.param("a.json", TWO_JSON, id="json"),
        pytest.param("a.json", BOM + TWO_JSON, id="json-bom"),
        pytest.param("a.csv", TWO_CSV, id="csv"),
        pytest.param("a.csv", BOM + TWO_CSV, id="csv-bom"),
        pytest.param("a.csv", TWO_CSV.replace(b"\nWhy", b"\n\nWhy"), id="csv-blank-line"),
        pytest.param("a.csv", re.sub(rb"(?<!because)\n", rb"\r\n", TWO_CSV), id="csv-crlf"),
        pytest.param("a.csv", re.sub(rb"(?<!because)\n", rb"\r", TWO_CSV), id="csv-cr"),
        pytest.param("a.jsonl.gz", gzip.compress(TWO_JSONL), id="jsonl-gz"),
        pytest.param("a.json.gz", gzip.compress(TWO_JSON), id="json-gz"),
        pytest.param("a.csv.gz", gzip.compress(TWO_CSV), id="csv-gz"),
    ],
)
def test_the_same_records_in_every_format(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    assert read_records(file, MEDICAL) == TWO


def test_parquet(tmp_path):
    columns = {
        "instruction": [record.instruction for record in TWO],
        "input": ["a, b", None],
        "output": [record.output for record in TWO],
        "id": [1, 2],
    }
    file = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    assert read_records(file, MEDICAL) == TWO


def test_parquet_names_the_row_and_field(tmp_path):
    file = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"instruction": ["a", "b", "c"], "output": ["x", "y", None]}), file)
    with pytest.raises(ShardError) as caught:
        read_records(file, MEDICAL)
    assert str(caught.value) == f"{file}, row 3: field 'output' is a NoneType, not text"


def test_parquet_without_rows(tmp_path):
    file = tmp_path / "a.parquet"
    empty = pyarrow.array([], pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"instruction": empty, "output": empty}), file)
    with pytest.raises(ShardError) as caught:
        read_records(file, MEDICAL)
    assert str(caught.value) == f"{file}: holds 0 records; a shard needs at least one"


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really PAR1", GOOD], ids=["empty", "garbage", "jsonl"])
def test_broken_parquet(tmp_path, content):
    # What follows is pyarrow's own text.
    assert refusal(tmp_path / "a.parquet", content).startswith(": is not Parquet: ")


def test_truncated_parquet(tmp_path):
    file = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"instruction": ["a"], "output": ["b"]}), file)
    assert refusal(file, file.read_bytes()[:-20]).startswith(": is not Parquet: ")


@pytest.mark.parametrize("byte", [b"\x00", b"\xff"], ids=["zeros", "ones"])
def test_parquet_with_a_damaged_footer(tmp_path, byte):
    file = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"instruction": ["a"], "output": ["b"]}), file)
    content = file.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")  # of the footer, which ends where its length stands
    damaged = content[: -8 - length] + byte * length + content[-8:]
    assert refusal(file, damaged).startswith(": is not Parquet: ")


def test_parquet_with_text_that_is_not_utf_8(tmp_path):
    file = tmp_path / "a.parquet"
    text = pyarrow.array([b"b", b"\xff"]).cast(pyarrow.string(), safe=False)
    pyarrow.parquet.write_table(pyarrow.table({"instruction": ["a", "a"], "output": text}), file)
    with pytest.raises(ShardError) as caught:
        read_records(file, MEDICAL)
    assert str(caught.value) == (
        f"{file}: is not Parquet: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    )


def test_a_traversable_that_is_no_path(tmp_path):
    with zipfile.ZipFile(tmp_path / "samples.zip", "w") as archive:
        archive.writestr("inner/a.jsonl", TWO_JSONL)
        archive.writestr("inner/b.jsonl", b"{")
        assert read_records(zipfile.Path(archive, "inner/a.jsonl"), MEDICAL) == TWO
        with pytest.raises(ShardError) as caught:
            read_records(zipfile.Path(archive, "inner/b.jsonl"), MEDICAL)
    assert str(caught.value).startswith(f"{tmp_path}/samples.zip/inner/b.jsonl, line 1: is not JSON: ")


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


def test_csv_with_a_long_field(tmp_path):
    answer = "long " * (200 * 1024 // 5)  # more than the 128 KiB that Python's reader stops at
    file = tmp_path / "a.csv"
    file.write_text(f"instruction,output\na,{answer}\nb,c\n", encoding="utf-8")
    assert read_records(file, MEDICAL) == [Record("a", "", answer), Record("b", "", "c")]


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


def test_both_halves_of_a_surrogate_pair_are_a_character(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"instruction": "\\ud83d\\ude00", "output": "b"}\n')
    assert read_records(file, MEDICAL) == [Record("\U0001f600", "", "b")]


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


def test_written_records_are_read_back(tmp_path):
    records = [*TWO, Record("a\u2028b", "c\r\nd", '{"e": "\\u0041"}')]
    file = tmp_path / "a.jsonl"
    write_records(iter(records), file)
    assert read_records(file, MEDICAL) == records


def test_written_text_is_utf_8_with_a_record_a_line(tmp_path):
    file = tmp_path / "a.jsonl"
    write_records(TWO, file)
    assert file.read_bytes().decode() == (
        '{"instruction": "Größe?", "input": "a, b", "output": " 1 "}\n'
        '{"instruction": "Why?", "input": "", "output": "because\\nof “this”"}\n'
    )


def test_a_new_file_is_its_owners_alone(tmp_path):
    file = tmp_path / "a.jsonl"
    before = os.umask(0)
    try:
        write_records(TWO, file)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_others_could_read_becomes_its_owners_alone(tmp_path):
    file = tmp_path / "a.jsonl"
    file.touch()
    file.chmod(0o644)
    write_records(TWO, file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_records(file, MEDICAL) == TWO


def test_a_file_is_replaced_not_added_to(tmp_path):
    file = tmp_path / "a.jsonl"
    write_records(TWO, file)
    write_records(TWO[:1], file)
    assert read_records(file, MEDICAL) == TWO[:1]
