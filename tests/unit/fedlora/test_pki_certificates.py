"""What stands in certificates."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from fedlora.errors import CredentialError
from fedlora.pki import create_authority, issue_server_certificate

NAMES = ("superlink.example", "localhost", "127.0.0.1", "::1")


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
