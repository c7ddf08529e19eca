"""`fedlora node plan`: what a recipe takes, whether it fits, and what to change."""

import json

import pytest
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.errors import BaseModelError, ConfigurationError, UnfitSiteError
from fedlora.language_model import BaseModel
from fedlora.recipes import recipe as recipe_of
from fedlora.settings_file import write_settings
from supernode.needs import needs
from tests.unit.fedlora.node_doctor.conftest import RECIPE, write_trainer

SMALL = "program 415 MB, weights 0 MB, adapter 0 MB, activations"


def plan(*arguments):
    return CliRunner().invoke(application, ["node", "plan", *map(str, arguments)])


@pytest.fixture
def federation(site):
    """A federation's file with two sites, of which the second has a GPU, and little room for ranks."""
    values = {
        "name": "banks",
        "base-model": str(site / "model"),
        "coordinator": {"host": "superlink.example"},
        "site": [
            {"name": "a", "domain": "finance", "shard": "a", "resources": {"memory": 1000}},
            {
                "name": "b",
                "domain": "finance",
                "shard": "b",
                "resources": {"device": "cuda"},
                "policy": {"most-rank": 4, "recipes": ["finance/quick"]},
            },
        ],
        "recipe": [
            {"domain": "finance", "preset": "quick", "target-modules": ["q_proj"]},
            {"domain": "finance", "preset": "flowertune-paper", "target-modules": ["q_proj"]},
        ],
    }
    return write_settings(values, site / "federation.toml")


def test_a_site_that_has_room(site):
    result = plan(site, "--memory", 1000)
    assert result.exit_code == 0, result.exception
    assert result.stdout == (
        "site-1: cpu, 512 tokens at once, memory 1,049 MB (as given)\n"
        f"  fits      finance/quick: about 417 MB ({SMALL} 1 MB, logits 2 MB)\n"
    )


def test_what_there_is_is_looked_at(site):
    (found,) = json.loads(plan(site / "trainer.toml", "--format", "json").stdout)
    assert (found["site"], found["device"], found["of"]) == ("site-1", "cpu", "free on this machine")
    assert found["memory"] > 10**8
    (one,) = found["recipes"]
    assert (one["recipe"], one["fits"], one["needs"]["update"]) == ("finance/quick", True, 4 * 2 * 8 * 2)
    parts = ("program", "weights", "adapter", "activations", "logits")
    assert one["memory"] == sum(one["needs"][part] for part in parts)


def test_the_sites_of_a_federation(federation):
    result = plan(federation)
    assert result.exit_code == 0
    assert result.stdout == (
        "a: cpu, 512 tokens at once, memory 1,049 MB (resources.memory)\n"
        f"  fits      finance/quick: about 417 MB ({SMALL} 1 MB, logits 2 MB)\n"
        f"  fits      finance/flowertune-paper: about 418 MB ({SMALL} 1 MB, logits 2 MB)\n"
        "b: cuda, 512 tokens at once, memory unknown; say it with --memory\n"
        f"  takes     finance/quick: about 417 MB ({SMALL} 0 MB, logits 2 MB)\n"
    )
    assert plan(federation, "--site", "a").exit_code == 0


def test_what_the_sites_policy_does_not_train(site):
    paper = recipe_of("finance", "flowertune-paper", target_modules=("q_proj",))
    write_trainer(site, policy={"recipes": [paper], "most-rank": 4})
    result = plan(site, "--memory", 500)
    assert isinstance(result.exception, UnfitSiteError)
    assert result.stdout.splitlines()[1] == (
        "  refused   finance/flowertune-paper: recipe finance/flowertune-paper trains a DoRA adapter of rank 32, and "
        "this site at most rank 4; a DoRA adapter cannot be trained in part"
    )


def test_what_would_have_to_change(site):
    write_trainer(site, **{"tokens-at-once": 2**20})
    result = plan(site, "--memory", 500)
    assert isinstance(result.exception, UnfitSiteError)
    big, small = "activations 1,733 MB, logits 3,277 MB", "tokens-at-once = 16384 (site): about 493 MB\n"
    assert result.stdout == (
        "site-1: cpu, 1048576 tokens at once, memory 524 MB (as given)\n"
        f"  too much  finance/quick: about 5,425 MB (program 415 MB, weights 0 MB, adapter 0 MB, {big})\n"
        f"            {small}"
    )
    hopeless = plan(site, "--memory", 10).stdout.splitlines()[2:]
    assert hopeless == [
        "            tokens-at-once = 256 (site): about 416 MB, which is still too much",
        "            take a smaller base model or shorter records, or give it more memory",
    ]


def test_a_site_that_is_not_there_and_a_model_that_is_not(federation, site):
    assert str(plan(federation, "--site", "c").exception) == f"{federation} has no site 'c'; it has a, b"
    assert isinstance(plan(site / "nowhere").exception, ConfigurationError)
    (site / "model" / "config.json").write_text("{}")
    assert isinstance(plan(federation).exception, BaseModelError)


@pytest.mark.parametrize(
    ("changes", "part", "times"),
    [
        ({"base_precision": "fp32"}, "weights", 2),
        ({"base_precision": "int8"}, "weights", 0.5),
        ({"base_precision": "nf4"}, "weights", 0.28125),
        ({"compute_precision": "fp32"}, "weights", 2),
        ({"rank": 4}, "adapter", 2),
        ({"optimizer": "adamw-8bit"}, "adapter", 10 / 16),
        ({"proximal": 0.1}, "adapter", 20 / 16),
        ({"length": 1024}, "logits", 2),
    ],
)
def test_what_a_recipe_changes(site, changes, part, times):
    base = BaseModel("tiny", site / "model")
    usual = needs(base, RECIPE, 512)
    changed = needs(base, recipe_of("finance", "quick", **{"rank": 2, "target_modules": ("q_proj",), **changes}), 512)
    assert getattr(changed, part) == pytest.approx(times * getattr(usual, part), rel=0.01)


def test_a_lower_rank_takes_less_and_its_update_is_as_large(site):
    base = BaseModel("tiny", site / "model")
    whole, half = needs(base, RECIPE, 512), needs(base, RECIPE, 512, rank=1)
    assert (half.adapter, half.update) == (whole.adapter // 2, whole.update)
