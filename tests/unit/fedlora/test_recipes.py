import dataclasses

import pytest

from fedlora.domains import DOMAINS
from fedlora.errors import ConfigurationError
from fedlora.recipes import CHALLENGES, PRESETS, Recipe, differences, recipe, recipe_named

# What the board's app of April 2026 sets in all four folders.
FLOWERTUNE = {
    "rounds": 200,
    "steps": 10,
    "batch": 16,
    "length": 512,
    "learning_rate": 5e-5,
    "final_learning_rate": 1e-6,
    "schedule": "cosine",
    "optimizer": "adamw",
    "optimizer_state": "reset",
    "weight_decay": 0.0,
    "adapter": "lora",
    "rank": 32,
    "alpha": 64,
    "dropout": 0.075,
    "target_modules": ("default",),
    "base_precision": "fp4",
    "compute_precision": "fp32",
    "template": "alpaca",
    "end_of_text": False,
    "records": "same",
    "weight": "shard",
    "proximal": 0.0,
    "factors": "both",
}
QUESTIONS = {"general-nlp": "instruction", "finance": "both", "medical": "input", "code": "both"}


def values(of: Recipe) -> dict[str, object]:
    return {name: value for name, value in dataclasses.asdict(of).items() if name not in ("domain", "preset")}


@pytest.mark.parametrize("domain", DOMAINS)
def test_flowertune_is_the_boards(domain):
    assert values(recipe(domain, "flowertune")) == {**FLOWERTUNE, "question": QUESTIONS[domain]}


@pytest.mark.parametrize("domain", DOMAINS)
def test_flowertune_paper_is_the_papers(domain):
    changes = {"rounds": 15, "adapter": "dora", "target_modules": ("all-linear",), "compute_precision": "bf16"}
    assert values(recipe(domain, "flowertune-paper")) == {**FLOWERTUNE, **changes, "question": "both"}


@pytest.mark.parametrize("domain", DOMAINS)
def test_default_differs_only_where_the_reference_is_at_fault(domain):
    changes = {"compute_precision": "bf16", "end_of_text": True, "records": "next", "weight": "trained"}
    question = "input" if domain == "medical" else "both"
    assert values(recipe(domain)) == {**FLOWERTUNE, **changes, "question": question}
    assert recipe(domain) == dataclasses.replace(Recipe(domain), question=question)


@pytest.mark.parametrize("preset", ["default", "flowertune-paper"])
def test_each_difference_from_the_board_has_a_reason(preset):
    differing = {
        name for domain in DOMAINS for name in differences(recipe(domain, "flowertune"), recipe(domain, preset))
    }
    assert differing - {"preset"} == set(PRESETS[preset].reasons)


def test_clients_and_their_share_are_the_benchmarks():
    facts = {name: (one.clients, one.fraction, round(one.clients * one.fraction)) for name, one in CHALLENGES.items()}
    assert facts == {
        "general-nlp": (20, 0.1, 2),
        "finance": (50, 0.1, 5),
        "medical": (20, 0.1, 2),
        "code": (10, 0.2, 2),
    }
    assert {one.fraction for one in PRESETS.values()} == {None, 0.2}
    assert PRESETS["flowertune-paper"].fraction == 0.2


@pytest.mark.parametrize(("number", "rate"), [(1, 4.99969777e-5), (100, 2.55e-5), (200, 1e-6)])
def test_the_rate_falls_as_the_boards(number, rate):
    # 1e-6 + 0.5 * 4.9e-5 * (1 + cos(pi t / 200)): nearly the highest, half way, and the floor itself.
    for preset in ("default", "flowertune"):
        assert recipe("code", preset).learning_rate_in(number) == pytest.approx(rate, rel=1e-8)


def test_the_papers_rate_reaches_its_floor_in_round_15():
    rates = [recipe("code", "flowertune-paper").learning_rate_in(number) for number in (1, 15)]
    assert rates == pytest.approx([4.946464e-5, 1e-6], rel=1e-6)


def test_from_its_peak_the_rate_begins_at_the_highest():
    quick = recipe("code", "quick", rounds=4)
    # 1e-4 + 4.5e-4 * (1 + cos(pi k / 4)) for k = 0 .. 3
    assert [quick.learning_rate_in(n) for n in (1, 2, 3, 4)] == pytest.approx(
        [1e-3, 8.68198e-4, 5.5e-4, 2.31802e-4], rel=1e-5
    )
    constant = dataclasses.replace(quick, schedule="constant")
    assert [constant.learning_rate_in(n) for n in (1, 4)] == [1e-3, 1e-3]


def test_the_scale_is_that_of_the_adapters_kind():
    assert [recipe("code", adapter=kind).scale for kind in ("lora", "dora")] == [2.0, 2.0]
    assert recipe("code", adapter="rslora", rank=16).scale == 16.0


def test_every_value_changes_the_hash():
    one = recipe("code")
    changed = {
        "domain": "medical",
        "preset": "quick",
        "schedule": "constant",
        "optimizer": "adamw-8bit",
        "optimizer_state": "kept",
        "weight_decay": 0.1,
        "adapter": "dora",
        "dropout": 0.1,
        "target_modules": ("q_proj",),
        "base_precision": "nf4",
        "compute_precision": "fp32",
        "template": "chat",
        "question": "input",
        "end_of_text": False,
        "records": "same",
        "weight": "shard",
        "final_learning_rate": 5e-6,
        "proximal": 0.1,
        "factors": "b",
    }
    for field in dataclasses.fields(Recipe):
        value = getattr(one, field.name)
        other = dataclasses.replace(
            one, **{field.name: changed.get(field.name) if field.name in changed else value * 2}
        )
        assert other.sha256 != one.sha256, field.name
    assert recipe("code").sha256 == one.sha256


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rank": 0}, "rank: 0 is not a whole number of at least 1"),
        ({"final_learning_rate": 1.0}, "final-learning-rate 1.0 is above learning-rate 5e-05"),
        ({"dropout": 1.0}, "dropout: 1.0 is not a number from 0 to below 1"),
        ({"target_modules": ()}, r"target-modules: \(\) is not a list of at least one"),
        ({"target_modules": ("all-linear", "q_proj")}, "target-modules: 'all-linear' stands alone, or not at all"),
        ({"adapter": "dorra"}, "adapter: 'dorra' is not one of lora, rslora, dora; did you mean 'dora'?"),
        ({"end_of_text": 1}, "end-of-text: 1 is not true or false"),
    ],
)
def test_a_value_that_cannot_be_trained_with_is_named(change, reason):
    with pytest.raises(ConfigurationError, match=reason.replace("?", r"\?")):
        Recipe("code", **change)


def test_an_unknown_domain_is_named():
    with pytest.raises(ConfigurationError, match="domain: 'law' is not one of general-nlp, finance, medical, code"):
        Recipe("law")


def test_a_recipe_is_found_by_its_name():
    assert recipe_named("finance/flowertune") == recipe("finance", "flowertune")
    with pytest.raises(ConfigurationError, match="'finance' is not a recipe: "):
        recipe_named("finance")
