"""What `fedlora benchmark run` does with what cannot be asked, or does not fit: names it, or counts it."""

import json

import pytest
from evaluation_sets import questions
from typer.testing import CliRunner

from evaluator.results.score import TaskScore, share
from fedlora.cli.benchmark.table import _means
from fedlora.cli.main import application
from fedlora.errors import EvaluationError

EXAM = {"id": "a", "question": "Where to?", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": 1}
CODE = {"task_id": "HumanEval/0", "prompt": "def f():", "entry_point": "f", "test": "def check(f): pass"}


def fedlora(*arguments):
    return CliRunner().invoke(application, list(map(str, arguments)), env={"COLUMNS": "100", "TERM": "dumb"})


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("medmcqa", [EXAM, {**EXAM, "id": "b", "opc": None}], "item 'b' lacks a choice: ('w', 'x', '', 'z')"),
        ("medmcqa", [EXAM, {**EXAM, "id": "b", "opd": "  "}], "item 'b' lacks a choice"),
        ("medmcqa", [EXAM, {**EXAM, "id": "b", "cop": 7}], "the answer '7' of item 'b' is not one of ('A', 'B', 'C'"),
        ("tfns", [{"text": "up", "label": "up"}], "the answer 'up' of item '0' is not one of ('negative', 'neutral'"),
        ("medmcqa", [EXAM, {**EXAM, "question": "Why?"}], "the item 'a' stands there twice"),
        ("humaneval", [CODE, CODE], "the item 'HumanEval/0' stands there twice"),
        ("medmcqa", [EXAM, {"id": "b"}], "lacks cop; it has id"),
        ("medmcqa", [], "holds no item"),
        ("humaneval", [{**CODE, "prompt": " "}], "item 'HumanEval/0' has an empty prompt"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name_before_anything_is_answered(name, rows, said, model, tmp_path):
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("benchmark", "run", tmp_path / "results", "--set", f"{name}={tmp_path / 'items.jsonl'}")
    refused = fedlora(*command, "--base-model", model.directory)
    assert isinstance(refused.exception, EvaluationError)
    assert said in str(refused.exception)
    assert str(tmp_path / "items.jsonl") in str(refused.exception)
    assert not (tmp_path / "results").exists()


def test_an_adapter_for_another_base_model_is_refused_before_anything_is_answered(model, foreign, tmp_path):
    file = questions(tmp_path / "q.jsonl", 3)
    command = ("benchmark", "run", tmp_path / "results", "--set", f"medmcqa={file}", "--base-model", model.directory)
    refused = fedlora(*command, "--adapter", foreign)
    assert isinstance(refused.exception, EvaluationError)
    assert f"with the hash {'b' * 64}, not on " in str(refused.exception)
    assert not list((tmp_path / "results").rglob("answers.jsonl"))


def test_a_prompt_beyond_the_models_context_is_answered_and_counted(tiny_model, tmp_path):
    long = {**EXAM, "id": "long", "question": "Where to " * 100}  # a token is a byte, and the model has 512
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (long, {**EXAM, "opa": "v"})))
    command = ("benchmark", "run", tmp_path / "results", "--set", f"medmcqa={tmp_path / 'q.jsonl'}", "--scoring",
               "likelihood", "--base-model", tiny_model, "--base-precision", "fp32")  # fmt: skip
    done = fedlora(*command)
    assert done.exit_code == 0, done.exception
    said = "base: 1 prompts of medmcqa by likelihood did not fit the model's context, and lost their beginning"
    assert said in done.stdout.splitlines()
    ((scored,),) = (one["scores"] for one in json.loads(fedlora(*command, "--format", "json").stdout))
    assert (scored["accuracy"]["n"], scored["cut"]) == (2, 1)


def test_mmlus_domain_score_counts_three_groups():
    groups = {"stem": share(10, 100), "social-sciences": share(20, 100), "humanities": share(30, 100)}
    whole = TaskScore("mmlu", "likelihood", share(150, 400), 0.0, 0, "i" * 64, {**groups, "other": share(90, 100)})
    ((title, scoring, found),) = _means([whole])
    assert (title, scoring, found.n, found.value) == ("general NLP, mean", "likelihood", 300, pytest.approx(0.2))
    part = TaskScore("mmlu", "likelihood", share(30, 200), 0.0, 0, "i" * 64, dict(list(groups.items())[:2]))
    assert not list(_means([part]))  # no mean of what is not there
