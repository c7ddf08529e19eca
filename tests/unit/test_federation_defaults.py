"""The defaults of a federation's file are written down there; the parts that obey them refer to it."""

import dataclasses

import pytest

from fedlora import federation
from fedlora.strategies import OPTIONS
from superlink.keeper import KeeperSettings
from superlink.run_config import RunConfig
from supernode.trainer.settings import Policy, TrainerSettings


def defaults(schema: type) -> dict[str, object]:
    return {
        field.name: field.default for field in dataclasses.fields(schema) if field.default is not dataclasses.MISSING
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "names"),
    [
        (federation.Keeper, KeeperSettings, {"silent_seconds", "first_pause", "most_pause", "fruitless"}),
        (federation.Resources, TrainerSettings, {"threads", "tokens_at_once", "device", "gpus"}),
        (federation.Site, TrainerSettings, {"seed"}),
        (federation.Federation, TrainerSettings, {"base_model_sha256"}),
        (
            federation.SitePolicy,
            Policy,
            {
                *("fewest_examples", "largest_norm", "figures", "most_rank", "codecs", "clip_norm", "delta"),
                *("noise_multiplier", "epsilon_limit", "most_updates", "most_runs"),
            },
        ),
        (
            federation.RunDefaults,
            RunConfig,
            {
                *("absence", "fraction", "over_sampling", "extensions", "budget_rounds", "strategy"),
                *("upload_codec", "broadcast_codec", "largest_update_norm"),
            },
        ),
    ],
)
def test_defaults_are_those_of_the_part(ours, theirs, names):
    shared = defaults(ours).keys() & defaults(theirs).keys()
    assert shared - {"required_domains"} == names  # a list here, a text there
    assert {name: defaults(ours)[name] for name in names} == {name: defaults(theirs)[name] for name in names}


def test_every_key_of_runs_has_a_part_that_obeys_it():
    obeyed = {field.name for field in dataclasses.fields(RunConfig)} | {"budget", "budget_hours"}
    elsewhere = {"recipe", "domains"}  # a run's recipe_sha256 and sites
    elsewhere |= {key.replace("-", "_") for key in OPTIONS}  # in one text, strategy_options
    assert {field.name for field in dataclasses.fields(federation.RunDefaults)} - obeyed == elsewhere
