"""`fedlora benchmark follow`: the service that scores the rounds of runs, killed in the middle and started again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest
from evaluation_sets import questions
from typer.testing import CliRunner

from evaluator.examination import Examination, examine
from evaluator.results.answer import read_answers
from fedlora.adapters.scores import benchmark_scores
from fedlora.cli.main import application
from fedlora.errors import ConfigurationError, EvaluationError
from superlink.run_config import RunConfig
from superlink.runs import RunFolder

ITEMS = 80
PLACES = ("medmcqa/flowertune", "medmcqa/likelihood")


def submitted(runs, name, **checkpoints):
    """Make a run that has failed, with these checkpoints."""
    folder = RunFolder(runs, name)
    folder.submit(RunConfig(name, 1, "a", "medical", 3, 7, 60.0, 1, 60.0, "r" * 64))
    folder.give_up("it is over")
    for number, adapter in checkpoints.items():
        shutil.copytree(adapter, folder.directory / "checkpoints" / number.replace("_", "-"))
    return folder


@contextmanager
def service(*arguments):
    """Run the service until it is killed behind the block; seen to have the lowest priority, it gets ours if it may."""
    command = [sys.executable, "-m", "fedlora", "benchmark", "follow", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == 19, process)
        with suppress(PermissionError):  # or beside other tests it would take minutes
            os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0))
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()


def until(holds, process):
    """Wait until something holds, as long as the process runs."""
    while not (found := holds()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    return found


@pytest.mark.timeout(300)
def test_killed_in_the_middle_it_goes_on_item_by_item_and_ends_with_the_same(model, adapter, foreign, tmp_path):
    (tmp_path / "sets").mkdir()
    file = questions(tmp_path / "sets" / "medmcqa.jsonl", ITEMS)
    run = submitted(tmp_path / "runs", "tweets", round_0001=adapter, round_0002=adapter)
    other = submitted(tmp_path / "runs", "zebra", round_0002=foreign)
    beat = tmp_path / "beat"
    command = (tmp_path / "sets", "--runs", tmp_path / "runs", "--base-model", model.directory, "--every", 2,
               "--base-precision", "fp32", "--threads", 1, "--heartbeat", beat)  # fmt: skip
    answers = run.benchmarks / "base" / PLACES[0] / "answers.jsonl"
    with service(*command) as process:
        until(lambda: answers.exists() and answers.read_bytes().count(b"\n"), process)
    line, *others = answers.read_bytes().splitlines(keepends=True)
    marked = json.dumps({**json.loads(line), "prompt-tokens": 4242}).encode() + b"\n"  # would be lost if asked again
    answers.write_bytes(b"".join([marked, *others]))
    first = answers.read_bytes()
    assert 0 < first.count(b"\n") < ITEMS
    assert not list(run.benchmarks.rglob("score.json"))
    assert beat.exists()
    with service(*command) as process:
        said = next(line for line in process.stderr if "zebra" in line)  # the other has all of its scores by then
    assert "run zebra is not scored: EvaluationError: the adapter" in said
    assert f"with the hash {'b' * 64}, not on " in said
    assert sorted(entry.name for entry in run.benchmarks.iterdir()) == ["base", "round-0002"]  # 1 is no second round
    whole = first[: first.rfind(b"\n") + 1]
    assert answers.read_bytes().startswith(whole)  # what was answered is not answered again
    alone = Examination({"medmcqa": file}, model, tmp_path / "alone", {"round-0002": adapter}, base_precision="fp32")
    scores = examine(alone, lambda *_: None)
    for who, ones in scores.items():
        for place, score in zip(PLACES, ones, strict=True):
            there, expected = (
                {one.id: (one.text, one.chosen) for one in read_answers(folder / who / place / "answers.jsonl")}
                for folder in (run.benchmarks, tmp_path / "alone")
            )
            assert there == expected
            shown = benchmark_scores(run.benchmarks)["base" if who == "base" else "adapted", place.replace("/", " by ")]
            assert shown == score.accuracy.value
    assert other.benchmarks.exists()  # of its base model alone


@pytest.mark.parametrize(
    ("names", "error", "said"),
    [
        ([], ConfigurationError, "holds no benchmark's items: put a file or folder there"),
        (["readme.md"], EvaluationError, "there is no benchmark 'readme'"),
        ([".hidden"], ConfigurationError, "holds no benchmark's items"),
        (["medmcqa.jsonl"], EvaluationError, "medmcqa.jsonl holds no item"),
    ],
)
def test_what_cannot_be_asked_is_named_before_a_run_comes(names, error, said, tmp_path, model, monkeypatch):
    monkeypatch.setattr(os, "nice", lambda _: 0)
    for name in names:
        (tmp_path / name).touch()
    command = ["benchmark", "follow", str(tmp_path), "--runs", str(tmp_path / "runs")]
    refused = CliRunner().invoke(application, [*command, "--base-model", str(model.directory)])
    assert isinstance(refused.exception, error)
    assert said in str(refused.exception)
