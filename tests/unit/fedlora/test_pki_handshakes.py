"""What TLS makes of certificates: OpenSSL through Python, and gRPC, which a SuperNode uses."""

import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fedlora.pki import Authority, create_authority, issue_server_certificate
from fedlora.pki.reading import Role
from fedlora.pki.renewal import renew

NAMES = ("superlink.example", "localhost", "127.0.0.1", "::1")


def certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def subject(name: str) -> str:
    return f"CN={name},O=fedlora"


def handshake(server: tuple[Path, Path], trusted: Path, name: str) -> tuple[bytes, int, str | None]:
    """Connect by TLS as a client that trusts `trusted` and calls the server `name`.

    Returns
    -------
    tuple
        What the server said, OpenSSL's verification code (0: all is well), and the alert that reached the server.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server)
    client = ssl.create_default_context(cafile=trusted)
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    alerts: list[str | None] = []

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            connection, _ = listener.accept()
            connection.settimeout(10)
            with connection:
                try:
                    with context.wrap_socket(connection, server_side=True) as secure:
                        secure.sendall(b"hello")
                        secure.recv(
                            1
                        )  # in TLS 1.3 the client's alert may come after the server's side of the handshake
                    alerts.append(None)
                except ssl.SSLError as error:
                    alerts.append(error.reason)

        thread = threading.Thread(target=serve)
        thread.start()
        said, code = b"", 0
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=10) as plain,
                client.wrap_socket(plain, server_hostname=name) as secure,
            ):
                said = secure.recv(16)
                secure.sendall(b"!")
        except ssl.SSLCertVerificationError as error:
            code = error.verify_code
        finally:
            thread.join(30)
        assert not thread.is_alive()
    return said, code, alerts[0]


def grpc_outcome(server: tuple[Path, Path], trusted: Path, name: str) -> str:
    """Connect by gRPC as a SuperNode does, and return "ready" or why it did not come to that."""
    certificate_file, key_file = server
    listener = grpc.server(ThreadPoolExecutor(1))
    port = listener.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([(key_file.read_bytes(), certificate_file.read_bytes())])
    )
    listener.start()
    credentials = grpc.ssl_channel_credentials(trusted.read_bytes())
    options = [("grpc.ssl_target_name_override", name)]
    try:
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
            channel.unary_unary("/none/none")(b"", timeout=20, wait_for_ready=False)
    except grpc.RpcError as error:
        return "ready" if error.code() is grpc.StatusCode.UNIMPLEMENTED else error.details()
    finally:
        listener.stop(None).wait()
    return "answered"


UNKNOWN_ISSUER = (b"", 20, "TLSV1_ALERT_UNKNOWN_CA")
EXPIRED = (b"", 10, "SSLV3_ALERT_CERTIFICATE_EXPIRED")
NOT_YET = (b"", 9, "SSLV3_ALERT_BAD_CERTIFICATE")
OTHER_NAME = (b"", 62, "SSLV3_ALERT_BAD_CERTIFICATE")
OTHER_ADDRESS = (b"", 64, "SSLV3_ALERT_BAD_CERTIFICATE")


@pytest.mark.parametrize("name", NAMES)
def test_tls_right_ca(authority, server, name):
    assert handshake(server, authority.certificate_file, name) == (b"hello", 0, None)


def test_tls_wrong_ca(server, tmp_path):
    # Of the same name: it is the key that counts.
    impostor = create_authority(tmp_path, federation="test")
    assert handshake(server, impostor.certificate_file, "localhost") == UNKNOWN_ISSUER


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("other.example", OTHER_NAME), ("sub.superlink.example", OTHER_NAME), ("127.0.0.2", OTHER_ADDRESS)],
)
def test_tls_wrong_name(authority, server, name, outcome):
    assert handshake(server, authority.certificate_file, name) == outcome


def test_tls_the_common_name_is_no_name(authority, tmp_path):
    # Only an address among the alternatives, and it is not taken for a DNS name.
    pair = issue_server_certificate(authority, tmp_path, names=["127.0.0.1"])
    assert handshake(pair, authority.certificate_file, "localhost") == OTHER_NAME


@pytest.mark.parametrize(
    ("name", "stands_in"),
    [
        pytest.param("a" * 56 + ".example", subject("a" * 56 + ".example"), id="64"),
        pytest.param("a" * 57 + ".example", "O=fedlora", id="65"),
        pytest.param("a." * 126 + "a", "O=fedlora", id="253"),
    ],
)
def test_tls_long_names(authority, tmp_path, name, stands_in):
    # A common name ends at 64 characters, a DNS name at 253.
    pair = issue_server_certificate(authority, tmp_path, names=[name])
    assert certificate(pair[0]).subject.rfc4514_string() == stands_in
    assert handshake(pair, authority.certificate_file, name) == (b"hello", 0, None)


def test_tls_expired_server(authority, tmp_path):
    pair = issue_server_certificate(authority, tmp_path, names=["localhost"], days=0)
    assert handshake(pair, authority.certificate_file, "localhost") == EXPIRED


def test_tls_expired_ca(tmp_path):
    old = create_authority(tmp_path, federation="test", days=0)
    pair = issue_server_certificate(old, tmp_path, names=["localhost"])
    assert handshake(pair, old.certificate_file, "localhost") == EXPIRED


def test_tls_a_server_is_no_authority(authority, server, tmp_path):
    key = serialization.load_pem_private_key(server[1].read_bytes(), None)
    pretender = Authority(*server, certificate(server[0]), key)
    leaf, leaf_key = issue_server_certificate(pretender, tmp_path, names=["localhost"])
    chain = tmp_path / "chain.crt"
    chain.write_bytes(leaf.read_bytes() + server[0].read_bytes())
    said, code, _ = handshake((chain, leaf_key), authority.certificate_file, "localhost")
    assert (said, code) == (b"", 79)  # X509_V_ERR_INVALID_CA


def test_tls_not_yet_valid(authority, tmp_path, monkeypatch):
    pair = issued_in(timedelta(days=1), authority, tmp_path, monkeypatch)
    assert handshake(pair, authority.certificate_file, "localhost") == NOT_YET


def issued_in(ahead: timedelta, authority: Authority, folder: Path, monkeypatch) -> tuple[Path, Path]:
    """Issue a server's certificate on a clock that is ahead."""
    with monkeypatch.context() as patch:
        patch.setattr("fedlora.pki.contents.now", lambda: datetime.now(UTC) + ahead)
        return issue_server_certificate(authority, folder, names=["localhost"])


def test_tls_the_slack_covers_a_clock_that_is_behind(authority, tmp_path, monkeypatch):
    pair = issued_in(timedelta(minutes=4), authority, tmp_path, monkeypatch)
    assert handshake(pair, authority.certificate_file, "localhost") == (b"hello", 0, None)


# --- the same through gRPC


def test_grpc_right_ca(authority, server):
    assert grpc_outcome(server, authority.certificate_file, "superlink.example") == "ready"


def test_grpc_wrong_ca(server, tmp_path):
    impostor = create_authority(tmp_path, federation="test")
    assert "CERTIFICATE_VERIFY_FAILED" in grpc_outcome(server, impostor.certificate_file, "superlink.example")


def test_grpc_wrong_name(authority, server):
    found = grpc_outcome(server, authority.certificate_file, "other.example")
    assert "Hostname Verification Check failed" in found or "not in peer certificate" in found


def test_grpc_expired(authority, tmp_path):
    pair = issue_server_certificate(authority, tmp_path, names=["localhost"], days=0)
    assert "certificate has expired" in grpc_outcome(pair, authority.certificate_file, "localhost")


def test_grpc_not_yet_valid(authority, tmp_path, monkeypatch):
    pair = issued_in(timedelta(days=1), authority, tmp_path, monkeypatch)
    assert "certificate is not yet valid" in grpc_outcome(pair, authority.certificate_file, "localhost")


# --- after a renewal


@pytest.fixture
def federation(tmp_path: Path) -> Authority:
    made = create_authority(tmp_path, federation="test")
    issue_server_certificate(made, tmp_path, names=["localhost"], days=0)
    return made


def both(folder: Path, trusted: Path) -> tuple[object, str]:
    pair = folder / "server.crt", folder / "server.key"
    return handshake(pair, trusted, "localhost"), grpc_outcome(pair, trusted, "localhost")


@pytest.mark.parametrize("new_key", [False, True], ids=["same-key", "new-key"])
def test_an_expired_server_is_good_again_when_renewed(federation, tmp_path, new_key):
    assert handshake((tmp_path / "server.crt", tmp_path / "server.key"), tmp_path / "ca.crt", "localhost") == EXPIRED
    renew(tmp_path, Role.SERVER, new_key=new_key)
    assert both(tmp_path, tmp_path / "ca.crt") == ((b"hello", 0, None), "ready")


def test_a_ca_renewed_on_its_key_stays_good_on_both_sides(federation, tmp_path):
    renew(tmp_path, Role.SERVER)
    renew(tmp_path, Role.AUTHORITY)
    assert (tmp_path / "ca.crt").read_bytes() != (tmp_path / "ca.crt.previous").read_bytes()
    for trusted in ("ca.crt", "ca.crt.previous"):  # a site that has the new one, and one that has not
        assert both(tmp_path, tmp_path / trusted) == ((b"hello", 0, None), "ready")


def test_a_ca_on_a_new_key_ends_what_the_old_one_signed(federation, tmp_path):
    renew(tmp_path, Role.SERVER)
    renew(tmp_path, Role.AUTHORITY, new_key=True)
    said, code, _ = handshake((tmp_path / "server.crt", tmp_path / "server.key"), tmp_path / "ca.crt", "localhost")
    assert (said, code) == (b"", 20)
    renew(tmp_path, Role.SERVER)
    assert both(tmp_path, tmp_path / "ca.crt") == ((b"hello", 0, None), "ready")
