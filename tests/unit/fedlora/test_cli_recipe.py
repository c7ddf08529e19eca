import json

import pytest
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.errors import ConfigurationError
from fedlora.recipes import recipe


def run(*arguments: str) -> str:
    done = CliRunner().invoke(application, ["recipe", *arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_all_recipes_are_listed():
    lines = run("list").splitlines()
    assert lines[5] == "recipe                       rounds  a round  adapter     base  benchmark's clients"
    assert "finance/flowertune              200  10 x 16  lora r32    fp4   5 of 50" in lines
    assert "finance/flowertune-paper         15  10 x 16  dora r32    fp4   10 of 50" in lines
    listed = json.loads(run("list", "--format", "json"))
    assert len(listed) == len(lines) - 6 == 16
    assert listed[1] == {
        "name": "finance/default",
        "summary": "The benchmark's recipe with its faults mended: what to begin with.",
        "rounds": 200,
        "steps": 10,
        "batch": 16,
        "adapter": "lora",
        "rank": 32,
        "base-precision": "fp4",
        "benchmark": {"clients": 50, "fraction": 0.1, "a_round": 5},
    }


def test_a_recipe_is_shown_with_its_reasons():
    shown = run("show", "finance/default")
    assert shown.startswith(
        "finance/default: The benchmark's recipe with its faults mended: what to begin with.\n"
        "The benchmark trains it on flwrlabs/fingpt-sentiment-train (about 76,800 rows) in 50 parts, 5 of them a "
        "round.\n"
        '\ndomain = "finance"\npreset = "default"\nrounds = 200\n'
    )
    assert "\nend-of-text = true  # the reference never shows the end of an answer, " in shown
    assert '\nquestion = "both"\n' in shown  # as the reference's in this domain, so that no reason stands there
    about = json.loads(run("show", "finance/default", "--format", "json"))
    assert about["sha256"] == recipe("finance").sha256
    assert about["values"]["target-modules"] == ["default"]
    assert set(about["reasons"]) == {"compute-precision", "end-of-text", "records", "weight"}


def test_two_recipes_are_told_apart():
    assert run("diff", "code/flowertune", "code/flowertune-paper").splitlines()[:6] == [
        "rounds: 200 -> 15",
        "    as the paper",
        'adapter: "lora" -> "dora"',
        "    as the paper",
        'target-modules: ["default"] -> ["all-linear"]',
        "    as the paper, which lists the modules of each base model",
    ]
    found = json.loads(run("diff", "medical/flowertune", "medical/default", "--format", "json"))
    assert [(one["key"], one["values"]) for one in found["differences"]] == [
        ("compute-precision", ["fp32", "bf16"]),
        ("end-of-text", [False, True]),
        ("records", ["same", "next"]),
        ("weight", ["shard", "trained"]),
    ]
    same = "code/flowertune-paper and code/flowertune-paper differ in nothing but their names\n"
    assert run("diff", "code/flowertune-paper", "code/flowertune-paper") == same


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="'finance/flowertun' is not a recipe: did you mean"):
        run("show", "finance/flowertun")
