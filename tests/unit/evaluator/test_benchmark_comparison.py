"""What federating gained: a run of all sites beside one of a single site, on the same items, in pairs."""

import itertools
import json
import shutil

import pytest
import torch
from evaluation_sets import questions
from peft import LoraConfig, get_peft_model
from typer.testing import CliRunner

from evaluator.results.answer import read_answers
from evaluator.results.score import mcnemar
from fedlora.cli.main import application
from fedlora.errors import ConfigurationError
from fedlora.language_model.loading import load
from superlink.runs import RunFolder

FEDERATION = """
name = "test"
[coordinator]
host = "superlink.example"
runs = "runs"
[[site]]
name = "a"
domain = "medical"
shard = "a"
[[site]]
name = "b"
domain = "medical"
shard = "b"
[[site]]
name = "elsewhere"
domain = "code"
shard = "c"
[[recipe]]
domain = "medical"
[run]
min-sites = 1
"""


def fedlora(*arguments):
    return CliRunner().invoke(application, list(map(str, arguments)), env={"COLUMNS": "100", "TERM": "dumb"})


def another(model, folder, seed):
    """Make an adapter."""
    base, _ = load(model, precision="fp32", compute="fp32")
    torch.manual_seed(seed)
    get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)).save_pretrained(folder)


@pytest.fixture(scope="module")
def scored(model, tmp_path_factory):
    """A folder of runs in which a run of two sites and one of a site alone were scored."""
    folder = tmp_path_factory.mktemp("federated")
    (folder / "federation.toml").write_text(FEDERATION)
    file = questions(folder / "q.jsonl", 40)
    for seed, (name, *options) in enumerate((("together",), ("alone", "--site", "a"))):
        done = fedlora("run", "submit", name, folder / "federation.toml", *options)
        assert done.exit_code == 0, done.exception
        run = RunFolder(folder / "runs", name)
        another(model, run.directory / "checkpoints" / "round-0003", seed)
        done = fedlora(
            "benchmark", "run", "--run", name, "--runs", folder / "runs", "--set", f"medmcqa={file}", "--scoring",
            "likelihood", "--base-model", model.directory, "--base-precision", "fp32",
        )  # fmt: skip
        assert done.exit_code == 0, done.exception
    return folder / "runs"


def test_a_site_alone_is_a_run_of_one_site(scored):
    sites = {name: RunFolder(scored, name).config(1).site_names for name in ("together", "alone")}
    assert sites == {"together": ("a", "b"), "alone": ("a",)}
    assert RunFolder(scored, "alone").recipe == RunFolder(scored, "together").recipe


def test_a_site_that_takes_no_part_is_named(scored):
    for name in ("elsewhere", "nobody"):
        refused = fedlora("run", "submit", "other", scored.parent / "federation.toml", "--site", name)
        assert isinstance(refused.exception, ConfigurationError)
        assert str(refused.exception).startswith(f"--site {name}: no site of that name takes part in this run; there")
    assert not (scored / "other").exists()


def test_models_are_compared_in_pairs_on_the_same_items(scored):
    folders = {name: scored / name / "benchmarks" for name in ("together", "alone")}
    shown = json.loads(fedlora("benchmark", "show", *folders.values(), "--format", "json").stdout)
    names = ["base", *map(str, folders.values())]
    assert [one["name"] for one in shown["models"]] == names  # the base model once
    answers = {
        str(path): list(read_answers(path / who / "medmcqa" / "likelihood" / "answers.jsonl"))
        for path, who in ((folders["together"], "adapted"), (folders["alone"], "adapted"))
    }
    answers["base"] = list(read_answers(folders["together"] / "base" / "medmcqa" / "likelihood" / "answers.jsonl"))
    assert [(pair["first"], pair["second"]) for pair in shown["pairs"]] == list(itertools.combinations(names, 2))
    right = {name: {one.id for one in ones if one.correct} for name, ones in answers.items()}
    assert len({frozenset(ones) for ones in right.values()}) > 1
    for pair in shown["pairs"]:
        first, second = pair["first"], pair["second"]
        assert pair["paired"]["n"] == 40
        assert pair["paired"]["first_only"] == len(right[first] - right[second])
        assert pair["paired"]["second_only"] == len(right[second] - right[first])
        assert pair["paired"]["p"] == pytest.approx(mcnemar(answers[first], answers[second]))
    table = fedlora("benchmark", "show", *folders.values()).stdout.splitlines()
    blank = table.index("")
    assert [line.split()[:3] for line in table[1:blank]] == [["medmcqa", "likelihood", name] for name in names]
    assert [line.split()[2:4] for line in table[blank + 2 :]] == [list(two) for two in itertools.combinations(names, 2)]


def test_other_items_are_not_compared(scored, tmp_path):
    one = shutil.copytree(scored / "alone" / "benchmarks" / "adapted", tmp_path / "one")
    answers = one / "medmcqa" / "likelihood" / "answers.jsonl"
    answers.write_text("".join(answers.read_text().splitlines(keepends=True)[:-1]))
    shown = json.loads(
        fedlora("benchmark", "show", one, scored / "alone" / "benchmarks", "--format", "json").stdout
    )  # a folder of one model, and one with its base model
    pairs = {(pair["first"], pair["second"]): pair["paired"] for pair in shown["pairs"]}
    assert [paired is None for paired in pairs.values()] == [True, True, False]
    table = fedlora("benchmark", "show", one, scored / "alone" / "benchmarks").stdout
    assert table.count("asked other items") == 2


def test_the_newest_round_stands_for_a_run(scored, tmp_path):
    for name in ("base", "round-0009", "round-0010", "round-10000"):
        source = "base" if name == "base" else "adapted"
        shutil.copytree(scored / "alone" / "benchmarks" / source, tmp_path / "rounds" / name)
    shown = json.loads(
        fedlora("benchmark", "show", tmp_path / "rounds", scored / "together" / "benchmarks", "--format", "json").stdout
    )
    assert [one["folder"].rpartition("/")[2] for one in shown["models"]] == ["base", "round-10000", "adapted"]
