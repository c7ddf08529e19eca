import tomllib
from importlib.resources import files

import pytest

from fedlora.errors import ConfigurationError, RunError
from superlink.run_config import RunConfig
from superlink.runs import RunFolder

VALUES = {
    "run": "r",
    "epoch": 1,
    "sites": "a,b",
    "domain": "code",
    "rounds": 2,
    "seed": 0,
    "deadline": 60,
    "min-sites": 1,
    "join-timeout": 5.0,
    "recipe-sha256": "f" * 64,
    "absence": 60.0,
    "fraction": 1.0,
    "over-sampling": 0,
    "required-domains": "",
    "extensions": 0,
    "upload-codec": "int8",
    "broadcast-codec": "bf16z",
    "budget-bytes": 0,
    "budget-rounds": 0,
    "budget-seconds": 0.0,
    "ignore-forecast": False,
    "strategy": "fedavg",
    "strategy-options": "",
    "factors": "both",
    "largest-update-norm": 2.5,
}


def test_the_app_declares_exactly_the_keys_that_are_read():
    app = tomllib.loads((files("fedlora") / "app" / "pyproject.toml").read_text())
    assert sorted(app["tool"]["flwr"]["app"]["config"]) == sorted(VALUES)


def test_flowers_mapping_becomes_ours_and_back():
    config = RunConfig.from_flower(VALUES)
    assert config.site_names == ("a", "b")
    assert config.to_flower() == {**VALUES, "deadline": 60.0}


def test_a_site_may_hold_another_domain():
    config = RunConfig.from_flower({**VALUES, "sites": "a, b:medical", "required-domains": "medical"})
    assert config.site_names == ("a", "b")
    assert config.site_domains == {"a": "code", "b": "medical"}
    assert config.participation.shortage({"a"}) == "it has no update of the required domain(s) medical"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sites": ""}, "sites '' is not a list of different names"),
        ({"sites": "a,a"}, "sites 'a,a' is not a list of different names"),
        ({"min-sites": 3}, "min-sites 3 is not between 1 and the 2 sites"),
        ({"rounds": 0}, "rounds 0 and epoch 1 must be at least 1"),
        ({"deadline": 0.0}, "deadline 0.0 must be a number of seconds above 0"),
        ({"absence": float("inf")}, "absence inf must be a number of seconds above 0"),
        ({"sites": "a:code,a"}, "sites 'a:code,a' is not a list of different names"),
        ({"sites": "a,:code"}, "sites 'a,:code' is not a list of different names"),
        ({"required-domains": "code,finance"}, "required-domains names finance, which none of the sites holds; "),
        ({"over-sampling": -1}, "over-sampling -1 must not be below 0"),
        ({"budget-seconds": -1.0}, "budget-seconds -1.0 must not be below 0"),
        ({"largest-update-norm": -0.5}, "largest-update-norm -0.5 must not be below 0"),
        ({"fraction": 1.5}, "fraction 1.5 is not in (0, 1]"),
        ({"extensions": -1}, "extensions -1 must not be below 0"),
        ({"run": ""}, "run has no name"),
        ({"upload-codec": "int3"}, "upload-codec 'int3' is not one of fp32, fp16, bf16, int8, int4, fp32z, "),
        ({"broadcast-codec": ""}, "broadcast-codec '' is not one of fp32, "),
        ({"strategy": "fedavgn"}, "strategy 'fedavgn' is not one of fedavg, fedprox, "),
        ({"strategy-options": "trim=0.1"}, "trim: strategy 'fedavg' does not take it; its options: none"),
        ({"strategy": "fedadam", "strategy-options": "server-beta-2=1"}, "server-beta-2: 1 is not a number from 0 to "),
        ({"strategy": "fedadam", "strategy-options": "server-beta-2"}, "'server-beta-2' is not key=number"),
        ({"strategy": "fedmedian"}, "min-sites 1 is below the 3 updates that fedmedian needs"),
        ({"factors": "a"}, "factors: 'a' is not one of both, b, alternating"),
        ({"rounds": "two"}, "rounds: 'two' is not a whole number"),
    ],
)
def test_a_wrong_value_is_named(change, reason):
    with pytest.raises(ConfigurationError, match="the run's configuration has 1 problem") as refused:
        RunConfig.from_flower({**VALUES, **change})
    assert reason in str(refused.value)


@pytest.mark.parametrize("name", ["..", "a/b", "A", "", "-a", "a-", "a" * 65, "a b"])
def test_a_name_that_could_leave_its_folder_is_refused(tmp_path, name):
    with pytest.raises(RunError, match="is no name"):
        RunFolder(tmp_path, name).create()
    assert not list(tmp_path.iterdir())
