"""Records in Parquet."""

import pyarrow
import pyarrow.parquet
import pytest
from record_files import GOOD, MEDICAL, TWO, refusal

from fedlora.errors import ShardError
from fedlora.shards.records import read_records
from fedlora.shards.rows import iterate_rows


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


def test_rows_are_counted_across_row_groups(tmp_path):
    file = tmp_path / "a.parquet"
    answers = ["x"] * 2500
    answers[2299] = None
    table = pyarrow.table({"instruction": [f"q{number}" for number in range(2500)], "output": answers})
    pyarrow.parquet.write_table(table, file, row_group_size=1100)
    rows = list(iterate_rows(file))
    assert [place for place, _ in rows] == [f"row {number}" for number in range(1, 2501)]
    assert [row["instruction"] for _, row in rows] == [f"q{number}" for number in range(2500)]
    with pytest.raises(ShardError, match="row 2300: field 'output' is a NoneType"):
        read_records(file, MEDICAL)
