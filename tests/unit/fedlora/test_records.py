"""Reading records from each format, and writing them."""

import gzip
import json
import os
import re
import zipfile

import pytest
from record_files import BOM, MEDICAL, TWO, TWO_JSONL

from fedlora.errors import ShardError
from fedlora.shards.records import Record, read_records, write_records

TWO_JSON = json.dumps(
    [
        {"instruction": "Größe?", "input": "a, b", "output": " 1 "},
        {"instruction": "Why?", "input": None, "output": "because\nof “this”"},
    ],
    indent=2,
).encode()
TWO_CSV = 'instruction,input,output\nGröße?,"a, b", 1 \nWhy?,,"because\nof “this”"\n'.encode()


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


def test_a_traversable_that_is_no_path(tmp_path):
    with zipfile.ZipFile(tmp_path / "samples.zip", "w") as archive:
        archive.writestr("inner/a.jsonl", TWO_JSONL)
        archive.writestr("inner/b.jsonl", b"{")
        assert read_records(zipfile.Path(archive, "inner/a.jsonl"), MEDICAL) == TWO
        with pytest.raises(ShardError) as caught:
            read_records(zipfile.Path(archive, "inner/b.jsonl"), MEDICAL)
    assert str(caught.value).startswith(f"{tmp_path}/samples.zip/inner/b.jsonl, line 1: is not JSON: ")


def test_csv_with_a_long_field(tmp_path):
    answer = "long " * (200 * 1024 // 5)  # more than the 128 KiB that Python's reader stops at
    file = tmp_path / "a.csv"
    file.write_text(f"instruction,output\na,{answer}\nb,c\n", encoding="utf-8")
    assert read_records(file, MEDICAL) == [Record("a", "", answer), Record("b", "", "c")]


def test_both_halves_of_a_surrogate_pair_are_a_character(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"instruction": "\\ud83d\\ude00", "output": "b"}\n')
    assert read_records(file, MEDICAL) == [Record("\U0001f600", "", "b")]


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
