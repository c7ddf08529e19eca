"""`fedlora node register|list|unregister` against a real SuperLink, and what its nodes make of it."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlora import pki
from fedlora.cli.main import application
from fedlora.errors import ConfigurationError, ControlError, CredentialError
from fedlora.pki.node_keys import public_key_sha256
from fedlora.processes import Parts, free_ports
from fedlora.settings_file import write_settings


@pytest.fixture
def node(running):
    def call(*arguments: object, ca: Path | None = None):
        there = ["--superlink", f"127.0.0.1:{running.ports.http}", "--ca-certificate", ca or running.ca_certificate]
        return CliRunner().invoke(
            application, ["node", *map(str, arguments), *map(str, there)], env={"COLUMNS": "150", "TERM": "dumb"}
        )

    return call


def listed(node) -> dict[str, dict]:
    """Return what is listed of each node, the newest of a name."""
    result = node("list", "--format", "json")
    assert result.exit_code == 0, result.exception
    return {one["name"]: one for one in json.loads(result.stdout)}


@contextmanager
def supernode(federation, directory: Path) -> Iterator:
    """A site's supernode with the key in `directory`; it ends with the block."""
    if not (directory / "worker.secret").exists():
        pki.create_secret(directory / "worker.secret")
    settings = {
        "site": "late",
        "superlink": f"127.0.0.1:{federation.ports.fleet}",
        "ca-certificate": federation.ca_certificate,
        "node-key": directory / "node.key",
        "runtime-port": free_ports(1)[0],
        "superexec-secret": directory / "worker.secret",
        "trainer": directory / "no.sock",
        "state": directory / "state",
    }
    file = write_settings(settings, directory / "supernode.toml")
    logs = directory / f"logs-{time.monotonic_ns()}"
    logs.mkdir()
    with Parts(logs) as parts:
        yield parts.start("late", [sys.executable, "-m", "supernode", str(file)], {})


def keygen(site: Path, *options: str) -> Path:
    assert CliRunner().invoke(application, ["node", "keygen", str(site), *options]).exit_code == 0
    return site / "node.key.pub"


def test_the_sites_are_listed(running, node):
    found = listed(node)
    for site in running.sites:
        assert found[site]["status"] == "online"
        assert found[site]["public_key_sha256"] == public_key_sha256(
            pki.public_key_pem(running.site(site) / "node.key.pub")
        )
        assert datetime.fromisoformat(found[site]["registered_at"]) <= datetime.now(UTC)
        assert found[site]["last_activated_at"] > found[site]["registered_at"]
    table = node("list").stdout
    assert all(found[site]["id"] in table for site in running.sites)


def test_a_site_comes_in_is_turned_away_and_comes_back_with_a_new_key(running, node, tmp_path):
    site = tmp_path / "late"
    key = keygen(site)
    result = node("register", "late", key)
    assert result.exit_code == 0, result.exception
    assert listed(node)["late"]["status"] == "registered"
    assert listed(node)["late"]["last_activated_at"] is None
    with supernode(running, site) as part:
        running.parts.wait_until(lambda: running.status("late") == "online", "the node that was registered", 60)
        assert node("unregister", "late", "--yes").exit_code == 0
        assert part.process.wait(90) != 0  # turned away while it was online
    assert running.status("late") is None
    gone = listed(node)["late"]
    assert (gone["status"], gone["unregistered_at"] is None) == ("unregistered", False)
    again = node("register", "late", key)
    assert isinstance(again.exception, CredentialError)
    assert "such a key can never be registered again" in str(again.exception)
    with running.control() as control, pytest.raises(ControlError):  # it is the SuperLink that says so
        control.register_node(pki.public_key_pem(key), "late")
    new = keygen(site, "--force")
    assert node("register", "late", new).exit_code == 0
    assert (site / "state" / "node-id").exists()  # the id of the old key, which the SuperLink does not know any more
    with supernode(running, site):
        running.parts.wait_until(lambda: running.status("late") == "online", "the node with its new key", 60)


def test_a_name_is_registered_once(running, node, tmp_path):
    result = node("register", running.sites[0], keygen(tmp_path / "impostor"))
    assert isinstance(result.exception, ConfigurationError)
    assert running.status(running.sites[0]) == "online"


def test_the_superlink_must_have_the_federations_certificate(node, tmp_path):
    other = pki.create_authority(pki.private_directory(tmp_path / "other"), federation="test")
    result = node("list", ca=other.certificate_file)
    assert isinstance(result.exception, ControlError)
    assert "CERTIFICATE_VERIFY_FAILED" in str(result.exception)


def test_a_node_that_nobody_knows_cannot_be_unregistered(running, node):
    result = node("unregister", "nobody", "--yes")
    assert isinstance(result.exception, ConfigurationError)
    with running.control() as control:
        assert str(result.exception).endswith("; registered: " + ", ".join(sorted(control.nodes())))
    assert set(running.sites) <= listed(node).keys()
    with running.control() as control, pytest.raises(ControlError) as caught:
        control.unregister_node(12345)
    assert "refused to unregister the node" in str(caught.value)
