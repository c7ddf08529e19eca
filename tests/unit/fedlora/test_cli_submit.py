"""`fedlora run submit`: what it writes down, and what it says of a run beforehand."""

import json

import pytest

from fedlora.errors import BaseModelError, BudgetError, ConfigurationError, RunError

EVERY_KEY = """
name = "test"
[coordinator]
host = "superlink.example"
runs = "."
[[site]]
name = "a"
domain = "code"
shard = "a"
[[site]]
name = "b"
domain = "medical"
shard = "b"
[[site]]
name = "c"
domain = "code"
shard = "c"
[[site]]
name = "elsewhere"
domain = "finance"
shard = "d"
[[recipe]]
domain = "finance"
[[recipe]]
domain = "code"
rounds = 7
factors = "b"
[run]
recipe = "code/default"
domains = ["code", "medical"]
seed = 4
deadline = 90.0
join-timeout = 45.0
absence = 30.0
min-sites = 2
fraction = 0.5
over-sampling = 1
required-domains = ["medical"]
upload-codec = "int4z"
broadcast-codec = "bf16"
extensions = 2
budget = "board"
budget-rounds = 9
budget-hours = 1.5
strategy = "fedadam"
server-learning-rate = 0.01
server-momentum = 0.8
server-beta-2 = 0.95
largest-update-norm = 30.0
"""


def test_every_key_reaches_the_run(run, folder, federation_file):
    federation_file.write_text(EVERY_KEY)
    result = run("submit", "tweets", "--ignore-forecast", "--format", "json")
    assert json.loads(result.stdout) == {"run": "tweets", "state": "queued", "sites": ["a", "b", "c"], "rounds": 7}
    config = folder.config(epoch=1).to_flower()
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
        "join-timeout": 45.0,
        "fraction": 0.5,
        "over-sampling": 1,
        "required-domains": "medical",
        "extensions": 2,
        "upload-codec": "int4z",
        "broadcast-codec": "bf16",
        "budget-bytes": 200_000_000_000,
        "budget-rounds": 9,
        "budget-seconds": 5400.0,
        "ignore-forecast": True,
        "strategy": "fedadam",
        "strategy-options": "server-learning-rate=0.01,server-momentum=0.8,server-beta-2=0.95,server-adaptivity=0.001",
        "factors": "b",
        "largest-update-norm": 30.0,
    }


def test_what_is_set_on_the_command_line_comes_before_the_file(run, folder):
    run("submit", "tweets", "--set", "recipe.finance.rounds=5", "--set", "run.budget=1.5")
    config = folder.config(epoch=1)
    assert (config.rounds, config.budget_bytes) == (5, 1_500_000)


@pytest.fixture
def forecast(run, tiny_model):
    """Ask for a forecast of three rounds on a tiny model."""
    own = (f"base-model={tiny_model}", "recipe.finance.rounds=3")
    settings = tuple(argument for setting in own for argument in ("--set", setting))
    return lambda *arguments: run("submit", "tweets", "--dry-run", *settings, *arguments)


def test_a_dry_run_says_what_would_be_sent_and_writes_nothing(forecast, folder):
    result = forecast("--set", "run.fraction=0.5", "--set", "run.budget=40")
    assert result.stdout.splitlines() == [
        "run tweets would take, if every site is asked once in each round:",
        "  adapter      17,408 values in 28 tensors: rank 16 on tiny-llama",
        "  a message    0.1 MB to a site in fp32, 0.1 MB from it in fp32",
        "  a round      0.1 MB: 1 of 2 sites, both directions",
        "  the run      0.4 MB: 3 rounds, 1.1% of the budget",
        "  memory       at most 0.5 MB of arrays at the coordinator",
        "Payload alone: envelopes, TLS and repeated messages come on top. Nothing was submitted.",
    ]
    assert not folder.directory.exists()


def test_a_dry_run_says_how_adapters_travel_and_what_is_a_bound(forecast):
    lines = forecast("--set", "run.upload-codec=int4z", "--set", "recipe.finance.rank=512").stdout.splitlines()
    assert lines[2:5] == [
        "  a message    2.2 MB to a site in fp32, 0.3 MB from it in int4z",
        "  a round      at most 5.0 MB: 2 of 2 sites, both directions",
        "  the run      at most 15.1 MB: 3 rounds",
    ]


def test_a_dry_run_as_one_json_document(forecast):
    document = json.loads(forecast("--format", "json").stdout)
    named = (document["run"], document["base_model"], document["sites"], document["rounds"])
    assert named == ("tweets", "tiny-llama", 2, 3)
    assert document["run_bytes"] == 3 * document["round_bytes"] == 12 * document["update_bytes"]


@pytest.mark.parametrize(
    ("setting", "error", "reason"),
    [
        ("run.budget=0.2", BudgetError, "0 bytes used + 3 rounds x"),
        ("base-model=nowhere", BaseModelError, "base model 'nowhere' is neither a folder"),
        ('run.required-domains=["code"]', ConfigurationError, "no site of 'code' takes part; there are: finance"),
        ("run.budget=much", ConfigurationError, "run.budget: 'much' is not a number of MB of at least 0"),
        ("run.budget=-1", ConfigurationError, "run.budget: -1"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(forecast, setting, error, reason):
    result = forecast("--set", setting)
    assert isinstance(result.exception, error)
    assert reason in str(result.exception)


def test_a_dry_run_of_a_name_that_exists_is_refused(run, forecast):
    run("submit", "tweets")
    result = forecast()
    assert isinstance(result.exception, RunError)
    assert "run tweets exists in" in str(result.exception)
