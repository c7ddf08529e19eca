"""`fedlora shard ...`: whole outputs, and what is refused."""

import io
import json
import os
import subprocess
import sys
import types
from collections import Counter
from pathlib import Path

import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.cli.shard.show import histogram
from fedlora.domains import DOMAINS
from fedlora.errors import ConfigurationError, ShardError
from fedlora.shards import Record, open_shard, read_records

FINANCE = DOMAINS["finance"]
CSV = "text,label\n" + "".join(f"tweet {number:02},{number % 3}\n" for number in range(30))


def shard(*arguments, **options):
    return CliRunner().invoke(
        application, ["shard", *map(str, arguments)], env={"COLUMNS": "150", "TERM": "dumb"}, **options
    )


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "tweets.csv"
    file.write_text(CSV)
    return file


@pytest.fixture
def imported(source, tmp_path):
    shard("import", source, tmp_path / "tweets", "--domain", "finance", "--licence", "proprietary")
    return tmp_path / "tweets"


def tree(directory):
    return sorted(str(entry.relative_to(directory)) for entry in directory.rglob("*"))


def test_import_makes_a_folder_for_the_owner_alone(source, tmp_path):
    before = os.umask(0)
    try:
        result = shard("import", source, tmp_path / "s", "--domain", "finance", "--name", "Tweets, 2026")
    finally:
        os.umask(before)
    made = open_shard(tmp_path / "s", FINANCE)
    assert (result.exit_code, result.stdout) == (
        0,
        f"shard Tweets, 2026: 30 records of domain finance, {made.manifest.bytes} bytes, "
        f"SHA-256 {made.manifest.sha256[:12]}, in {tmp_path}/s\n",
    )
    assert list(made.records()) == read_records(source, FINANCE)
    modes = [entry.stat().st_mode & 0o777 for entry in (tmp_path / "s", *sorted((tmp_path / "s").iterdir()))]
    assert modes == [0o700, 0o600, 0o600]
    assert tree(tmp_path) == ["s", "s/manifest.json", "s/records.jsonl", "tweets.csv"]


@pytest.mark.parametrize("name", ["a b", "[bold]x", "Größe", "-x", "'; rm"])
def test_folders_with_odd_names(source, tmp_path, name):
    made = tmp_path / name
    assert shard("import", "--domain", "finance", "--", source, made).exit_code == 0
    assert open_shard(made).manifest.name == name
    shown = shard("show", "--", made)
    assert (shown.exit_code, shown.stdout.splitlines()[0]) == (0, f"shard    {name}")


def test_a_name_that_cannot_stand_in_a_manifest_leaves_nothing(source, tmp_path):
    result = shard("import", source, tmp_path / "a\nb", "--domain", "finance")
    assert isinstance(result.exception, ShardError)
    assert str(result.exception).startswith(r"name 'a\nb' is not 1 to 64 printable characters")
    assert tree(tmp_path) == ["tweets.csv"]


def test_a_folder_that_is_not_empty_is_left_alone_unless_forced_and_a_shard(imported, source, tmp_path):
    before = (imported / "manifest.json").read_bytes()
    again = ("import", source, imported, "--domain", "finance", "--name", "again")
    assert "replace a shard with --force" in str(shard(*again).exception)
    assert (imported / "manifest.json").read_bytes() == before
    assert shard(*again, "--force").exit_code == 0
    assert open_shard(imported).manifest.name == "again"
    (imported / "notes.txt").touch()
    assert "holds other things" in str(shard(*again, "--force").exception)
    home = shard("import", source, tmp_path, "--domain", "finance", "--force")
    assert isinstance(home.exception, ShardError)
    assert tree(tmp_path)[-1] == "tweets/records.jsonl"


def test_data_that_were_edited_are_accepted_by_importing_them_again(imported):
    data = imported / "records.jsonl"
    data.write_text("".join(data.read_text().splitlines(keepends=True)[:10]))
    assert isinstance(shard("show", imported).exception, ShardError)
    assert shard("import", data, imported, "--domain", "finance", "--force").exit_code == 0
    assert open_shard(imported).manifest.records == 10


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_ctrl_c_leaves_nothing_half_written(source, tmp_path, monkeypatch, stop):
    def broken(_):
        raise stop

    monkeypatch.setattr("fedlora.shards.manifest.Manifest.to_json", broken)  # the data are written by then
    result = shard("import", source, tmp_path / "s", "--domain", "finance")
    assert tree(tmp_path) == ["tweets.csv"]
    if isinstance(stop, OSError):
        assert isinstance(result.exception, ShardError)
        assert "s cannot be written: [Errno 28] No space left on device; nothing" in str(result.exception)
    else:
        assert result.exit_code == 130


def test_ctrl_c_in_the_middle_of_a_partition_leaves_nothing(source, tmp_path, monkeypatch):
    def broken(*_, name, **__):
        if name.endswith("part-2"):
            raise KeyboardInterrupt

    monkeypatch.setattr("fedlora.shards.shard.write_shard", broken)
    assert shard("partition", source, tmp_path / "p", "--parts", "3", "--domain", "finance").exit_code == 130
    assert tree(tmp_path) == ["tweets.csv"]


@pytest.mark.parametrize("by", ["iid", "label-skew", "size-skew"])
def test_partition_puts_each_record_into_one_shard(imported, tmp_path, by):
    result = shard("partition", imported, tmp_path / "p", "--parts", 3, "--by", by, "--seed", 1, "--format", "json")
    listed = json.loads(result.stdout)
    assert [entry["directory"] for entry in listed] == [f"{tmp_path}/p/part-{number}" for number in (1, 2, 3)]
    parts = [open_shard(Path(entry["directory"]), FINANCE) for entry in listed]
    assert [(one.manifest.name, one.manifest.licence) for one in parts] == [
        (f"tweets-part-{number}", "proprietary") for number in (1, 2, 3)
    ]
    together = [record for one in parts for record in one.records()]
    assert sorted(together, key=lambda record: record.input) == list(open_shard(imported).records())
    again = shard("partition", imported, tmp_path / "q", "--parts", 3, "--by", by, "--seed", 1, "--format", "json")
    assert [entry["sha256"] for entry in json.loads(again.stdout)] == [entry["sha256"] for entry in listed]
    modes = {entry.stat().st_mode & 0o777 for entry in (tmp_path / "p").rglob("*")}
    assert (modes, (tmp_path / "p").stat().st_mode & 0o777) == ({0o600, 0o700}, 0o700)


def test_partition_prints_a_table_and_replaces_its_own_alone(imported, tmp_path):
    once = ("partition", imported, tmp_path / "p", "--parts", 2)
    row = next(line for line in shard(*once).stdout.splitlines() if "part-2" in line)
    made = open_shard(tmp_path / "p" / "part-2").manifest
    assert [cell.strip() for cell in row.split("\u2502")[1:-1]] == [
        *("part-2", "15", str(made.bytes), made.sha256[:12])
    ]
    assert "is not empty" in str(shard(*once).exception)
    assert shard(*once[:-1], 3, "--force").exit_code == 0
    assert len(list((tmp_path / "p").iterdir())) == 3
    assert "holds other things" in str(shard("partition", imported, tmp_path, "--parts", 2, "--force").exception)
    assert imported.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        (
            ("partition", "tweets.csv", "p", "--parts", "2"),
            ConfigurationError,
            "tweets.csv does not say of which domain",
        ),
        (
            ("partition", "tweets", "p", "--parts", "2", "--domain", "code"),
            ShardError,
            "of domain finance, not of code",
        ),
        (("partition", "tweets", "p", "--parts", "31"), ShardError, "30 record(s) cannot be divided into 31 parts"),
        (("partition", "tweets", "p", "--parts", "2", "--by", "size-skew", "--alpha", "0"), ShardError, "alpha is 0.0"),
        (("import", "tweets.csv", "p", "--domain", "medical"), ShardError, "tweets.csv, line 2: field 'instruction'"),
        (("import", "none.csv", "p", "--domain", "medical"), ShardError, "none.csv: cannot be read"),
        (("import", "hub:tweets", "p", "--domain", "medical"), ShardError, "'hub:tweets' names no data set; allowed"),
        (("import", "tweets", "p", "--domain", "medical"), ShardError, "tweets: is a shard of domain finance, not of"),
        (("import", "tweets.csv", "tweets.csv/x", "--domain", "finance"), ShardError, "tweets.csv/x cannot be made"),
        (("show", "tweets.csv"), ShardError, "tweets.csv: is no folder; a shard folder is made with"),
        (("show", "."), ShardError, "manifest.json: there is no manifest"),
        (("validate", "tweets", "--domain", "medical"), ShardError, "tweets: is a shard of domain finance, not of"),
    ],
)
def test_what_cannot_be_done_is_named_and_leaves_nothing(imported, monkeypatch, arguments, error, reason):
    monkeypatch.chdir(imported.parent)
    before = tree(imported.parent)
    result = shard(*arguments)
    assert isinstance(result.exception, error)
    assert reason in str(result.exception)
    assert tree(imported.parent) == before


def test_validate_says_yes_and_no(imported):
    result = shard("validate", imported, "--domain", "finance")
    assert (result.exit_code, result.stdout) == (0, f"{imported}: 30 records of domain finance fit the manifest\n")
    (imported / "records.jsonl").write_text("{}\n")
    assert "has 4 problem(s)" in str(shard("validate", imported).exception)


def test_show_in_both_formats(tmp_path):
    lengths = [3, 4, 5, 9, 9, 60, 60, 60, 60, 61]
    lines = [json.dumps({"instruction": f"Why{n}", "output": "x" * length}) for n, length in enumerate(lengths)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    shard("import", tmp_path / "a.jsonl", tmp_path / "s", "--domain", "medical")
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    bar = "\u2588"
    assert shard("show", tmp_path / "s").stdout.splitlines() == [
        "shard    s",
        "domain   medical",
        "licence  not stated",
        "schema   instruction, input, output",
        "records  10",
        f"bytes    {manifest['bytes']}",
        f"SHA-256  {manifest['sha256']}",
        "prompts  4 to 4, median 4, 95 % at most 4 characters",
        "answers  3 to 61, median 9, 95 % at most 61 characters",
        "from     a.jsonl, 10 rows",
        "",
        "prompts, records by characters",
        f"  up to 4  10  {bar * 40}",
        "",
        "answers, records by characters",
        f"  up to  4  2  {bar * 16}",
        f"  up to  8  1  {bar * 8}",
        f"  up to 16  2  {bar * 16}",
        "  up to 32  0",
        f"  up to 64  5  {bar * 40}",
    ]
    document = json.loads(shard("show", tmp_path / "s", "--format", "json").stdout)
    histograms = document.pop("histograms")
    assert document == {"directory": f"{tmp_path}/s", **manifest}
    assert histograms["prompt_characters"] == [{"up_to": 4, "records": 10}]
    assert [one["records"] for one in histograms["answer_characters"]] == [2, 1, 2, 0, 5]


def test_bins_are_finer_where_lengths_are_alike():
    assert histogram(Counter([100, 112, 113, 200])) == [(112, 2), (128, 1), (160, 0), (192, 0), (224, 1)]
    assert histogram({1: 7, 1000: 1})[:3] == [(1, 7), (2, 0), (4, 0)]


@pytest.fixture
def hub(monkeypatch):
    """A library `datasets` that knows one data set."""
    asked = []

    def load_dataset(name, configuration, *, split):
        asked.append((name, configuration, split))
        if name == "far/away":
            raise ConnectionError("no route")
        if split != "train":
            raise ValueError(f"unknown split {split!r}")
        return [{"instruction": "Why?", "output": "because"}, {"instruction": "W", "input": "i", "output": "o"}]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    return asked


def test_a_data_set_of_a_hub(hub, tmp_path):
    assert shard("import", "hub:owner/set/plain", tmp_path / "s", "--domain", "medical").exit_code == 0
    assert list(open_shard(tmp_path / "s").records()) == [Record("Why?", "", "because"), Record("W", "i", "o")]
    assert hub == [("owner/set", "plain", "train")]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("hub:far/away", "hub:far/away: the hub cannot be reached: no route; try again later, or download"),
        ("hub:owner/set:test", "hub:owner/set:test: cannot be read: ValueError: unknown split 'test'"),
        ("hub:owner/", "'hub:owner/' names no data set"),
        ("hub:a/b/c/d", "'hub:a/b/c/d' names no data set"),
    ],
)
def test_a_hub_that_has_it_not(hub, tmp_path, source, reason):
    result = shard("import", source, tmp_path / "s", "--domain", "medical")
    assert isinstance(result.exception, ShardError)
    assert reason in str(result.exception)
    assert tree(tmp_path) == []


TINY = [{"instruction": "Why?", "output": "because"}, {"instruction": "W", "input": "i", "output": "o"}]


def test_a_data_set_of_a_mirror_with_the_library_itself(mirror, tmp_path):
    lines = "".join(json.dumps(row) + "\n" for row in TINY).encode()
    mirror.add("datasets", "owner/lines", {"train.jsonl": lines, "test.jsonl": lines.splitlines(keepends=True)[1]})
    table = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"input": None, **row} for row in TINY]), table)
    mirror.add("datasets", "owner/table", {"data/train-00000-of-00001.parquet": table.getvalue()})
    program = str(Path(sys.executable).with_name("fedlora"))
    environment = {**os.environ, "HF_ENDPOINT": mirror.address, "HF_HOME": str(tmp_path / "hf")}
    both = [Record("Why?", "", "because"), Record("W", "i", "o")]
    for source, records, reason in (
        ("hub:owner/lines:test", both[1:], ""),
        ("hub:owner/table", both, ""),
        ("hub:owner/table:test", None, 'hub:owner/table:test: cannot be read: ValueError: Unknown split "test"'),
        ("hub:owner/none", None, "hub:owner/none: cannot be read: DatasetNotFoundError: Dataset 'owner/none' doesn't"),
    ):
        directory = tmp_path / source.replace("/", "-")
        command = [program, "shard", "import", source, str(directory), "--domain", "medical"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
        assert (done.returncode, directory.exists()) == ((0, True) if records else (11, False)), done.stderr
        assert reason in done.stderr
        if records:
            assert list(open_shard(directory).records()) == records


def test_without_the_library_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    result = shard("import", "hub:owner/set", tmp_path / "s", "--domain", "medical")
    assert "needs the package datasets; run: pip install 'fedlora[hub]'" in str(result.exception)


def test_exit_codes_and_the_text_on_stderr(tmp_path):
    program = str(Path(sys.executable).with_name("fedlora"))
    done = subprocess.run([program, "shard", "show", "none"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (11, "")
    assert done.stderr.startswith("error: none: is no folder; a shard folder is made with: fedlora shard import")
