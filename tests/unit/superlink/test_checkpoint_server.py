"""The checkpoint server: who is let in, and what is answered."""

import contextlib
import json
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from served_run import coordinator, exchange

from fedlora.errors import CredentialError, PortInUseError
from fedlora.pki import create_authority, create_node_key, issue_admin_certificate, issue_evaluator_certificate
from fedlora.pki.certificates import private_pem
from fedlora.pki.node_keys import load_node_key
from superlink import checkpoint_server
from superlink.checkpoint_server import CheckpointServer

RUN, FILES = "/v1/runs/tweets", "/v1/runs/tweets/checkpoints/round-0001"
REFUSED = ("ALERT", "alert", "EOF", "reset", "Broken pipe")


@pytest.fixture
def served(tmp_path):
    with coordinator(tmp_path) as made:
        made.round(1)
        yield made


def ask(served, path, pair="evaluator", head="", method="GET"):
    """Return status, head and body of the answer to `path`, sent as it stands."""
    sent = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n".encode()
    pair = served.evaluator if pair == "evaluator" else pair
    found = exchange(served.server.port, sent, served.authority.certificate_file, pair)
    top, _, body = found.partition(b"\r\n\r\n")
    return int(top.split()[1]), top.decode(), body


def on_node_key(served, folder):
    """Make a certificate that a site could make for itself: its node key signs it."""
    folder.mkdir()
    create_node_key(folder / "node.key")
    key = load_node_key(folder / "node.key")
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "a")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(served.authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, hashes.SHA384())
    )
    (folder / "a.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "a.key").write_bytes(private_pem(key))  # OpenSSL does not read OpenSSH's format
    return folder / "a.crt", folder / "a.key"


def expired(served, folder):
    folder.mkdir()
    with mock.patch("fedlora.pki.contents.now", lambda: datetime.now(UTC) - timedelta(days=10)):
        return issue_evaluator_certificate(served.authority, folder, name="late", days=9)


def of_another_ca(served, folder):
    folder.mkdir()
    impostor = create_authority(folder, federation="test")
    return issue_evaluator_certificate(impostor, folder, name="impostor")


def server_pair(served, folder):
    return served.directory / "server" / "server.crt", served.directory / "server" / "server.key"


def nobody(served, folder):
    return None


@pytest.mark.parametrize("who", [nobody, on_node_key, expired, of_another_ca, server_pair])
def test_whoever_has_no_certificate_for_it_is_told_nothing(served, tmp_path, who):
    pair = who(served, tmp_path / "other")
    sent = f"GET {RUN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    try:
        found = exchange(served.server.port, sent, served.authority.certificate_file, pair)
    except OSError as error:  # ssl.SSLError is one; in TLS 1.3 the alert may come after the client's side is done
        found = b""
        assert any(word in str(error) for word in REFUSED), error
    assert found == b""
    assert ask(served, RUN)[0] == 200  # and nobody else is kept out by that


def test_an_admin_is_no_evaluator(served, tmp_path):
    (tmp_path / "admin").mkdir()
    pair = issue_admin_certificate(served.authority, tmp_path / "admin", name="ada")
    for path in (RUN, f"{FILES}/checkpoint.json"):
        status, _, body = ask(served, path, pair)
        assert (status, body) == (403, b"the checkpoints are for evaluators, and this is the certificate of: admin\n")


def test_a_plain_connection_is_told_nothing(served):
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=20) as plain:
        plain.sendall(f"GET {RUN} HTTP/1.1\r\n\r\n".encode())
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in plain.recv(100)


def test_a_run_and_its_files(served):
    folder = served.folder.adapter
    offer = json.loads(ask(served, RUN)[2])
    assert (offer["run"], offer["state"], offer["ended"]) == ("tweets", "running", False)
    (checkpoint,) = offer["checkpoints"]
    assert (checkpoint["round"], checkpoint["epoch"]) == (1, 1)
    assert sorted(checkpoint["files"]) == sorted(entry.name for entry in folder.iterdir())
    for name, file in checkpoint["files"].items():
        status, _, body = ask(served, f"{FILES}/{name}")
        assert (status, len(body)) == (200, file["bytes"])
        assert body == (folder / name).read_bytes()
    served.end()
    assert json.loads(ask(served, RUN)[2])["ended"] is True


def test_from_a_byte_on(served):
    whole = (served.folder.adapter / "strategy.safetensors").read_bytes()
    status, head, body = ask(served, f"{FILES}/strategy.safetensors", head="Range: bytes=700000-\r\n")
    assert (status, body) == (206, whole[700000:])
    assert f"Content-Range: bytes 700000-{len(whole) - 1}/{len(whole)}" in head
    assert ask(served, f"{FILES}/strategy.safetensors", head=f"Range: bytes={len(whole)}-\r\n")[0] == 416
    # What is not of that one form is not obeyed, and the whole file is a right answer to it.
    for odd in ("bytes=-5", "bytes=0-5", "bytes=1-,3-", "bytes=0x10-", "lines=3-"):
        status, _, body = ask(served, f"{FILES}/strategy.safetensors", head=f"Range: {odd}\r\n")
        assert (status, len(body)) == (200, len(whole))


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/runs",
        "/v1/runs/",
        "/v1/runs/..",
        "/v1/runs/none",
        "/v1/runs/tweets/",
        "/v1/runs/tweets/run.json",
        "/v1/runs/tweets/ledger.sqlite",
        "/v1/runs/tweets/checkpoints",
        "/v1/runs/tweets/checkpoints/round-0001",
        "/v1/runs/tweets/checkpoints/round-0001/",
        f"{FILES}/../../run.json",
        f"{FILES}/../../ledger.sqlite",
        f"{FILES}/..%2f..%2frun.json",
        f"{FILES}/%2e%2e/%2e%2e/run.json",
        f"{FILES}/....//run.json",
        f"{FILES}/..\\..\\run.json",
        f"{FILES}//etc/passwd",
        f"{FILES}/checkpoint.json%00.txt",
        f"{FILES}/checkpoint.json?x=1",
        f"{FILES}/checkpoint.json#x",
        f"{FILES}/.hidden",
        f"{FILES}/unlisted",
        f"{FILES}/a-link",
        f"{FILES}/{'a' * 5000}",
        "/v1/runs/tweets/checkpoints/.round-0002.epoch-1/spec.json",
        "/v1/runs/tweets/checkpoints/round-0099/checkpoint.json",
        "/v1/runs/tweets/checkpoints/round-../checkpoint.json",
        "/v1/runs/../runs/tweets/checkpoints/round-0001/checkpoint.json",
        "/v1/runs/linked/checkpoints/round-0001/checkpoint.json",
        "/V1/runs/tweets",
        "https://localhost/v1/runs/tweets",
        "*",
    ],
)
def test_nothing_else_is_there(served, path):
    folder = served.folder.adapter
    (folder / ".hidden").write_text("secret")
    (folder / "unlisted").write_text("secret")
    (folder / "a-link").symlink_to("/etc/passwd")
    about = json.loads((folder / "checkpoint.json").read_text())
    about["files"] |= {"a-link": "0" * 64, ".hidden": "0" * 64, "../../run.json": "0" * 64}
    (folder / "checkpoint.json").write_text(json.dumps(about))
    outside = served.directory / "outside" / "checkpoints"
    outside.mkdir(parents=True)
    (outside / "round-0001").symlink_to(folder)
    (served.folder.runs / "linked").symlink_to(outside.parent)
    status, _, body = ask(served, path)
    assert status == 404
    assert body in (b"there is nothing here\n", b"there is no such file of a checkpoint, or no longer\n",
                    b"there is no run none\n")  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(served, method):
    before = {file: file.read_bytes() for file in served.folder.adapter.iterdir()}
    assert ask(served, f"{FILES}/checkpoint.json", method=method)[0] == 501
    assert {file: file.read_bytes() for file in served.folder.adapter.iterdir()} == before


def test_one_who_says_nothing_keeps_nobody_waiting_and_is_cut_off(served, monkeypatch):
    monkeypatch.setattr(checkpoint_server, "HANDSHAKE_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=30) as silent:
        assert ask(served, RUN)[0] == 200
        assert silent.recv(10) == b""  # without the cut-off it is a minute before this returns, and this gives up


def test_more_connections_than_are_allowed_are_turned_away(served, monkeypatch):
    address = ("127.0.0.1", served.server.port)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(served.server._server, "free", checkpoint_server.threading.BoundedSemaphore(1))
        with socket.create_connection(address, timeout=20) as first:
            first.sendall(b"\x16")
            while served.server._server.free._value:
                time.sleep(0.01)
            with socket.create_connection(address, timeout=20) as second:
                assert second.recv(1) == b""
        freed(served)
        assert ask(served, RUN)[0] == 200
        freed(served)


def freed(served):
    while not served.server._server.free._value:
        time.sleep(0.01)


def test_old_tls_is_refused(served):
    context = ssl.create_default_context(cafile=served.authority.certificate_file)
    context.load_cert_chain(*served.evaluator)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("localhost", served.server.port), timeout=20) as plain,
        pytest.raises(ssl.SSLError, match="PROTOCOL"),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def test_what_cannot_be_served_is_named(served, tmp_path):
    pair = {"certificate": served.directory / "server/server.crt", "key": served.directory / "server/server.key"}
    ca = served.authority.certificate_file
    with pytest.raises(PortInUseError, match="checkpoints cannot be served at"):
        CheckpointServer(tmp_path, f"127.0.0.1:{served.server.port}", ca_certificate=ca, **pair)
    with pytest.raises(CredentialError, match="cannot be used"):
        CheckpointServer(tmp_path, "127.0.0.1:0", ca_certificate=tmp_path / "none", **pair)
