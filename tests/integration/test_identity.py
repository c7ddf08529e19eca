"""Who is turned away, and that it says why in its own log."""

import logging
import threading
import time
from pathlib import Path

import grpc
import pytest
from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.fleet_pb2_grpc import FleetStub

from fedlora import pki
from supernode.fleet import observed_fleet_stub
from supernode.traffic import Traffic
from supernode.wire_meter import WireMeter
from tests.integration.conftest import supernode, write_node_settings


def stranger(federation, directory: Path, variables: dict[str, str] | None = None, **changes: object):
    """A supernode that is not one of the federation's; it ends with the block."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if not (directory / "node.key").exists():
        pki.create_node_key(directory / "node.key")
    return supernode(write_node_settings(federation, directory, **changes), variables)


def wait_until_said(part, text: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while text not in (log := part.log.read_text(errors="replace")):
        assert time.monotonic() < end, f"{text!r} is not in the log:\n{log[-3000:]}"
        time.sleep(0.1)


def test_a_key_that_is_not_registered_is_turned_away(running, tmp_path):
    with stranger(running, tmp_path / "stranger") as part:
        assert part.process.wait(60) == 42  # Flower's own code would be 0
        wait_until_said(part, "this node's key is not registered at the SuperLink")


def test_a_node_with_a_wrong_ca_refuses_the_superlink(running, tmp_path):
    other = pki.create_authority(pki.private_directory(tmp_path / "other"), federation="other")
    changes = {"ca-certificate": other.certificate_file}
    with stranger(running, tmp_path / "stranger", **changes) as part:
        wait_until_said(part, "the SuperLink's certificate was not issued by the CA in ca.crt")


def test_a_plaintext_node_is_turned_away(running, tmp_path, monkeypatch, caplog):
    """The node's own stub on a channel without TLS, which no setting of ours can bring about."""
    monkeypatch.setattr(logging.getLogger("fedlora"), "propagate", True)
    with grpc.insecure_channel(f"127.0.0.1:{running.ports.fleet}") as channel, pytest.raises(grpc.RpcError) as refused:
        meter = WireMeter(running.ports.fleet, Traffic(tmp_path))
        observed_fleet_stub(tmp_path, meter, threading.Event())(channel).PullMessages(PullMessagesRequest(), timeout=10)
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


def test_a_clock_ten_seconds_ahead_is_turned_away(running, tmp_path, clock_ahead):
    directory = tmp_path / "stranger"
    directory.mkdir(mode=0o700)
    pki.create_node_key(directory / "node.key")
    with running.control() as control:
        control.register_node(pki.public_key_pem(directory / "node.key.pub"), "ahead")
    with stranger(running, directory, clock_ahead) as part:
        wait_until_said(part, "Invalid timestamp (this machine's clock is off")
    assert running.status("ahead") != "online"
    # The counter-proof: the same node with the right time gets in.
    with stranger(running, directory):
        running.parts.wait_until(lambda: running.status("ahead") == "online", "the node with the right time", 60)


def test_the_registered_sites_were_not_disturbed(running):
    assert [running.status(site) for site in running.sites] == ["online", "online"]
