"""`fedlora demo` as a user types it, with a tiny random model."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FEDLORA = str(Path(sys.executable).with_name("fedlora"))


def demo(*options: str, cwd: Path, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([FEDLORA, "demo", *options], cwd=cwd, capture_output=True, text=True, timeout=300, **kwargs)


@contextmanager
def demo_in_round_1(model: Path, folder: Path) -> Iterator[subprocess.Popen]:
    """A demo whose first round takes longer than any test; it ends with the test, however that ends."""
    options = ("--base-model", str(model), "--steps", "5000", "--workdir", "work")
    running = subprocess.Popen(
        [FEDLORA, "demo", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        for site in ("site-1", "site-2"):
            wait_for_file(folder / "work" / "logs" / f"{site}-trainer.log", "epoch 1: open")
        yield running
    finally:
        running.terminate()
        running.communicate(timeout=60)


def wait_for_file(file: Path, text: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not (file.exists() and text in file.read_text(errors="replace")):
        assert time.monotonic() < end, f"{text!r} is not in {file}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def report(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = demo(
        *("--base-model", str(tiny_model), "--domain", "code", "--steps", "2", "--rounds", "2", "--nodes", "3"),
        *("--format", "json", "--workdir", "work"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout), done.stderr


def test_stdout_is_one_json_document_and_nothing_else(report):
    _, document, progress = report
    assert sorted(document) == [*("adapter", "base_model", "domain", "evaluation", "payload_bytes", "rounds", "sites")]
    assert [(row["round"], row["state"]) for row in document["rounds"]] == [(1, "aggregated"), (2, "aggregated")]
    assert [site["outcome"] for row in document["rounds"] for site in row["sites"]] == ["answered"] * 6
    assert "round 2 of 2, site-3: answered" in progress


def test_the_scores_name_their_measure_and_n(report):
    scores = report[1]["evaluation"]
    for score in scores.values():
        assert (score["measure"], score["records"], score["unit"]) == ("token accuracy", 40, "tokens")
        assert score["n"] > 40
        assert 0 <= score["low"] <= score["accuracy"] <= score["high"] <= 1


def test_the_adapter_loads_with_peft_and_is_not_the_first_one(report, tiny_model):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    adapted = PeftModel.from_pretrained(model, report[1]["adapter"])
    learned = [value for name, value in adapted.named_parameters() if "lora_B" in name]
    assert len(learned) == 14
    assert all(torch.any(value != 0) for value in learned)


def test_only_the_runs_folder_is_kept(report):
    folder, document, _ = report
    assert [entry.name for entry in (folder / "work").iterdir()] == ["run"]
    assert document["adapter"] == str(folder / "work" / "run" / "checkpoints" / "round-0002")
    assert not list(folder.rglob("*.key"))


def test_no_process_is_left(report, no_strays):
    assert no_strays(report[0]) == []


def test_ctrl_c_stops_everything_and_says_where_the_logs_are(tiny_model, tmp_path, no_strays):
    with demo_in_round_1(tiny_model, tmp_path) as running:
        assert len(no_strays(tmp_path)) >= 9  # SuperLink, SuperExec, ServerApp; node, worker, trainer of two sites
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=60)
    assert running.returncode == 130
    assert f"stopped; the logs of all parts are in {tmp_path / 'work' / 'logs'}" in stderr
    assert no_strays(tmp_path) == []


def test_killed_with_9_it_leaves_no_orphan(tiny_model, tmp_path, no_strays):
    with demo_in_round_1(tiny_model, tmp_path) as running:
        running.kill()
        running.wait()
    end = time.monotonic() + 40
    while left := no_strays(tmp_path):
        assert time.monotonic() < end, left
        time.sleep(0.2)


def test_a_trainer_that_dies_is_named_with_the_end_of_its_log(tiny_model, tmp_path, no_strays):
    with demo_in_round_1(tiny_model, tmp_path) as running:
        of_site_2 = [line for line in no_strays(tmp_path) if "supernode.trainer" in line and "site-2" in line]
        watchdog, _ = sorted(int(line.split(":")[0]) for line in of_site_2)
        os.kill(watchdog, signal.SIGKILL)
        _, stderr = running.communicate(timeout=60)
    assert running.returncode == 30
    assert "error: site-2-trainer ended by signal SIGKILL. The end of" in stderr
    assert "| " in stderr
    assert "epoch 1: open" in stderr
    assert no_strays(tmp_path) == []


def test_a_port_in_use_is_named_before_anything_starts(tiny_model, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = demo("--base-model", str(tiny_model), "--port", str(port), "--workdir", "work", cwd=tmp_path)
    assert done.returncode == 32
    assert f"error: port {port} (SuperLink, gRPC) on 127.0.0.1 is in use" in done.stderr
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--train", "broken.jsonl"), 11, "broken.jsonl, line 2: is not JSON"),
        (("--train", "missing.jsonl"), 11, "missing.jsonl: cannot be read"),
        (("--train", "empty.csv"), 11, "empty.csv: holds 0 records"),
        (("--train", "field.jsonl"), 11, "field.jsonl, line 1: field 'output' is missing"),
        (("--train", "latin.csv"), 11, "latin.csv, line 2: byte 0xe9 is not UTF-8"),
        (("--base-model", "nowhere"), 12, "base model 'nowhere' is neither a folder, nor a hub id"),
        (("--base-model", "."), 12, "is not a base model: no config.json, no *.safetensors, no tokenizer"),
        (("--domain", "law"), 2, "'law' is not one of"),
    ],
)
def test_bad_input_ends_before_any_process_starts(tmp_path, options, code, message):
    (tmp_path / "broken.jsonl").write_text('{"instruction": "a", "output": "b"}\n{"instruction": \n')
    (tmp_path / "empty.csv").write_text("instruction,output\n")
    (tmp_path / "field.jsonl").write_text('{"instruction": "a"}\n')
    (tmp_path / "latin.csv").write_bytes("instruction,output\ncaf\u00e9,b\n".encode("latin-1"))
    done = demo(*options, cwd=tmp_path)
    assert done.returncode == code
    assert message in " ".join(done.stderr.split())
    assert not list(tmp_path.rglob("*.log"))
