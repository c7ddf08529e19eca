"""Who is turned away, and that it says why in its own log."""

import os
import sys
import time
from pathlib import Path

import pytest

from fedlora import pki
from fedlora.cli.settings_file import write_settings

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@pytest.fixture(scope="module")
def stranger_port(running):
    from fedlora.processes import free_ports

    return free_ports(1)[0]


def start_stranger(federation, directory: Path, port: int, variables: dict[str, str] | None = None, **changes) -> Path:
    """Start a supernode that is not one of the federation's; return its log once it has ended or been refused."""
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
    part = federation.parts.start("stranger", [sys.executable, "-m", "supernode", str(file)], variables or {})
    federation.parts.started.remove(part)  # the test watches and stops it itself
    return part


def said(part, text: str, seconds: float = 60) -> str:
    end = time.monotonic() + seconds
    try:
        while text not in (log := part.log.read_text(errors="replace")):
            assert time.monotonic() < end, f"{text!r} is not in the log:\n{log[-3000:]}"
            time.sleep(0.1)
        return log
    finally:
        part.log.rename(part.log.with_suffix(f".{time.monotonic_ns()}"))


def stop(part) -> int:
    part.process.terminate()
    return part.process.wait(20)


def test_a_key_that_is_not_registered_is_turned_away(running, tmp_path, stranger_port):
    part = start_stranger(running, tmp_path / "stranger", stranger_port)
    assert part.process.wait(60) == 42  # Flower's own code would be 0
    said(part, "this node's key is not registered at the SuperLink")
    assert set(running.sites) == {name for name in running.sites if running.status(name) == "online"}


def test_a_node_with_a_wrong_ca_refuses_the_superlink(running, tmp_path, stranger_port):
    other = pki.private_directory(tmp_path / "other")
    authority = pki.create_authority(other, federation="other")
    part = start_stranger(
        running, tmp_path / "stranger", stranger_port, **{"ca-certificate": authority.certificate_file}
    )
    said(part, "the SuperLink's certificate was not issued by this federation's CA")
    stop(part)


def test_a_plaintext_client_is_turned_away(running):
    import grpc
    from flwr.proto.fleet_pb2 import PullMessagesRequest
    from flwr.proto.fleet_pb2_grpc import FleetStub

    with grpc.insecure_channel(f"127.0.0.1:{running.ports.fleet}") as channel, pytest.raises(grpc.RpcError) as refused:
        FleetStub(channel).PullMessages(PullMessagesRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_node_without_a_signature_is_turned_away(running):
    import grpc
    from flwr.proto.fleet_pb2 import PullMessagesRequest
    from flwr.proto.fleet_pb2_grpc import FleetStub

    credentials = grpc.ssl_channel_credentials(running.ca_certificate.read_bytes())
    with (
        grpc.secure_channel(f"127.0.0.1:{running.ports.fleet}", credentials) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        FleetStub(channel).PullMessages(PullMessagesRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.skipif(
    not FAKETIME and "CI" not in os.environ, reason="libfaketime is not installed (Debian's package faketime)"
)
def test_a_clock_ten_seconds_ahead_is_turned_away(running, tmp_path, stranger_port):
    name = "late-registered"
    directory = tmp_path / "stranger"
    directory.mkdir(mode=0o700)
    pki.create_node_key(directory / "node.key")
    pki.create_secret(directory / "worker.secret")
    with running.control() as control:
        control.register_node(pki.public_key_pem(directory / "node.key.pub"), name)
    clock = {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME": "+10s", "DONT_FAKE_MONOTONIC": "1"}
    part = start_stranger(running, directory, stranger_port, clock)
    said(part, "Invalid timestamp (this machine's clock is off")
    stop(part)
    assert running.status(name) != "online"
    # The counter-proof: the same node with the right time gets in.
    part = start_stranger(running, directory, stranger_port)
    running.parts.wait_until(lambda: running.status(name) == "online", "the node with the right time", 60)
    stop(part)
