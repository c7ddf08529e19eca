"""`fedlora run submit`: what it writes down, and what it says of a run beforehand."""

import json

import pytest
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.errors import BaseModelError, BudgetError, ConfigurationError, RunError
from superlink.runs import RunFolder


@pytest.fixture
def submit(tmp_path):
    def call(*arguments: str):
        return CliRunner().invoke(
            application, ["run", "submit", "tweets", *arguments, "--runs", str(tmp_path / "runs")], env={"TERM": "dumb"}
        )

    return call


def test_every_option_reaches_the_run(submit, tmp_path):
    result = submit(
        *("--sites", "a,b:medical,c", "--domain", "code", "--rounds", "7", "--steps", "5", "--deadline", "90"),
        *("--absence", "30", "--min-sites", "2", "--fraction", "0.5", "--over-sampling", "1"),
        *("--require-domains", "medical", "--extensions", "2", "--budget", "board", "--budget-rounds", "9"),
        *("--budget-hours", "1.5", "--ignore-forecast", "--seed", "4", "--format", "json"),
    )
    assert json.loads(result.stdout) == {"run": "tweets", "state": "queued", "sites": ["a", "b", "c"], "rounds": 7}
    config = RunFolder(tmp_path / "runs", "tweets").config(epoch=1).to_flower()
    assert config.pop("recipe-sha256")
    assert config == {
        "run": "tweets",
        "epoch": 1,
        "sites": "a,b:medical,c",
        "domain": "code",
        "rounds": 7,
        "seed": 4,
        "deadline": 90.0,
        "absence": 30.0,
        "min-sites": 2,
        "join-timeout": 600.0,
        "fraction": 0.5,
        "over-sampling": 1,
        "required-domains": "medical",
        "extensions": 2,
        "budget-bytes": 200_000_000_000,
        "budget-rounds": 9,
        "budget-seconds": 5400.0,
        "ignore-forecast": True,
    }


def test_a_dry_run_says_what_would_be_sent_and_writes_nothing(submit, tiny_model, tmp_path):
    result = submit(
        "--sites", "a,b,c", "--fraction", "0.5", "--budget", "40", "--dry-run", "--base-model", str(tiny_model)
    )
    assert result.stdout.splitlines() == [
        "run tweets would take, if every site is asked once in each round:",
        "  adapter      17,408 values in 28 tensors: rank 16 on tiny-llama",
        "  a message    0.1 MB, to a site or from it",
        "  a round      0.3 MB: 2 of 3 sites, both directions",
        "  the run      0.8 MB: 3 rounds, 2.1% of the budget",
        "  memory       at most 0.6 MB of arrays at the coordinator",
        "Payload alone: envelopes, TLS and repeated messages come on top. Nothing was submitted.",
    ]
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_as_one_json_document(submit, tiny_model):
    result = submit("--sites", "a,b", "--dry-run", "--base-model", str(tiny_model), "--format", "json")
    document = json.loads(result.stdout)
    assert (document["run"], document["base_model"], document["sites"], document["rounds"]) == (
        "tweets",
        "tiny-llama",
        2,
        3,
    )
    assert document["run_bytes"] == 3 * document["round_bytes"] == 12 * document["message_bytes"]


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        (("--budget", "0.2"), BudgetError, "0 bytes used + 3 rounds x"),
        (("--base-model", "nowhere"), BaseModelError, "base model 'nowhere' is neither a folder"),
        (("--require-domains", "code"), ConfigurationError, "required-domains names code, which none of the sites"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(submit, tiny_model, arguments, error, reason):
    result = submit("--sites", "a,b", "--dry-run", "--base-model", str(tiny_model), *arguments)
    assert isinstance(result.exception, error)
    assert reason in str(result.exception)


def test_a_dry_run_of_a_name_that_exists_is_refused(submit, tiny_model):
    submit("--sites", "a")
    result = submit("--sites", "a", "--dry-run", "--base-model", str(tiny_model))
    assert isinstance(result.exception, RunError)
    assert "run tweets exists in" in str(result.exception)


@pytest.mark.parametrize("budget", ["much", "-1", "nan", "inf"])
def test_a_budget_that_is_none_is_named(submit, budget):
    result = submit("--sites", "a", f"--budget={budget}")
    assert result.exit_code == 2
    assert f"Invalid value for --budget: '{budget}' is neither a number of MB" in result.output


def test_a_base_model_without_a_dry_run_is_refused_instead_of_ignored(submit, tmp_path):
    result = submit("--sites", "a", "--base-model", "some/model")
    assert result.exit_code == 2
    assert "Invalid value for --base-model: it only serves --dry-run" in result.output
    assert not (tmp_path / "runs").exists()
