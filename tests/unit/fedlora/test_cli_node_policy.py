"""`fedlora node policy show|check|set` at a site; with a real trainer, see tests/unit/supernode/test_attacks.py."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from typer.testing import CliRunner

from fedlora import flower
from fedlora.cli.main import application
from fedlora.config import read_toml
from fedlora.errors import ConfigurationError, UnfitSiteError
from fedlora.recipes import recipe as recipe_of
from fedlora.settings_file import write_settings
from supernode.settings import NodeSettings
from supernode.trainer import trainer_pb2_grpc
from supernode.trainer.privacy_ledger import PrivacyLedger
from supernode.trainer.settings import TrainerSettings
from tests.integration.stub_trainer import StubTrainer

QUICK, LONG = recipe_of("finance", "quick"), recipe_of("finance", "default")
APP = "a" * 64


def policy(*arguments: object):
    return CliRunner().invoke(application, ["node", "policy", *map(str, arguments)])


def said(*arguments: object) -> str:
    result = policy(*arguments)
    assert result.exit_code == 0, result.exception
    return result.stdout


def refused(*arguments: object) -> str:
    result = policy(*arguments)
    assert type(result.exception) is ConfigurationError, result.output
    return str(result.exception)


def found(site) -> dict[str, tuple[str, str]]:
    """Return the checks by name: how each ended, and what it says."""
    listed = json.loads(policy("check", site, "--format", "json").stdout)
    return {one["check"]: (one["outcome"], one["found"]) for one in listed}


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    (folder / "state").mkdir(parents=True)
    node = {
        "site": "site-1",
        "domain": "finance",
        "superlink": "superlink.example:9092",
        "runtime-port": 9094,
        "trainer": folder / "t.sock",
        "state": folder / "supernode",
        **dict.fromkeys(("ca-certificate", "node-key", "superexec-secret"), folder / "none"),
    }
    write_settings(node, folder / "supernode.toml")
    trainer = {
        "site": "site-1",
        "domain": "finance",
        "base-model-name": "tiny",
        "shard": folder / "shard",
        "base-model": folder / "model",
        "state": folder / "state",
        "socket": folder / "t.sock",
        "policy": {"recipes": [QUICK, LONG]},
    }
    write_settings(trainer, folder / "trainer.toml")
    return folder


def test_show_has_everything_that_is_enforced(site):
    told = json.loads(said("show", site, "--format", "json"))
    enforced = read_toml(TrainerSettings, site / "trainer.toml").policy
    assert told["sha256"] == enforced.sha256
    assert told["recipes"] == {"finance/quick": QUICK.sha256, "finance/default": LONG.sha256}
    assert told["apps"] == [flower.app_bundle().sha256]
    assert (told["largest-norm"], told["most-runs"], told["spent"]) == (1000.0, 1000, None)
    assert told.keys() >= {"codecs", "figures", "clip-norm", "noise-multiplier", "epsilon-limit", "most-updates"}
    text = said("show", site / "supernode.toml")
    assert f"recipes           finance/quick ({QUICK.sha256[:12]}), finance/default ({LONG.sha256[:12]})\n" in text
    assert "left so far       unknown: " in text


def test_show_has_what_updates_tell(site):
    said("set", site, "clip-norm=0.5", "noise-multiplier=2", "delta=1e-6")
    ledger = PrivacyLedger(site / "state")
    for number in range(10):
        ledger.spend("r", 1, number, clip_norm=0.5, noise_multiplier=2.0)
    ledger.spend("r", 1, 11, clip_norm=0.5, noise_multiplier=0.0)
    told = json.loads(said("show", site, "--format", "json"))
    assert told["epsilon_of_updates"]["10"] == pytest.approx(19.4237, abs=1e-4)
    assert told["spent"] == {"updates": 11, "bare": 1, "distance": 10**0.5, "epsilon": told["epsilon_of_updates"]["10"]}
    assert "left so far       11 updates, 1 of them without noise; epsilon 19.424\n" in said("show", site)


def test_set_writes_what_the_trainer_and_the_guard_then_obey(site):
    before = read_toml(TrainerSettings, site / "trainer.toml")
    text = said(
        *("set", site, "clip-norm=0.5", "noise-multiplier=2", "epsilon-limit=8", "most-updates=7"),
        *("figures=traffic, health", "recipes=finance/quick", "codecs=fp32,int8", f"fab-hashes={APP}"),
    )
    after, node = read_toml(TrainerSettings, site / "trainer.toml"), read_toml(NodeSettings, site / "supernode.toml")
    assert (after.policy.clip_norm, after.policy.noise_multiplier, after.policy.epsilon_limit) == (0.5, 2.0, 8.0)
    assert (after.policy.most_updates, after.policy.codecs) == (7, ("fp32", "int8"))
    assert after.policy.recipes == (QUICK,)
    assert after.policy.figures == node.figures == ("traffic", "health")
    assert node.fab_hashes == (APP,)
    assert after.shard == before.shard
    assert text.startswith(f"policy {before.policy.sha256[:12]} is now {after.policy.sha256[:12]}\n")
    assert "fedlora up writes these files from federation.toml" in text
    assert json.loads(said("show", site, "--format", "json"))["apps"] == [flower.app_bundle().sha256, APP]
    said("set", site, "figures=", "fab-hashes=")
    assert read_toml(NodeSettings, site / "supernode.toml").figures == ()


def test_set_writes_both_files_of_a_rendered_site(site):
    (site / "compose.yaml").touch()
    (site / "trainer-gpu.toml").write_text((site / "trainer.toml").read_text().replace('"finance"', '"medical"', 1))
    assert "docker compose restart" in said("set", site, "most-updates=7")
    for name in ("trainer.toml", "trainer-gpu.toml"):
        assert read_toml(TrainerSettings, site / name).policy.most_updates == 7
    assert read_toml(TrainerSettings, site / "trainer-gpu.toml").domain == "medical"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("most-update=7", "'most-update' is no key of a site's policy; allowed: recipes, codecs, "),
        ("most-updates", "'most-updates' is not KEY=VALUE, as in most-updates=200"),
        ("most-updates=many", "policy.most-updates: 'many' is not a whole number"),
        ("noise-multiplier=2", "noise-multiplier is 2 and clip-norm is 0"),
        ("recipes=code/quick", "recipe 'code/quick' is not in the trainer's file: finance/quick, finance/default"),
        ("recipes=", "recipes is empty; the trainer would refuse every run"),
        ("figures=tokens", "figures[0]: 'tokens' is not one of traffic, training, resources, health"),
        ("fab-hashes=abc", "fab-hashes[0]: 'abc' is not a SHA-256: 64 of 0-9 and a-f"),
    ],
)
def test_what_cannot_be_obeyed_is_named_and_nothing_is_written(site, change, reason):
    before = [(site / name).read_bytes() for name in ("trainer.toml", "supernode.toml")]
    assert reason in refused("set", site, "largest-norm=5", change)
    assert [(site / name).read_bytes() for name in ("trainer.toml", "supernode.toml")] == before


def test_check_says_what_is_not_as_the_owner_thinks(site):
    checks = found(site)
    assert checks["files"][0] == checks["apps"][0] == "ok"
    assert checks["trainer"] == (
        "skipped",
        "no trainer runs here, or in a container; it reads its policy when it starts",
    )
    assert checks["noise"] == ("warn", "updates leave without noise")
    said("set", site, "clip-norm=0.5", "noise-multiplier=10", "epsilon-limit=3", f"fab-hashes={APP}")
    ledger = PrivacyLedger(site / "state")
    for number in range(10):
        ledger.spend("r", 1, number, clip_norm=0.5, noise_multiplier=10.0)
    checks = found(site)
    assert checks["noise"] == ("ok", "10 x 0.5, epsilon at most 3 with delta 1e-06")
    assert checks["apps"][0] == "warn"
    assert checks["limits"] == (
        "fail",
        "10 updates have left, epsilon 2.922 of 3, which allows 10 updates of this noise",
    )
    file = site / "supernode.toml"
    file.write_text(f"guard = false\nfigures = []\n{file.read_text()}")
    result = policy("check", site)
    assert str(result.exception) == "3 of 5 checks failed: files, apps, limits"
    assert type(result.exception) is UnfitSiteError
    assert "guard is off in supernode.toml: runs of any app are answered; remove that line" in result.stdout


def test_check_asks_the_trainer_that_runs_which_policy_it_enforces(site, tmp_path):
    (tmp_path / "stub.json").write_text("{}")
    server = grpc.server(ThreadPoolExecutor(2))
    trainer_pb2_grpc.add_TrainerServicer_to_server(StubTrainer(tmp_path / "stub.json"), server)
    server.add_insecure_port(f"unix:{site / 't.sock'}")
    server.start()
    try:
        mine = read_toml(TrainerSettings, site / "trainer.toml").policy.sha256
        assert found(site)["trainer"] == ("fail", f"the trainer enforces {'p' * 12}, and the file says {mine[:12]}")
    finally:
        server.stop(0).wait()
