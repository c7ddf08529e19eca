"""`fedlora node doctor` against a real SuperLink: what is in order, a key that nobody knows, a clock that is off."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedlora import pki
from fedlora.domains import domain
from fedlora.recipes import recipe as recipe_of
from fedlora.settings_file import write_settings
from tests.integration.conftest import write_node_settings


@pytest.fixture
def examined(running, tiny_model, tmp_path):
    """Return a function that examines a folder with a supernode.toml, and returns the exit code and all findings."""

    def call(folder: Path, **variables: str) -> tuple[int, dict[str, dict[str, str]]]:
        settings = {
            "site": folder.name,
            "domain": "finance",
            "shard": Path(str(domain("finance").sample("train"))),
            "base-model": tiny_model,
            "base-model-name": "tiny",
            "state": tmp_path / "trainer",
            "socket": socket_in(folder),
            "policy": {"recipes": [recipe_of("finance", "quick")]},
        }
        write_settings(settings, folder / "trainer.toml")
        command = [sys.executable, "-c", "from fedlora.cli.main import main; main()", "node", "doctor", str(folder)]
        done = subprocess.run(
            [*command, "--format", "json"], capture_output=True, text=True, env={**os.environ, **variables}
        )
        (folder / "trainer.toml").unlink()
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, {one["check"]: one for one in json.loads(done.stdout)}

    return call


def socket_in(folder: Path) -> str:
    lines = (folder / "supernode.toml").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("trainer = "))
    return line.split('"')[1]


@pytest.fixture
def newcomer(running, tmp_path) -> Path:
    """A site with a new key, which nobody has registered yet."""
    folder = pki.private_directory(tmp_path / "newcomer")
    pki.create_node_key(folder / "node.key")
    write_node_settings(running, folder)
    return folder


def outcomes(findings: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return what is not ok."""
    return {name: one["outcome"] for name, one in findings.items() if one["outcome"] != "ok"}


def test_a_site_that_runs_is_in_order_and_stays_online(running, examined):
    with running.control() as control:
        before = {node.name: node for node in control.node_list()}["site-1"]
    code, findings = examined(running.site("site-1"))
    assert (code, outcomes(findings)) == (0, {}), findings
    assert len(findings) == 22
    assert findings["worker port"]["found"].endswith("is held by this site's running supernode")
    assert findings["trainer socket"]["found"].endswith("the trainer listens")
    assert findings["registration"]["found"].startswith("the SuperLink knows the key ")
    seconds, rest = findings["clock"]["found"].split(" ", 1)
    assert float(seconds) < 0.5
    assert rest in ("s ahead of the SuperLink's", "s behind the SuperLink's")
    with running.control() as control:
        assert {node.name: node for node in control.node_list()}["site-1"] == before


def test_a_key_that_is_not_registered_or_not_any_more(running, examined, newcomer):
    def registration() -> dict[str, str]:
        code, findings = examined(newcomer)
        assert (code, outcomes(findings)) == (44, {"registration": "fail"}), findings
        return findings["registration"]

    unknown = registration()
    assert unknown["found"].startswith("the SuperLink does not know the key ")
    assert unknown["advice"] == (
        "send node.key.pub to the coordinator, who registers it: fedlora node register newcomer node.key.pub"
    )
    with running.control() as control:
        node_id = control.register_node(pki.public_key_pem(newcomer / "node.key.pub"), "newcomer")
        assert examined(newcomer)[0] == 0
        assert running.status("newcomer") == "registered"  # asking has not activated it
        control.unregister_node(node_id)
    assert registration() == unknown


@pytest.mark.parametrize(
    ("seconds", "outcome", "found"),
    [
        (10, "fail", "10.0 s ahead of the SuperLink's, allowed: 5 s ahead to 305 s behind"),
        (3, "warn", "3.0 s ahead of the SuperLink's, allowed: 5 s ahead to 305 s behind"),
        (-100, "warn", "100.0 s behind the SuperLink's, allowed: 5 s ahead to 305 s behind"),
        (-312, "fail", "312.0 s behind the SuperLink's, allowed: 5 s ahead to 305 s behind"),
        (1000, "fail", "1000.0 s ahead of the SuperLink's, allowed: 5 s ahead to 305 s behind"),
    ],
)
def test_a_clock_that_is_off(running, examined, newcomer, clock_ahead, seconds, outcome, found):
    code, findings = examined(newcomer, **{**clock_ahead, "CLOCK_AHEAD_SECONDS": str(seconds)})
    assert code == 44  # the key is not registered: that is found out all the same
    assert outcomes(findings) == {"clock": outcome, "registration": "fail"}
    number, rest = findings["clock"]["found"].split(" ", 1)
    expected, words = found.split(" ", 1)
    assert float(number) == pytest.approx(float(expected), abs=0.5)
    assert rest == words
    assert findings["clock"]["advice"] == "set the clock by NTP, as with: timedatectl set-ntp true"
    assert findings["registration"]["found"].startswith("the SuperLink does not know the key ")
