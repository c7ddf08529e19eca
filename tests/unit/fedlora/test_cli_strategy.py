import json

import pytest
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.errors import ConfigurationError
from fedlora.strategies import STRATEGIES


def run(*arguments: str) -> str:
    done = CliRunner().invoke(application, ["strategy", *arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_all_strategies_are_listed():
    lines = run("list").splitlines()
    assert lines[0] == "strategy     mean product      memory  sent back                       mixed ranks  adapters"
    assert (
        lines[1]
        == "fedavg       another one       O(1)    A and B                         yes          lora rslora dora"
    )
    assert lines[12:] == [
        "rolora       exact             O(1)    B in odd rounds, A in even ones yes          lora rslora dora",
        "flexlora     best of its rank  O(N)    A and B                         yes          lora rslora",
    ]
    listed = json.loads(run("list", "--format", "json"))
    assert [one["name"] for one in listed] == list(STRATEGIES)
    assert listed[8] == {
        "name": "krum",
        "summary": "The one update that is nearest to most others.",
        "paper": "Blanchard et al. 2017, NeurIPS, Machine Learning with Adversaries",
        "product": "not a mean",
        "memory": "O(N)",
        "streaming": False,
        "up": "A and B",
        "down": "A and B",
        "weighs-by": "each alike",
        "mixed-ranks": False,
        "adapters": ["lora", "rslora", "dora"],
        "fewest-updates": 5,
        "options": {"byzantine": 1},
        "needs": {"factors": 'set factors = "both" or "b" in the recipe, or take another strategy'},
        "notes": [
            "Weighs all updates alike, as the paper does: who claims many records gains nothing.",
            "The adapter is then that of the chosen site.",
        ],
    }


def test_a_strategy_is_shown_with_what_to_write_into_the_file():
    assert run("show", "fedprox").splitlines() == [
        "fedprox: FedAvg, whose sites are held near the round's adapter by a term in their loss.",
        "Li et al. 2020, arXiv 1812.06127, algorithm 2",
        "",
        "product         another one",
        "memory          O(1)",
        "streaming       yes",
        "up              A and B",
        "down            A and B",
        "weighs-by       records",
        "mixed-ranks     yes",
        "adapters        lora, rslora, dora",
        "fewest-updates  1",
        "",
        "Sites add proximal / 2 times the squared distance to the round's adapter to their loss.",
        "",
        "In federation.toml:",
        "",
        "[run]",
        'strategy = "fedprox"',
        "",
        "[[recipe]]  # the one that the run trains",
        "proximal = 0.01",
    ]
    assert json.loads(run("show", "fedprox", "--format", "json"))["needs"].keys() == {"factors", "proximal"}


def test_a_strategy_that_is_not_there_is_named():
    with pytest.raises(ConfigurationError, match=r"'fedyogy' is not a strategy: did you mean 'fedyogi'\?"):
        run("show", "fedyogy")
    with pytest.raises(ConfigurationError, match="'x' is not a strategy: see fedlora strategy list"):
        run("show", "x")
