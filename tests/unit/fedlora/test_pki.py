"""Keys and certificates: what stands in them, who may read them, and what TLS makes of them."""

import ipaddress
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from fedlora.errors import CredentialError
from fedlora.pki import (
    Authority,
    create_authority,
    create_node_key,
    create_secret,
    issue_server_certificate,
    private_directory,
    public_key_pem,
    write_private,
)
from fedlora.pki.node_keys import load_node_key

NAMES = ("superlink.example", "localhost", "127.0.0.1", "::1")
# An ECDSA P-384 key by `ssh-keygen -t ecdsa -b 384 -N fedlora`, used nowhere: writing one takes a package of its own.
KEY_WITH_PASSPHRASE = b"""\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABBmn/wkL5
4bxPg3vxBexDMmAAAAEAAAAAEAAACIAAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlz
dHAzODQAAABhBMVAql2lQkZjnOukiTSokKgOQhngdQ56XvgUVkE0hGsijun+sIGgewnhZ5
hvTs7seZuJD8HID1ugvwvb0s7lcqiIr38h3UcvzpzzyR385uNxfN/BiexuUUktsvc+RMCd
OQAAANBTHwZ7IxNdfmqDXyXLQqUruRjK12PMnkuXI8eiVWAzsN8D0U3qaXA6T4ZQnZVs5+
K33wejq9DmSYMLElXV6EtTFay9SjbSfIHQ0mjgmnhn4z0Fzx9BdXzQxVZNhnxol+mynFC7
jv21xaWZ97plops4VPQ6nFKFks2ggrKR8usFbttMrYqjGEwvJfwCrrvV/Dvrp9kLZAr+0i
sW377OzdcQEc7vedlhEcu705ul4SIbZWn+PJzsQKpNPZvgaU74LX4NRua6XwIL86SjlAOB
t62o
-----END OPENSSH PRIVATE KEY-----
"""
OPENSSH = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return create_authority(tmp_path_factory.mktemp("ca"), federation="test")


@pytest.fixture(scope="module")
def server(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return issue_server_certificate(authority, tmp_path_factory.mktemp("server"), names=NAMES)


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let every mode through, so that a file is private because it was asked for."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o7777


def certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def extensions(of: x509.Certificate) -> dict[x509.ObjectIdentifier, tuple[bool, x509.ExtensionType]]:
    return {extension.oid: (extension.critical, extension.value) for extension in of.extensions}


def usage(*allowed: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in allowed for name in every})


def subject(name: str) -> str:
    return f"CN={name},O=fedlora"


# --- what stands in the certificates


def test_extensions_of_the_ca(authority):
    found = certificate(authority.certificate_file)
    assert extensions(found) == {
        ExtensionOID.BASIC_CONSTRAINTS: (True, x509.BasicConstraints(ca=True, path_length=0)),
        ExtensionOID.KEY_USAGE: (True, usage("key_cert_sign", "crl_sign")),
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: (False, x509.SubjectKeyIdentifier.from_public_key(found.public_key())),
    }


def test_extensions_of_the_server(authority, server):
    found = certificate(server[0])
    assert extensions(found) == {
        ExtensionOID.BASIC_CONSTRAINTS: (True, x509.BasicConstraints(ca=False, path_length=None)),
        ExtensionOID.KEY_USAGE: (True, usage("digital_signature")),
        ExtensionOID.EXTENDED_KEY_USAGE: (False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: (
            False,
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("superlink.example"),
                    x509.DNSName("localhost"),
                    x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
                    x509.IPAddress(ipaddress.IPv6Address("::1")),
                ]
            ),
        ),
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: (False, x509.SubjectKeyIdentifier.from_public_key(found.public_key())),
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: (
            False,
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
        ),
    }


def test_names_and_signatures(authority, server):
    ca, leaf = certificate(authority.certificate_file), certificate(server[0])
    assert ca.subject.rfc4514_string() == ca.issuer.rfc4514_string() == subject("test CA")
    assert leaf.subject.rfc4514_string() == subject("superlink.example")
    ca.verify_directly_issued_by(ca)
    leaf.verify_directly_issued_by(ca)
    for one in (ca, leaf):
        assert one.version is x509.Version.v3
        assert isinstance(one.signature_hash_algorithm, hashes.SHA384)
        assert one.public_key().curve.name == "secp384r1"


def test_serial_numbers_differ(authority, server, tmp_path):
    again, _ = issue_server_certificate(authority, tmp_path, names=NAMES)
    assert certificate(again).serial_number != certificate(server[0]).serial_number


def test_keys_belong_to_their_certificates(authority, server):
    for certificate_file, key_file in ((authority.certificate_file, authority.key_file), server):
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        assert key_file.read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
        assert key.public_key() == certificate(certificate_file).public_key()


def test_what_is_returned_is_what_was_written(authority, tmp_path):
    made = create_authority(tmp_path, federation="other")
    assert (made.certificate_file, made.key_file) == (tmp_path / "ca.crt", tmp_path / "ca.key")
    assert made.certificate == certificate(made.certificate_file)
    assert made.key.public_key() == made.certificate.public_key()
    pair = issue_server_certificate(made, tmp_path, names=["a"])
    assert pair == (tmp_path / "server.crt", tmp_path / "server.key")


@pytest.mark.parametrize(("days", "ca_days", "server_days"), [({}, 3650, 365), ({"days": 7}, 7, 7)])
def test_validity(tmp_path, days, ca_days, server_days):
    before = datetime.now(UTC).replace(microsecond=0)
    made = create_authority(tmp_path, federation="other", **days)
    leaf, _ = issue_server_certificate(made, tmp_path, names=["a"], **days)
    after = datetime.now(UTC)
    for one, length in ((made.certificate, ca_days), (certificate(leaf), server_days)):
        assert before <= one.not_valid_before_utc + timedelta(minutes=5) <= after
        assert one.not_valid_after_utc - one.not_valid_before_utc == timedelta(days=length, minutes=5)


def test_a_server_certificate_needs_a_name(authority, tmp_path):
    with pytest.raises(CredentialError) as caught:
        issue_server_certificate(authority, tmp_path, names=[])
    assert str(caught.value) == "a server certificate needs at least one name"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [lambda name: [name], lambda name: ["localhost", name]], ids=["first", "second"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("z\u00fcrich.example", id="not-ascii"),
        pytest.param("a" * 64, id="label-of-64"),
        pytest.param("a." * 126 + "aa", id="name-of-254"),
        pytest.param("a b", id="space"),
        pytest.param(" localhost", id="space-in-front"),
        pytest.param("localhost\n", id="newline"),
        pytest.param("a/b", id="slash"),
        pytest.param("127.0.0.0/8", id="network"),
        pytest.param("localhost:9092", id="port"),
        pytest.param("a..b", id="empty-label"),
        pytest.param("-a", id="hyphen-in-front"),
    ],
)
def test_what_is_no_name_for_a_server(authority, tmp_path, names, name):
    with pytest.raises(CredentialError) as caught:
        issue_server_certificate(authority, tmp_path, names=names(name))
    assert str(caught.value) == f"{name!r} is neither an IP address nor a DNS name"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("days", [-1, -365, 10**7])
def test_a_certificate_has_days_that_a_calendar_has(authority, tmp_path, days):
    makers = (
        lambda: issue_server_certificate(authority, tmp_path, names=["a"], days=days),
        lambda: create_authority(tmp_path, federation="a", days=days),
    )
    for make in makers:
        with pytest.raises(CredentialError) as caught:
            make()
        assert str(caught.value) == f"a certificate cannot be valid for {days} days; allowed: 0 to 36500"
    assert list(tmp_path.iterdir()) == []


# --- what TLS makes of them


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


UNKNOWN_ISSUER = (b"", 20, "TLSV1_ALERT_UNKNOWN_CA")
EXPIRED = (b"", 10, "SSLV3_ALERT_CERTIFICATE_EXPIRED")
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


# --- node keys


def private_file(file: Path, key: object) -> Path:
    file.write_bytes(key.private_bytes(*OPENSSH))
    return file


def public_file(file: Path, key: object) -> Path:
    file.write_bytes(key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH))
    return file


OTHER_KEYS = pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: ec.generate_private_key(ec.SECP256R1()), id="p-256"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP521R1()), id="p-521"),
        pytest.param(ed25519.Ed25519PrivateKey.generate, id="ed25519"),
        pytest.param(lambda: rsa.generate_private_key(65537, 2048), id="rsa"),
    ],
)


def test_node_key(tmp_path):
    file = tmp_path / "node"
    assert create_node_key(file) == tmp_path / "node.pub"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["node", "node.pub"]
    assert file.read_bytes().startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert re.fullmatch(rb"ecdsa-sha2-nistp384 [A-Za-z0-9+/]+=*\n", (tmp_path / "node.pub").read_bytes())
    key = load_node_key(file)
    assert key.curve.name == "secp384r1"
    pem = public_key_pem(tmp_path / "node.pub")
    assert pem.startswith(b"-----BEGIN PUBLIC KEY-----\n")
    assert serialization.load_pem_public_key(pem) == key.public_key()


def test_node_keys_differ(tmp_path):
    assert create_node_key(tmp_path / "a").read_bytes() != create_node_key(tmp_path / "b").read_bytes()


@OTHER_KEYS
def test_other_private_keys_are_refused(tmp_path, make):
    file = private_file(tmp_path / "node", make())
    with pytest.raises(CredentialError) as caught:
        load_node_key(file)
    assert str(caught.value) == f"{file} is not an ECDSA P-384 key"


@OTHER_KEYS
def test_other_public_keys_are_refused(tmp_path, make):
    file = public_file(tmp_path / "node.pub", make())
    with pytest.raises(CredentialError) as caught:
        public_key_pem(file)
    assert str(caught.value) == f"{file} is not an ECDSA P-384 public key"


def test_a_certificates_key_is_no_node_key(authority):
    # The right curve in the wrong format.
    with pytest.raises(CredentialError) as caught:
        load_node_key(authority.key_file)
    assert str(caught.value).startswith(f"cannot read the node key {authority.key_file}: ")


def test_a_key_with_a_passphrase_is_no_node_key(tmp_path):
    file = tmp_path / "node"
    file.write_bytes(KEY_WITH_PASSPHRASE)
    with pytest.raises(CredentialError) as caught:
        load_node_key(file)
    assert str(caught.value) == (
        f"cannot read the node key {file}: Key is password-protected, but password was not provided."
    )


def test_a_private_key_is_not_registered_in_place_of_the_public_one(tmp_path):
    file = tmp_path / "node"
    create_node_key(file)
    with pytest.raises(CredentialError) as caught:
        public_key_pem(file)
    assert str(caught.value).startswith(f"cannot read the public key {file}: ")
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize(
    ("read", "what"), [(load_node_key, "node key"), (public_key_pem, "public key")], ids=["private", "public"]
)
def test_unreadable_keys(tmp_path, read, what):
    file = tmp_path / "node"
    with pytest.raises(CredentialError) as caught:
        read(file)
    assert str(caught.value) == f"cannot read the {what} {file}: [Errno 2] No such file or directory: '{file}'"
    file.write_bytes(b"\x00 garbage\n")
    with pytest.raises(CredentialError) as caught:
        read(file)
    assert str(caught.value).startswith(f"cannot read the {what} {file}: ")


# --- files that are their owner's alone


def test_modes(tmp_path, no_umask):
    made = create_authority(tmp_path, federation="test")
    issue_server_certificate(made, tmp_path, names=["a"])
    create_node_key(tmp_path / "node")
    create_secret(tmp_path / "secret")
    assert {file.name: oct(mode(file)) for file in tmp_path.iterdir()} == dict.fromkeys(
        ("ca.crt", "ca.key", "server.crt", "server.key", "node", "node.pub", "secret"), "0o600"
    )


def test_mode_is_right_before_anything_is_written(tmp_path, no_umask, monkeypatch):
    modes = []
    fdopen = os.fdopen

    def look(descriptor: int, *arguments: object) -> object:
        modes.append((os.fstat(descriptor).st_mode & 0o7777, os.fstat(descriptor).st_size))
        return fdopen(descriptor, *arguments)

    monkeypatch.setattr(os, "fdopen", look)
    write_private(tmp_path / "a", b"content")
    assert modes == [(0o600, 0)]


def test_written_content(tmp_path):
    file = tmp_path / "a"
    assert write_private(file, b"\x00\xff\r\n") == file
    assert file.read_bytes() == b"\x00\xff\r\n"


def test_secret(tmp_path):
    first, second = create_secret(tmp_path / "a"), create_secret(tmp_path / "b")
    assert re.fullmatch(rb"[0-9a-f]{64}", first.read_bytes())
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.parametrize(
    ("existing", "create"),
    [
        ("ca.key", lambda folder, _: create_authority(folder, federation="test")),
        ("ca.crt", lambda folder, _: create_authority(folder, federation="test")),
        ("server.key", lambda folder, authority: issue_server_certificate(authority, folder, names=["a"])),
        ("server.crt", lambda folder, authority: issue_server_certificate(authority, folder, names=["a"])),
        ("node", lambda folder, _: create_node_key(folder / "node")),
        ("node.pub", lambda folder, _: create_node_key(folder / "node")),
        ("secret", lambda folder, _: create_secret(folder / "secret")),
        ("file", lambda folder, _: write_private(folder / "file", b"new")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_overwritten(authority, tmp_path, existing, create):
    file = tmp_path / existing
    file.write_bytes(b"precious")
    with pytest.raises(CredentialError) as caught:
        create(tmp_path, authority)
    assert str(caught.value) == f"{file} exists already and is not overwritten; move it away first"
    assert file.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [file]  # and half of a new pair does not stay behind


def test_a_link_is_not_followed(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    with pytest.raises(CredentialError) as caught:
        write_private(link, b"new")
    assert str(caught.value) == f"{link} exists already and is not overwritten; move it away first"
    assert not (tmp_path / "target").exists()


def test_a_file_in_a_folder_that_is_not_there(tmp_path):
    file = tmp_path / "none" / "file"
    with pytest.raises(CredentialError) as caught:
        write_private(file, b"new")
    assert str(caught.value) == f"cannot write {file}: [Errno 2] No such file or directory: '{file}'"


def test_private_directory(tmp_path, no_umask):
    folder = tmp_path / "above" / "keys"
    assert private_directory(folder) == folder
    assert mode(folder) == 0o700
    (folder / "file").touch()
    assert private_directory(folder) == folder
    assert (folder / "file").exists()


@pytest.mark.parametrize("open_to", [0o750, 0o705, 0o710, 0o701, 0o702, 0o777])
def test_a_folder_that_others_may_enter(tmp_path, open_to):
    folder = tmp_path / "keys"
    folder.mkdir()
    folder.chmod(open_to)
    with pytest.raises(CredentialError) as caught:
        private_directory(folder)
    assert str(caught.value) == f"{folder} has mode 0{open_to:o}: others may enter it; run: chmod 700 {folder}"
    assert mode(folder) == open_to


def test_a_file_in_place_of_the_folder(tmp_path):
    file = tmp_path / "keys"
    file.touch()
    with pytest.raises(CredentialError) as caught:
        private_directory(file)
    assert str(caught.value) == f"cannot create the folder {file}: [Errno 17] File exists: '{file}'"
