"""Benchmarks from the hub: a mirror of one on loopback, asked by the library `datasets` itself."""

import io
import json
import os
import subprocess
import sys
import types

import pyarrow
import pyarrow.parquet
import pytest
from evaluation_sets import PROGRAMS, REAL, real_file
from hub_mirror import running_mirror

from evaluator.results.answer import read_answers
from evaluator.tasks.catalogue import TASKS, task
from evaluator.tasks.item import CONVERTED
from evaluator.tasks.rows import quarter
from fedlora.cli.benchmark import hub
from fedlora.cli.benchmark.arguments import evaluation_sets, sets_of_domain
from fedlora.cli.benchmark.hub import PINNED, fetch
from fedlora.errors import EvaluationError

TWEETS, PHRASES = 2388, 4846  # of which ids are places: so any rows have the right ones
NEWS = [{"sentence": f"Profit {n}", "sentiment_score": (n - 6) / 6, "format": "post"} for n in range(12)]


def table(rows):
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), out)
    return out.getvalue()


def tweets(count):
    return "".join(["text,label\n", *(f"Shares {n} go up,{n % 3}\n" for n in range(count))]).encode()


@pytest.fixture
def mirror():
    with running_mirror() as mirror:
        yield mirror


@pytest.fixture
def fedlora(mirror, tmp_path):
    """Return a function that runs the command line with that hub and a cache of its own."""
    own = {"HF_ENDPOINT": mirror.address, "HF_HOME": str(tmp_path / "hf"), "FEDLORA_CACHE": str(tmp_path / "cache")}

    def call(*arguments):
        command = [sys.executable, "-m", "fedlora", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **own}, timeout=240)

    return call


def test_items_come_from_the_hub_by_name_and_revision(mirror, fedlora, tiny_model, tmp_path):
    files = {"train.csv": tweets(1), "validation.csv": tweets(TWEETS)}
    tfns = mirror.add("datasets", TASKS["tfns"].hub, {"sent_train.csv": files["train.csv"], "sent_valid.csv": b""})
    branch = mirror.add("datasets", TASKS["tfns"].hub, files, branch="mended")
    parts = {f"data/{name}-00000-of-00001.parquet": table(NEWS[at : at + 4]) for at, name in
             ((0, "train"), (4, "validation"), (8, "test"))}  # fmt: skip
    fiqa = mirror.add("datasets", TASKS["fiqa"].hub, parts)
    phrases = [{"sentence": f"Sales of {n}", "label": n % 3} for n in range(PHRASES)]
    folders = {"sentences_50agree/train/0000.parquet": table(phrases),
               "sentences_allagree/train/0000.parquet": table(phrases[:9])}  # fmt: skip
    fpb = mirror.add("datasets", TASKS["fpb"].hub, folders, branch=CONVERTED)
    command = ["benchmark", "run", tmp_path / "results", "--set", "tfns=hub:mended", "--set", "fiqa=hub", "--set",
               "fpb=hub", "--limit", 2, "--scoring", "likelihood", "--base-model", tiny_model]  # fmt: skip
    done = fedlora(*command)
    assert done.returncode == 0, done.stderr
    for name, commit in (("tfns", branch), ("fiqa", fiqa), ("fpb", fpb)):
        assert f"{name}: {TASKS[name].hub} at {commit}\n" in done.stderr
        answers = list(read_answers(tmp_path / "results" / "base" / name / "likelihood" / "answers.jsonl"))
        assert len(answers) == 2
    cached = {name: task(name).read(tmp_path / "cache" / "benchmarks" / f"{name}-{commit}.jsonl") for name, commit in
              (("tfns", branch), ("fiqa", fiqa), ("fpb", fpb))}  # fmt: skip
    assert [item.question for item in cached["fpb"]] == [row["sentence"] for _, row in quarter(phrases)]
    assert [item.question for item in cached["fiqa"]] == [row["sentence"] for _, row in quarter(NEWS)]
    assert len(cached["tfns"]) == TWEETS
    assert len(list((tmp_path / "cache" / "benchmarks").iterdir())) == 3
    before = len(mirror.seen)
    assert fedlora(*command[:3], "--set", f"tfns=hub:{branch}", *command[9:]).returncode == 0
    assert len(mirror.seen) == before  # a commit that is here is not asked for
    assert tfns != branch


def test_a_hub_that_lacks_it_or_has_other_items(mirror, fedlora, tmp_path):
    mirror.add("datasets", TASKS["tfns"].hub, {"validation.csv": tweets(7)})
    mirror.add("datasets", TASKS["medmcqa"].hub, {"train.csv": tweets(7)})
    for name, said in (
        ("tfns=hub", "has 7 items with other ids than the reference's set"),
        ("tfns=hub:old", "at revision old cannot be found on the hub: RevisionNotFoundError"),
        ("careqa=hub", "careqa: HPAI-BSC/CareQA at revision main cannot be found on the hub: RepositoryNotFoundError"),
        ("medmcqa=hub", 'medmcqa: openlifescienceai/medmcqa: cannot be read: ValueError: Unknown split "validation"'),
    ):
        done = fedlora("benchmark", "run", tmp_path / "results", "--set", name)
        assert done.returncode == 70, done.stderr
        assert said in done.stderr
    assert not (tmp_path / "results").exists()
    assert not list((tmp_path / "cache" / "benchmarks").iterdir())


@pytest.mark.real_data
@pytest.mark.parametrize("name", PINNED)
def test_the_real_sets_have_the_pinned_ids(real_data, tmp_path, monkeypatch, name):
    file = real_file(real_data, REAL[name][0], tmp_path) if name in REAL else real_data / PROGRAMS[name]
    rows = [(str(place), row) for place, row in enumerate(_as_on_the_hub(name, file))]
    monkeypatch.setenv("FEDLORA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "data_set_rows", lambda *_: iter(rows))
    assert len(task(name).read(fetch(task(name), "c" * 40))) > 100
    monkeypatch.setattr(hub, "data_set_rows", lambda *_: iter(rows[:100] + rows[101:]))
    with pytest.raises(EvaluationError, match="other ids"):
        fetch(task(name), "d" * 40)


def _as_on_the_hub(name, file):
    from evaluator.tasks.fpb import _lines
    from evaluator.tasks.rows import read_rows

    if name == "fpb":
        return _lines(file)
    if name == "pubmedqa":  # the hub's rows have no id
        wanted = json.loads(next(file.glob("*truth.json")).read_text())
        rows = [row for one in file.glob("*pqal*") for row in read_rows(one) if row["id"] in wanted]
        return [{key: value for key, value in row.items() if key != "id"} for row in rows]
    return read_rows(file)


def test_without_sets_the_domains_own_are_taken():
    assert sets_of_domain("finance") == ["fpb=hub", "fiqa=hub", "tfns=hub"]


def test_without_the_library_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EvaluationError, match=r"needs the package datasets; run: pip install 'fedlora\[hub\]'"):
        evaluation_sets(["tfns=hub"])
    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(EvaluationError, match=r"needs the package datasets.*or download a file of it elsewhere"):
        evaluation_sets([f"tfns=hub:{'e' * 40}"])
