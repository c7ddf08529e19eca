"""Who is turned away, and that it says why in its own log."""

import logging
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.fleet_pb2_grpc import FleetStub

from fedlora import pki
from fedlora.processes import Parts, free_ports
from fedlora.settings_file import write_settings
from supernode.fleet import observed_fleet_stub


@pytest.fixture(scope="module")
def stranger_port():
    return free_ports(1)[0]


@contextmanager
def stranger(federation, directory: Path, port: int, variables: dict[str, str] | None = None, **changes):
    """A supernode that is not one of the federation's; it ends with the block."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if not (directory / "node.key").exists():
        pki.create_node_key(directory / "node.key")
        pki.create_secret(directory / "worker.secret")
    settings = {
        "site": "stranger",
        "superlink": f"127.0.0.1:{federation.ports.fleet}",
        "ca-certificate": federation.ca_certificate,
        "node-key": directory / "node.key",
        "runtime-port": port,
        "superexec-secret": directory / "worker.secret",
        "trainer": directory / "no.sock",
        "state": directory / "state",
        **changes,
    }
    file = write_settings(settings, directory / "supernode.toml")
    logs = directory / f"logs-{time.monotonic_ns()}"
    logs.mkdir()
    with Parts(logs) as parts:
        yield parts.start("stranger", [sys.executable, "-m", "supernode", str(file)], variables or {})


def wait_until_said(part, text: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while text not in (log := part.log.read_text(errors="replace")):
        assert time.monotonic() < end, f"{text!r} is not in the log:\n{log[-3000:]}"
        time.sleep(0.1)


def test_a_key_that_is_not_registered_is_turned_away(running, tmp_path, stranger_port):
    with stranger(running, tmp_path / "stranger", stranger_port) as part:
        assert part.process.wait(60) == 42  # Flower's own code would be 0
        wait_until_said(part, "this node's key is not registered at the SuperLink")


def test_a_node_with_a_wrong_ca_refuses_the_superlink(running, tmp_path, stranger_port):
    other = pki.create_authority(pki.private_directory(tmp_path / "other"), federation="other")
    changes = {"ca-certificate": other.certificate_file}
    with stranger(running, tmp_path / "stranger", stranger_port, **changes) as part:
        wait_until_said(part, "the SuperLink's certificate was not issued by this federation's CA")


def test_a_plaintext_node_is_turned_away(running, tmp_path, monkeypatch, caplog):
    """The node's own stub on a channel without TLS, which no setting of ours can bring about."""
    monkeypatch.setattr(logging.getLogger("fedlora"), "propagate", True)
    with grpc.insecure_channel(f"127.0.0.1:{running.ports.fleet}") as channel, pytest.raises(grpc.RpcError) as refused:
        observed_fleet_stub(tmp_path)(channel).PullMessages(PullMessagesRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "(what listens there has hung up: a SuperLink answers to TLS alone)" in caplog.text
    assert not (tmp_path / "last-fleet-call").exists()


def test_a_node_without_a_signature_is_turned_away(running):
    credentials = grpc.ssl_channel_credentials(running.ca_certificate.read_bytes())
    with (
        grpc.secure_channel(f"127.0.0.1:{running.ports.fleet}", credentials) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        FleetStub(channel).PullMessages(PullMessagesRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture(scope="module")
def clock_ahead(tmp_path_factory) -> dict[str, str]:
    """Variables that put a process's wall clock 10 s ahead."""
    compiler = shutil.which("cc")
    if compiler is None:
        if "CI" in os.environ:
            pytest.fail("CI has a C compiler, but cc is not there")
        pytest.skip("left out: there is no C compiler (cc) to build the clock with")
    library = tmp_path_factory.mktemp("clock") / "clock_ahead.so"
    source = Path(__file__).with_name("clock_ahead.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_AHEAD_SECONDS": "10"}


def test_a_clock_ten_seconds_ahead_is_turned_away(running, tmp_path, stranger_port, clock_ahead):
    directory = tmp_path / "stranger"
    directory.mkdir(mode=0o700)
    pki.create_node_key(directory / "node.key")
    pki.create_secret(directory / "worker.secret")
    with running.control() as control:
        control.register_node(pki.public_key_pem(directory / "node.key.pub"), "ahead")
    with stranger(running, directory, stranger_port, clock_ahead) as part:
        wait_until_said(part, "Invalid timestamp (this machine's clock is off")
    assert running.status("ahead") != "online"
    # The counter-proof: the same node with the right time gets in.
    with stranger(running, directory, stranger_port):
        running.parts.wait_until(lambda: running.status("ahead") == "online", "the node with the right time", 60)


def test_the_registered_sites_were_not_disturbed(running):
    assert [running.status(site) for site in running.sites] == ["online", "online"]
