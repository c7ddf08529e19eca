"""`fedlora adapter show|diff|export` on checkpoints of a tiny spec; merging is in test_merging.py."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.errors import AdapterError, CheckpointError, ConfigurationError, RunError
from fedlora.recipes import recipe
from fedlora.wire import TensorSpec
from superlink.checkpoints import Checkpoints
from superlink.ledger import Ledger, TurnRow
from superlink.run_config import RunConfig
from superlink.runs import RunFolder
from tests.integration.stub_trainer import spec

NAME = "base_model.model.model.layers.{}.{}.lora_{}.weight"
SHAPES = {"A": (2, 3), "B": (3, 2)}
TENSORS = [
    TensorSpec(NAME.format(layer, kind, side), SHAPES[side])
    for layer in range(2)
    for kind in ("mlp.up_proj", "self_attn.q_proj")
    for side in "AB"
]
SPEC = dataclasses.replace(spec(), tensors=tuple(sorted(TENSORS, key=lambda tensor: tensor.name)))
QUICK = recipe("finance", "quick", rounds=3)
SCORE = {"measure": "label accuracy", "accuracy": 0.5, "n": 40, "unit": "records", "records": 40, "low": 0.3525}
SCORES = {
    "base": {**SCORE, "high": 0.6475, "majority": 0.6},
    "adapted": {**SCORE, "accuracy": 0.75, "low": 0.598, "high": 0.858, "majority": 0.6},
}


def adapter(*arguments):
    environment = {"COLUMNS": "100", "TERM": "dumb"}
    return CliRunner().invoke(application, ["adapter", *map(str, arguments)], env=environment)


def checkpoint(folder, value=1.0, of=SPEC, number=2):
    checkpoints = Checkpoints(folder)
    return checkpoints.place(checkpoints.prepare(number, 1, np.full(of.size, value, np.float32), of), number)


@pytest.fixture
def run(tmp_path):
    """A run of two aggregated rounds and one that was lost, with a checkpoint of the second."""
    folder = RunFolder(tmp_path / "runs", "tweets")
    values = {"domain": "finance", "rounds": 3, "seed": 0, "deadline": 60.0, "min_sites": 1, "join_timeout": 60.0}
    sites = "alpha-clinic,beta-bank"
    folder.submit(RunConfig(run="tweets", epoch=1, sites=sites, recipe_sha256=QUICK.sha256, **values), QUICK)
    ledger = Ledger(folder.ledger)
    for epoch in (1, 2):
        ledger.start_attempt(epoch, epoch)
        number = epoch
        ledger.start_round(number, epoch, ["alpha-clinic", "beta-bank"])
        ledger.sent(number, epoch, ["alpha-clinic", "beta-bank"], 2**20)
        ledger.end_turn(TurnRow(number, epoch, "alpha-clinic", "answered", examples=16, bytes_up=2**20))
        ledger.end_turn(TurnRow(number, epoch, "beta-bank", "answered", examples=24, bytes_up=2**20))
        ledger.end_round(number, epoch, "aggregated")
    ledger.start_round(3, 2, ["alpha-clinic"])
    ledger.sent(3, 2, ["alpha-clinic"], 2**20)
    ledger.end_turn(TurnRow(3, 2, "alpha-clinic", "answered", examples=1000))
    ledger.close()
    checkpoint(folder.directory / "checkpoints")
    return folder


def test_show_in_both_formats(tmp_path):
    folder = checkpoint(tmp_path)
    size = (folder / "adapter_model.safetensors").stat().st_size
    # A and B are ones: each has norm sqrt(6), and 8 / 2 * B @ A is 3 by 3 of eights.
    result = adapter("show", folder)
    assert [line.rstrip() for line in result.stdout.splitlines()] == [
        "base model     stub",
        f"SHA-256 of it  {'b' * 64}",
        "recipe         finance/quick",
        "kind           lora",
        "rank, alpha    2, 8",
        "modules        q_proj, up_proj",
        "parameters     48 in 8 tensors of F32",
        f"bytes          {size}",
        "checkpoint     round 2, epoch 1; all files are as written",
        "Euclidean norms",
        "",
        " kind of module  modules      A      B  change of the weight",
        " " + "\u2500" * 60,
        " up_proj               2  3.464  3.464                 33.94",
        " q_proj                2  3.464  3.464                 33.94",
        " all                   4  4.899  4.899                    48",
        "",
    ]
    document = json.loads(adapter("show", folder, "--format", "json").stdout)
    modules = document.pop("modules")
    assert [row["module"] for row in modules] == [
        f"model.layers.{layer}.{kind}" for layer in range(2) for kind in ("mlp.up_proj", "self_attn.q_proj")
    ]
    assert [row["delta"] for row in modules] == pytest.approx([24.0] * 4)
    assert document["checkpoint"] == {"round": 2, "epoch": 1, "changed": []}
    assert (document["parameters"], document["bytes"], document["base_model_sha256"]) == (48, size, "b" * 64)
    assert "model.layers.1.mlp.up_proj" in adapter("show", folder, "--each").stdout


def test_show_tells_of_damage(tmp_path):
    folder = checkpoint(tmp_path)
    (folder / "adapter_config.json").write_bytes((folder / "adapter_config.json").read_bytes() + b" ")
    assert "epoch 1; damaged: adapter_config.json is not what was written" in adapter("show", folder).stdout
    refused = adapter("export", folder, "--to", tmp_path / "x")
    assert isinstance(refused.exception, AdapterError)
    assert not (tmp_path / "x").exists()


def test_diff_in_both_formats(tmp_path):
    first, second = checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b", value=2.0)
    # Twice both factors is four times the change: three times as far away, in the same direction.
    lines = [line.split() for line in adapter("diff", first, second).stdout.splitlines()]
    assert lines[3:6] == [["up_proj", "3.0000", "1.0000"], ["q_proj", "3.0000", "1.0000"], ["all", "3.0000", "1.0000"]]
    document = json.loads(adapter("diff", first, second, "--format", "json").stdout)
    assert (document["first"], document["second"]) == (str(first), str(second))
    assert [document["relative_distance"], document["cosine"]] == pytest.approx([3.0, 1.0])
    assert len(document["modules"]) == 4
    assert " -" in adapter("diff", checkpoint(tmp_path / "zero", value=0.0), second).stdout
    other = checkpoint(tmp_path / "c", of=dataclasses.replace(SPEC, alpha=16))
    assert "cannot be compared: alpha 8.0 against 16.0" in str(adapter("diff", first, other).exception)


def exported(*arguments, to):
    result = adapter("export", *arguments, "--to", to)
    assert result.exit_code == 0, result.exception
    _, front, body = (to / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return result.stdout, yaml.safe_load(front), body


def test_an_export_of_a_run_tells_of_it(run, tmp_path):
    (run.directory / "scores.json").write_text(json.dumps(SCORES))
    said, front, body = exported("--run", "tweets", "--runs", run.runs, to=tmp_path / "x")
    assert said == f"adapter of 48 values for stub in {tmp_path}/x; README.md tells of it\n"
    assert front == {
        "base_model": "stub",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["federated-learning", "fedlora", "lora"],
    }
    assert body.splitlines()[1:29] == [
        "# LoRA adapter for stub",
        "",
        "Trained by federated learning for the domain finance: 2 sites trained on records of their own, and only "
        "adapters were exchanged.",
        "",
        "|  |  |",
        "| --- | --- |",
        "| base model | stub |",
        f"| SHA-256 of the base model | `{'b' * 64}` |",
        f"| SHA-256 of its tokenizer | `{'t' * 64}` |",
        f"| recipe | finance/quick, SHA-256 `{'r' * 64}` |",
        f"| made with | fedlora {SPEC.kit_version} |",
        "| kind, rank, alpha | LoRA, 2, 8 |",
        "| adapted modules | q_proj, up_proj |",
        "| parameters | 48 |",
        "| run | tweets |",
        "| strategy | fedavg |",
        "| rounds | 2 |",
        "| sites | 2 |",
        "| records trained on, each counted once a round | 80 |",
        "| payload, both directions | 9,437,184 bytes (9.0 MiB) |",
        "",
        "## Scores",
        "",
        "|  | label accuracy on 40 held-out records, n = 40 records | 95 % interval |",
        "| --- | --- | --- |",
        "| always the most frequent label | 60.0% |  |",
        "| base model | 50.0% | 35.2% to 64.8% |",
        "| with this adapter | 75.0% | 59.8% to 85.8% |",
    ]
    assert "```\nInstruction: what is asked\nInput: what it is asked about\nAnswer:\n```" in body
    table = body.partition("## Training\n\n")[2].splitlines()
    assert table[2:6] == ["| domain | finance |", "| preset | quick |", "| rounds | 3 |", "| steps | 20 |"]
    assert '| target-modules | \\["all-linear"\\] |' in table
    assert "| end-of-text | true |" in table
    assert "did not leave their owners" in body
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o755


def test_weights_by_shards_are_not_called_training(run, tmp_path):
    file, of = run.directory / "run.json", recipe("finance", "quick", rounds=3, weight="shard")
    text = file.read_text().replace('"weight": "trained"', '"weight": "shard"').replace(QUICK.sha256, of.sha256)
    file.write_text(text)
    _, _, body = exported("--run", "tweets", "--runs", run.runs, to=tmp_path / "x")
    assert "| records of the shards, each counted once a round | 80 |" in body


def test_rounds_after_the_checkpoint_are_not_the_adapters(run, tmp_path):
    ledger = Ledger(run.ledger)
    ledger.end_round(3, 2, "aggregated")
    ledger.close()
    _, _, body = exported("--run", "tweets", "--runs", run.runs, to=tmp_path / "x")
    assert "| rounds | 2 |" in body
    assert "once a round | 80 |" in body


def test_sites_are_named_only_if_asked_for(run, tmp_path):
    arguments = ("--run", "tweets", "--runs", run.runs)
    exported(*arguments, to=tmp_path / "x")
    everything = b"".join(file.read_bytes() for file in (tmp_path / "x").iterdir())
    assert b"clinic" not in everything
    assert b"bank" not in everything
    _, _, body = exported(*arguments, "--name-sites", to=tmp_path / "y")
    assert "| sites | 2: alpha-clinic, beta-bank |" in body


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    for name in ("x", "y"):
        exported("--run", "tweets", "--runs", run.runs, to=tmp_path / name)
    hashes = [
        {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (tmp_path / name).iterdir()}
        for name in ("x", "y")
    ]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/somebody/models/my-llm", "my-llm"),
        ('owner/a"b\\c', 'owner/a"b\\c'),
        ("a\n---\nlicense: mit", "a --- license: mit"),
        ("no: yes", "no: yes"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_a_base_models_name_is_one_text_without_a_path(tmp_path, name, shown):
    folder = checkpoint(tmp_path)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": name}))
    for file in ("checkpoint.json", "spec.json"):
        (folder / file).unlink()
    _, front, body = exported(folder, to=tmp_path / "x")
    assert front["base_model"] == shown
    assert f"base_model = {json.dumps(shown, ensure_ascii=False)}\n" in body
    assert "did not leave their owners" not in body  # nobody has said so
    assert b"somebody" not in b"".join(file.read_bytes() for file in (tmp_path / "x").iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ((), ConfigurationError, "give the folder of an adapter, or --run NAME, and not both"),
        (("x", "--run", "tweets"), ConfigurationError, "and not both"),
        (("none",), AdapterError, "none is no adapter: no adapter_config.json, no adapter_model.safetensors"),
        (("--run", "none"), CheckpointError, "there is no checkpoint in"),
        (("--run", "tweets", "--scores", "none.json"), AdapterError, "the scores none.json cannot be read"),
        (("--run", "tweets", "--scores", "wrong.json"), AdapterError, "wrong.json holds no scores of the evaluator"),
    ],
)
def test_what_cannot_be_exported_is_named_and_leaves_nothing(run, tmp_path, monkeypatch, arguments, error, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.json").write_text(json.dumps({"base": {**SCORES["base"], "n": "many"}}))
    result = adapter("export", *arguments, "--runs", run.runs, "--to", "to")
    assert isinstance(result.exception, error), result.exception
    assert reason in str(result.exception)
    assert not (tmp_path / "to").exists()


def test_a_folder_in_the_way_stays(run, tmp_path):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "theirs").touch()
    result = adapter("export", "--run", "tweets", "--runs", run.runs, "--to", tmp_path / "to")
    assert f"{tmp_path}/to is not empty, and is not overwritten; name another folder" in str(result.exception)
    assert [file.name for file in (tmp_path / "to").iterdir()] == ["theirs"]


def test_a_recipe_that_is_not_the_runs_is_no_fact_of_it(run, tmp_path):
    file = run.directory / "run.json"
    file.write_text(file.read_text().replace('"rank": 16', '"rank": 8'))
    refused = adapter("export", "--run", "tweets", "--runs", run.runs, "--to", tmp_path / "x")
    assert isinstance(refused.exception, RunError)
    assert "the recipe's values are not those of its hash" in str(refused.exception)
