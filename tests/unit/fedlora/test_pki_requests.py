"""Requests for a certificate: what is asked, what is signed, and what is refused."""

import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from fedlora.errors import CredentialError
from fedlora.pki import issue_server_certificate
from fedlora.pki.contents import CA_USAGE, SERVER_PURPOSE, SERVER_USAGE, names_of
from fedlora.pki.reading import Role, read_certificate, read_pair
from fedlora.pki.requests import Request, create_request, read_request, repeat_request, sign_request

NAMES = ("superlink.example", "10.0.0.1")
ALTERNATIVES = x509.SubjectAlternativeName([x509.DNSName("superlink.example")])


def extensions(of) -> dict:
    return {extension.oid: (extension.critical, extension.value) for extension in of.extensions}


def refused(call) -> str:
    with pytest.raises(CredentialError) as caught:
        call()
    return str(caught.value)


def write(file: Path, *asked: x509.ExtensionType, key=None) -> Path:
    """Write a request that asks for `asked`."""
    key = key or ec.generate_private_key(ec.SECP384R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    for extension in asked:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA384()
    file.write_bytes(builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM))
    return file


def test_what_a_request_asks_for(tmp_path):
    file = create_request(tmp_path, names=NAMES)
    request = x509.load_pem_x509_csr(file.read_bytes())
    assert request.subject.rfc4514_string() == "CN=superlink.example,O=fedlora"
    assert extensions(request) == {
        ExtensionOID.BASIC_CONSTRAINTS: (True, x509.BasicConstraints(ca=False, path_length=None)),
        ExtensionOID.KEY_USAGE: (True, SERVER_USAGE),
        ExtensionOID.EXTENDED_KEY_USAGE: (False, SERVER_PURPOSE),
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: (
            False,
            x509.SubjectAlternativeName([x509.DNSName(NAMES[0]), x509.IPAddress(ipaddress.ip_address(NAMES[1]))]),
        ),
    }
    assert {entry.name: entry.stat().st_mode & 0o777 for entry in tmp_path.iterdir()} == {
        "server.csr": 0o600,
        "server.key": 0o600,
    }
    assert b"PRIVATE" not in file.read_bytes()


def test_a_signed_request_is_what_the_ca_itself_would_have_made(authority, tmp_path):
    asked = read_request(create_request(tmp_path, names=NAMES))
    sign_request(authority, asked, tmp_path / "server.crt", days=9)
    signed, key = read_pair(tmp_path, Role.SERVER)
    assert key.public_key() == asked.public_key
    (tmp_path / "own").mkdir()
    own = read_certificate(issue_server_certificate(authority, tmp_path / "own", names=NAMES)[0])
    same = {oid: value for oid, value in extensions(own).items() if oid != ExtensionOID.SUBJECT_KEY_IDENTIFIER}
    assert {oid: extensions(signed)[oid] for oid in same} == same
    assert extensions(signed).keys() == extensions(own).keys()
    signed.verify_directly_issued_by(authority.certificate)
    assert signed.subject == own.subject


def test_only_names_need_be_asked_for(tmp_path):
    assert read_request(write(tmp_path / "csr", ALTERNATIVES)).names == ("superlink.example",)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (x509.BasicConstraints(ca=True, path_length=0), "to be a CA"),
        (CA_USAGE, "KeyUsage"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), "the purposes clientAuth"),
        (
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]),
            "the purposes serverAuth, codeSigning",
        ),
        (x509.NameConstraints([x509.DNSName("a")], None), "NameConstraints"),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), "1.2.3.4"),
    ],
    ids=["ca", "usage", "client", "code-signing", "constraints", "unknown"],
)
def test_more_than_a_servers_role_is_refused(tmp_path, asked, words):
    file = write(tmp_path / "csr", ALTERNATIVES, asked)
    assert refused(lambda: read_request(file)) == (
        f"{file} asks for more than a server's role: {words}; allowed: names, and what fedlora pki request asks for"
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([x509.DNSName("*.example")], "'*.example' is neither an IP address nor a DNS name"),
        ([x509.RFC822Name("a@b.example")], "'RFC822Name a@b.example' is neither an IP address nor a DNS name"),
        (None, "a server certificate needs at least one name"),
    ],
    ids=["wildcard", "mail", "none"],
)
def test_names_that_are_not_signed(tmp_path, names, message):
    file = write(tmp_path / "csr", *([x509.SubjectAlternativeName(names)] if names else []))
    assert refused(lambda: read_request(file)) == message


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (rsa.generate_private_key(65537, 2048), "a key of the kind RSA with 2048 bits"),
        (ec.generate_private_key(ec.SECP256R1()), "an elliptic curve key on secp256r1"),
        (ed25519.Ed25519PrivateKey.generate(), "a key of the kind Ed25519"),
    ],
    ids=["rsa", "p-256", "ed25519"],
)
def test_keys_of_other_kinds(tmp_path, key, what):
    file = write(tmp_path / "csr", ALTERNATIVES, key=key)
    assert refused(lambda: read_request(file)) == (
        f"{file} is for {what}; allowed: ECDSA P-384, as fedlora pki request makes it"
    )


def test_a_request_that_was_changed(tmp_path):
    file = create_request(tmp_path, names=["superlink.example"])
    der = x509.load_pem_x509_csr(file.read_bytes()).public_bytes(serialization.Encoding.DER)
    changed = x509.load_der_x509_csr(der.replace(b"superlink.example", b"superlink.exampel"))
    file.write_bytes(changed.public_bytes(serialization.Encoding.PEM))
    assert refused(lambda: read_request(file)) == (
        f"{file} is not signed by its own key; it was damaged or changed: ask for it again"
    )


def test_no_request_at_all(authority, tmp_path):
    assert refused(lambda: read_request(tmp_path / "none")) == (
        f"cannot read the request {tmp_path}/none: No such file or directory"
    )
    file = authority.certificate_file
    assert refused(lambda: read_request(file)).startswith(f"{file} is no certificate request in PEM format: ")


def test_the_cas_own_key_gets_no_second_role(authority, tmp_path):
    request = Request(authority.key.public_key(), NAMES)
    message = refused(lambda: sign_request(authority, request, tmp_path / "server.crt", days=1))
    assert message.startswith("a server certificate on the CA's own key would give one key two roles")
    assert list(tmp_path.iterdir()) == []


def test_asking_again_keeps_key_and_names(authority, tmp_path):
    create_request(tmp_path, names=NAMES)
    sign_request(authority, read_request(tmp_path / "server.csr"), tmp_path / "server.crt", days=1)
    key = (tmp_path / "server.key").read_bytes()
    assert "give" not in refused(lambda: repeat_request(tmp_path))  # the request before is not overwritten unasked
    again = read_request(repeat_request(tmp_path, replace=True))
    assert again.names == NAMES == names_of(read_certificate(tmp_path / "server.crt"))
    assert (tmp_path / "server.key").read_bytes() == key


def test_a_new_key_is_not_made_under_a_certificate(authority, tmp_path):
    issue_server_certificate(authority, tmp_path, names=NAMES)
    (tmp_path / "server.key").unlink()
    assert "and a new key would not belong to it" in refused(lambda: create_request(tmp_path, names=NAMES))
    assert [entry.name for entry in tmp_path.iterdir()] == ["server.crt"]
