"""What strategies state, and what a federation's file is held to for it. What they compute: superlink's tests."""

from pathlib import Path
from typing import get_args

import pytest

from fedlora.errors import ConfigurationError
from fedlora.federation import RunDefaults, read_federation
from fedlora.recipes.recipe import Adapter, Factors, Recipe, frozen_factor
from fedlora.strategies import OPTIONS, STRATEGIES, least_updates, options_from_text, options_of, options_text
from fedlora.strategies.page import example, page
from superlink.run_config import RunConfig

REPOSITORY = Path(__file__).parents[3]
SITES = "".join(
    f'[[site]]\nname = "{name}"\ndomain = "finance"\nshard = "{name}"\n[site.policy]\nmost-rank = 0\n'
    for name in "abcde"
)
HEAD = f'name = "f"\n[coordinator]\nhost = "h"\n{SITES}'
RECIPE = '[[recipe]]\ndomain = "finance"\n'


def read(folder, run="", recipe="", head=HEAD):
    file = folder / "federation.toml"
    file.write_text(f"{head}{RECIPE}{recipe}\n[run]\n{run}\n", encoding="utf-8")
    return read_federation(file).federation


def problems(folder, run, recipe="", head=HEAD):
    with pytest.raises(ConfigurationError) as refused:
        read(folder, run, recipe, head)
    return [line.partition(": ")[2] for line in str(refused.value).splitlines()[1:]]


def test_the_page_of_strategies_is_what_the_catalogue_says():
    assert (REPOSITORY / "docs" / "strategies.md").read_text() == page(), "call: make docs"


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_the_page_says_to_write_is_a_valid_file_of_which_a_run_can_be_made(name, tmp_path):
    run, _, recipe = example(STRATEGIES[name]).partition("\n\n[[recipe]]")
    made = read(tmp_path, run.removeprefix("[run]\n"), recipe.partition("\n")[2])
    config = RunConfig.of(made, "r")
    assert RunConfig.from_flower(config.to_flower()) == config
    assert (config.strategy, config.options) == (name, STRATEGIES[name].options)
    assert config.factors == made.run_recipe.factors


def test_statements_speak_of_what_there_is():
    keys, fields = {key.replace("-", "_") for key in OPTIONS}, set(RunDefaults.__dataclass_fields__)
    assert keys <= fields
    assert keys == {key.replace("-", "_") for strategy in STRATEGIES.values() for key in strategy.options}
    recipe_keys = {name.replace("_", "-") for name in Recipe.__dataclass_fields__}
    for name, strategy in STRATEGIES.items():
        assert name == strategy.name
        assert set(strategy.adapters) <= set(get_args(Adapter))
        assert strategy.needs.keys() <= recipe_keys | strategy.options.keys()
        assert all(OPTIONS[key].holds(value) for key, value in strategy.options.items())
        values = {"factors": "both", "proximal": 0.0, "optimizer-state": "reset", **strategy.options, **strategy.recipe}
        assert all(need.holds(values[key]) for key, need in strategy.needs.items()), name


def test_no_two_strategies_are_the_same_under_two_names():
    """Of each pair of recipes that differ in term or factors, FedAvg's step has one name at most."""
    averaging = [STRATEGIES[name] for name in ("fedavg", "fedprox", "ffa-lora", "rolora")]
    for proximal in (0.0, 0.1):
        for factors in get_args(Factors):
            values = {"proximal": proximal, "factors": factors}
            fits = [one.name for one in averaging if all(need.holds(values[key]) for key, need in one.needs.items())]
            expected = {
                (0.0, "both"): ["fedavg"],
                (0.1, "both"): ["fedprox"],
                (0.0, "b"): ["ffa-lora"],
                (0.1, "b"): ["fedprox", "ffa-lora"],
                (0.0, "alternating"): ["rolora"],
                (0.1, "alternating"): ["rolora"],
            }
            assert fits == expected[proximal, factors]


@pytest.mark.parametrize(
    ("run", "recipe", "problem"),
    [
        ("strategy = 'fedavgn'", "", "run.strategy: 'fedavgn' is not one of "),
        (
            "strategy = 'fedprox'",
            "",
            "recipe[0].proximal: 0.0 does not go with strategy 'fedprox': FedProx without its ",
        ),
        (
            "",
            "proximal = 0.1",
            "recipe[0].proximal: 0.1 does not go with strategy 'fedavg': with the proximal term it is ",
        ),
        (
            "strategy = 'ffa-lora'",
            "",
            "recipe[0].factors: 'both' does not go with strategy 'ffa-lora': set factors = \"b\"",
        ),
        (
            "strategy = 'rolora'",
            "factors = 'b'",
            "recipe[0].factors: 'b' does not go with strategy 'rolora': set factors ",
        ),
        ("strategy = 'fedadam'", "factors = 'alternating'", "recipe[0].factors: 'alternating' does not go with "),
        ("strategy = 'flexlora'", "optimizer-state = 'kept'", "recipe[0].optimizer-state: 'kept' does not go with "),
        (
            "strategy = 'flexlora'\nupload-codec = 'int8z'",
            "",
            "run.upload-codec: 'int8z' leaves a rest of each update for the next one, which with strategy 'flexlora' "
            "stands in another basis; take fp32 or fp32z",
        ),
        (
            "strategy = 'flexlora'",
            "adapter = 'dora'",
            "run.strategy: 'flexlora' gives no dora adapter that can be exported; set the recipe's adapter to lora or "
            "rslora, or take one of fedavg, fedprox, ",
        ),
        (
            "trim = 0.1",
            "",
            "run.trim: strategy 'fedavg' does not take it; its options: none. It is one of: trimmed-mean",
        ),
        ("strategy = 'fedavgm'\nserver-momentum = 0", "", "run.server-momentum: 0: FedAvgM without momentum is FedAvg"),
        (
            "strategy = 'fedadam'\nserver-momentum = 1",
            "",
            "run.server-momentum: 1 is not a number from 0 to below 1, or ",
        ),
        (
            "strategy = 'fedadam'\nserver-beta-2 = 'defalt'",
            "",
            "run.server-beta-2: 'defalt' is not a number from 0 to ",
        ),
        (
            "strategy = 'krum'\nbyzantine = 1.5\nmin-sites = 5",
            "",
            "run.byzantine: 1.5 is not a whole number of at least 0",
        ),
        (
            "strategy = 'krum'\nmin-sites = 4",
            "",
            "run.min-sites: 4 is below the 5 updates that strategy 'krum' needs in each round with byzantine = 1; set "
            "it to 5 or more",
        ),
        ("strategy = 'multi-krum'\nselected = 3\nmin-sites = 5", "", "run.min-sites: 5 is below the 6 updates that "),
        ("strategy = 'trimmed-mean'\ntrim = 0.25", "", "run.min-sites: 1 is below the 4 updates that "),
        ("strategy = 'fedmedian'\nmin-sites = 2", "", "run.min-sites: 2 is below the 3 updates that "),
    ],
)
def test_what_does_not_go_together_is_one_problem_that_says_what_to_do(tmp_path, run, recipe, problem):
    (found,) = problems(tmp_path, run, recipe)
    assert found.startswith(problem)


def test_a_strategy_that_compares_values_takes_one_rank_and_others_take_several(tmp_path):
    head = HEAD.replace("most-rank = 0", "most-rank = 8", 1)
    found = problems(tmp_path, "strategy = 'fedmedian'\nmin-sites = 3", head=head)
    assert found == [
        "site[0].policy.most-rank: 8 is below the recipe's rank 32, and strategy 'fedmedian' compares updates value by "
        "value: all sites train one rank. Lower the recipe's rank, or take a strategy for mixed ranks (fedlora "
        "strategy list)"
    ]
    read(tmp_path, "strategy = 'fedmedian'\nmin-sites = 3", "rank = 8", head)
    read(tmp_path, "strategy = 'flexlora'\nupload-codec = 'fp32z'", head=head)


def test_a_recipe_that_no_run_trains_is_not_held_to_the_strategy(tmp_path):
    other = 'preset = "quick"\n[[recipe]]\ndomain = "finance"\nfactors = "b"\n'
    assert read(tmp_path, "", other).run_recipe.factors == "both"
    assert read(tmp_path, "strategy = 'ffa-lora'\nrecipe = 'finance/default'", other).run_recipe.factors == "b"


def test_options_travel_as_text_without_losing_a_bit():
    options = options_of(STRATEGIES["fedadam"], {"server-learning-rate": 0.1 + 0.2, "server-beta-2": "default"})
    assert options == {**STRATEGIES["fedadam"].options, "server-learning-rate": 0.30000000000000004}
    assert options_from_text(options_text(options)) == options
    assert options_from_text("") == {}


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("krum", {"byzantine": 0}, 3),
        ("krum", {"byzantine": 3}, 9),
        ("multi-krum", {"byzantine": 1, "selected": 0}, 5),
        ("multi-krum", {"byzantine": 1, "selected": 4}, 7),
        ("trimmed-mean", {"trim": 0.1}, 10),
        ("trimmed-mean", {"trim": 0.49}, 3),
        ("trimmed-mean", {"trim": 0.3}, 4),
        ("fedavg", {}, 1),
    ],
)
def test_the_fewest_updates_of_which_a_strategy_does_what_it_says(name, options, least):
    assert least_updates(name, options) == least


def test_of_factors_in_turn_b_is_first_for_a_learns_nothing_while_it_is_zero():
    assert [frozen_factor("alternating", number) for number in (1, 2, 3)] == ["A", "B", "A"]
    assert [frozen_factor("b", number) for number in (1, 2)] == ["A", "A"]
    assert frozen_factor("both", 1) == ""
    with pytest.raises(ConfigurationError, match="optimizer-state 'kept' does not go with factors 'alternating'"):
        Recipe("code", factors="alternating", optimizer_state="kept")
