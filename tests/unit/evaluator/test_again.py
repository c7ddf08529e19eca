"""The whole way on the command line: scoring, an entry of it, and checking that by judging and answering again."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from typer.testing import CliRunner

from evaluator.again import Again
from evaluator.results.answer import Answer
from evaluator.tasks.catalogue import TASKS
from fedlora.cli.main import application
from fedlora.errors import EntryError, EvaluationError
from fedlora.language_model import BaseModel
from fedlora.language_model.loading import load

OPTIONS = {"opa": "up", "opb": "down", "opc": "left", "opd": "right"}
ROWS = [{"id": f"q{n}", "question": f"Where to in case {n}?", "cop": n % 4, **OPTIONS} for n in range(12)]


def fedlora(*arguments):
    return CliRunner().invoke(application, list(map(str, arguments)), env={"COLUMNS": "100", "TERM": "dumb"})


@pytest.fixture(scope="module")
def entry(tiny_model, tmp_path_factory):
    """An entry whose items were answered by the tiny model."""
    folder = tmp_path_factory.mktemp("again")
    torch.manual_seed(1)
    base, _ = load(BaseModel("tiny", tiny_model), precision="fp32", compute="fp32")
    adapter = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(base, adapter).save_pretrained(folder / "adapter")
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    scored = fedlora(
        "benchmark", "run", folder / "results", "--set", f"medmcqa={folder / 'q.jsonl'}", "--adapter",
        folder / "adapter", "--base-model", tiny_model, "--base-precision", "fp32", "--limit", 8, "--format", "json",
    )  # fmt: skip
    assert scored.exit_code == 0, scored.exception
    accuracies = {of["of"]["adapter_sha256"] != "": of["scores"] for of in json.loads(scored.stdout)}
    assert {one["accuracy"]["n"] for scores in accuracies.values() for one in scores} == {8}
    assert fedlora("leaderboard", "keygen", folder / "keys").exit_code == 0
    made = fedlora(
        "leaderboard", "submit", folder / "entry", "--results", folder / "results" / "adapted", "--base-results",
        folder / "results" / "base", "--adapter", folder / "adapter", "--domain", "medical", "--title", "Tiny",
        "--submitter", "Nobody", "--key", folder / "keys" / "submitter.key",
    )  # fmt: skip
    assert made.exit_code == 0, made.exception
    return folder


def verify(folder, *options):
    return fedlora("leaderboard", "verify", folder / "entry", *options)


def test_the_model_answers_again_as_it_did(entry, tiny_model):
    found = verify(entry, "--set", f"medmcqa={entry / 'q.jsonl'}", "--rerun", "--base-model", tiny_model)
    assert found.exit_code == 0, found.stdout
    assert "it holds" in found.stdout


def test_without_its_items_nothing_can_be_answered_again(entry):
    found = verify(entry, "--rerun")
    assert isinstance(found.exception, EntryError)
    assert "name them with --set medmcqa=FILE" in found.stdout


def test_other_right_answers_than_the_items_have_are_found(entry, tmp_path):
    (tmp_path / "q.jsonl").write_text("".join(json.dumps({**row, "cop": 3 - row["cop"]}) + "\n" for row in ROWS))
    found = verify(entry, "--set", f"medmcqa={tmp_path / 'q.jsonl'}")
    assert isinstance(found.exception, EntryError)
    assert "8 answers are judged otherwise" in found.stdout


def test_answers_are_judged_by_their_texts_alone(entry, tmp_path):
    again = Again({"medmcqa": entry / "q.jsonl"}, tmp_path, lambda *_: None)
    lied = Answer("q1", gold="A", text="c", chosen="A", correct=True)
    assert again.judge("medmcqa", "flowertune", lied) == Answer("q1", gold="B", text="c", chosen="C", correct=False)
    likely = Answer("q1", gold="B", likelihoods={"A": -1.0, "B": -0.5, "C": -2.0, "D": -9.0}, chosen="A")
    assert again.judge("medmcqa", "likelihood", likely).chosen == "B"
    assert again.judge("tfns", "flowertune", lied) == lied
    with pytest.raises(EvaluationError, match="has no item 'x'"):
        again.judge("medmcqa", "flowertune", Answer("x"))


def test_what_stands_there_is_shown_with_all_of_two_models_and_as_a_matrix_of_more(entry, tmp_path):
    shown = fedlora("benchmark", "show", entry / "results")
    assert shown.exit_code == 0
    table, cut = shown.stdout.splitlines()[1:5], shown.stdout.splitlines()[5:]
    assert [line.split()[:2] for line in table] == [["medmcqa", "flowertune"], ["medmcqa", "likelihood"]] * 2
    assert [line.split(" did not fit")[0] for line in cut] == [
        f"{who}: 8 prompts of medmcqa by flowertune"
        for who in ("base", "adapted")  # a token is a byte
    ]
    for who in ("base", "round-0002", "round-0010"):
        shutil.copytree(entry / "results" / ("base" if who == "base" else "adapted"), tmp_path / who)
    matrix = fedlora("benchmark", "show", tmp_path).stdout.splitlines()
    assert matrix[0].split() == ["benchmark", "scoring", "items", "base", "round-0002", "round-0010"]
    assert [len(line.split()) for line in matrix[1:]] == [6, 6]
    nothing = fedlora("benchmark", "show", tmp_path / "base")
    assert isinstance(nothing.exception, EvaluationError)


def test_benchmarks_are_listed_as_a_table_and_as_json():
    listed = json.loads(fedlora("benchmark", "list", "--format", "json").stdout)
    assert [one["name"] for one in listed] == list(TASKS)
    rows = [line.split()[:2] for line in fedlora("benchmark", "list").stdout.splitlines()[1:]]
    assert rows == [[one["name"], one["domain"]] for one in listed]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["r", "--set", "mmlu"], "say NAME=FILE"),
        (["r", "--set", "mmlu=none.jsonl"], "there is no none.jsonl"),
        (["--set", "mmlu=."], "name a folder for the results, or a run"),
        (["r", "--set", "mmlu=.", "--every", "2"], "--every wants a run"),
        (["r", "--set", "mmlu=.", "--run", "a", "--adapter", "b"], "leave one of them out"),
    ],
)
def test_what_cannot_be_scored_is_told_before_anything_is_loaded(options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = fedlora("benchmark", "run", *options)
    assert said in str(refused.exception)
    assert not list(tmp_path.iterdir())
