"""Pairs that are read in order to be used: one role each, whole, matching, private, and valid now."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from fedlora.errors import CredentialError
from fedlora.pki import create_authority, issue_server_certificate
from fedlora.pki.contents import CA_USAGE, SERVER_USAGE
from fedlora.pki.reading import Role, load_authority, read_ca_certificate, read_pair, role_of
from fedlora.pki.renewal import renew, server_days

PKCS8 = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A CA and a server's pair in one folder."""
    made = create_authority(tmp_path, federation="test")
    issue_server_certificate(made, tmp_path, names=["localhost", "127.0.0.1"])
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def refused(call) -> str:
    with pytest.raises(CredentialError) as caught:
        call()
    return str(caught.value)


def test_a_good_pair(folder):
    authority = load_authority(folder)
    assert authority.key.public_key() == authority.certificate.public_key()
    assert read_ca_certificate(folder / "ca.crt") == authority.certificate
    certificate, key = read_pair(folder, Role.SERVER)
    assert role_of(certificate) is Role.SERVER
    assert key.public_key() == certificate.public_key()


def test_nothing_there(tmp_path):
    assert refused(lambda: load_authority(tmp_path)) == (
        f"{tmp_path} has neither ca.crt nor ca.key; name the CA's folder, or make a CA with: fedlora pki init DIR "
        "--federation NAME"
    )


@pytest.mark.parametrize(("gone", "there"), [("ca.key", "ca.crt"), ("ca.crt", "ca.key")])
def test_half_a_pair(folder, gone, there):
    (folder / gone).unlink()
    assert refused(lambda: load_authority(folder)) == (
        f"{folder} has half a pair: {there} without {gone}; bring {gone} to where {there} is, or do this where both are"
    )


def test_a_key_of_another_certificate(folder, tmp_path_factory):
    other = create_authority(tmp_path_factory.mktemp("other"), federation="test")
    (folder / "ca.key").write_bytes(other.key_file.read_bytes())
    assert refused(lambda: load_authority(folder)) == (
        f"{folder}/ca.crt and {folder}/ca.key do not belong together: the certificate is for another key; bring the "
        "right one back"
    )
    (folder / "ca.key.previous").touch()
    assert refused(lambda: load_authority(folder)).endswith("; what stood there before is in ca.key.previous")


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602])
def test_a_key_that_others_may_read(folder, mode):
    (folder / "ca.key").chmod(mode)
    assert refused(lambda: load_authority(folder)) == (
        f"{folder}/ca.key has mode 0{mode:o}: others may read it; run: chmod 600 {folder}/ca.key, and think about "
        "whether somebody has"
    )


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (rsa.generate_private_key(65537, 2048), "a key of the kind RSA with 2048 bits"),
        (ec.generate_private_key(ec.SECP256R1()), "an elliptic curve key on secp256r1"),
        (ed25519.Ed25519PrivateKey.generate(), "a key of the kind Ed25519"),
    ],
    ids=["rsa", "p-256", "ed25519"],
)
def test_a_key_of_another_kind(folder, key, what):
    (folder / "ca.key").write_bytes(key.private_bytes(*PKCS8))
    assert refused(lambda: load_authority(folder)) == (
        f"{folder}/ca.key is {what}; allowed: ECDSA P-384, as fedlora pki makes it"
    )


def test_garbage_and_passphrases(folder):
    key = load_authority(folder).key
    locked = serialization.BestAvailableEncryption(b"secret")
    (folder / "ca.key").write_bytes(key.private_bytes(*PKCS8[:2], locked))
    assert refused(lambda: load_authority(folder)) == (
        f"{folder}/ca.key is no private key in PEM format: Password was not given but private key is encrypted"
    )
    (folder / "ca.crt").write_bytes(b"garbage")
    assert refused(lambda: load_authority(folder)).startswith(f"{folder}/ca.crt is no certificate in PEM format: ")


def test_a_servers_pair_is_no_ca_and_the_reverse(folder):
    one_role = "one certificate has one role: name the right file"
    for suffix in (".crt", ".key"):
        ca, server = folder / f"ca{suffix}", folder / f"server{suffix}"
        ca_content, server_content = ca.read_bytes(), server.read_bytes()
        ca.write_bytes(server_content)
        server.write_bytes(ca_content)
    assert refused(lambda: load_authority(folder)) == (
        f"{folder}/ca.crt is not the certificate of a CA, but that of a SuperLink server; {one_role}"
    )
    assert refused(lambda: read_ca_certificate(folder / "ca.crt")) == refused(lambda: load_authority(folder))
    before = contents(folder)
    assert refused(lambda: renew(folder, Role.SERVER)) == (
        f"{folder}/server.crt is not the certificate of a SuperLink server, but that of a CA; {one_role}"
    )
    assert contents(folder) == before


def certificate_with(*extensions: tuple[x509.ExtensionType, bool]) -> x509.Certificate:
    key, name = ec.generate_private_key(ec.SECP384R1()), x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA384())


CA = (x509.BasicConstraints(ca=True, path_length=0), True)
NO_CA = (x509.BasicConstraints(ca=False, path_length=None), True)
TO_SERVE = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
TO_CALL = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
TO_DO_BOTH = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False)


@pytest.mark.parametrize(
    ("extensions", "role"),
    [
        ([CA, (CA_USAGE, True)], Role.AUTHORITY),
        ([CA, (CA_USAGE, True), TO_SERVE], Role.OTHER),
        ([CA, (SERVER_USAGE, True)], Role.OTHER),
        ([NO_CA, (SERVER_USAGE, True), TO_SERVE], Role.SERVER),
        ([NO_CA, (CA_USAGE, True), TO_SERVE], Role.OTHER),
        ([NO_CA, (SERVER_USAGE, True), TO_CALL], Role.ADMIN),
        ([NO_CA, (SERVER_USAGE, True), TO_DO_BOTH], Role.OTHER),
        ([NO_CA, (SERVER_USAGE, True)], Role.OTHER),
        ([TO_SERVE], Role.SERVER),
        ([], Role.OTHER),
    ],
)
def test_one_certificate_has_one_role(extensions, role):
    assert role_of(certificate_with(*extensions)) is role


def test_an_expired_ca_signs_nothing_until_it_is_renewed(tmp_path):
    create_authority(tmp_path, federation="test", days=0)
    message = refused(lambda: load_authority(tmp_path))
    assert message.startswith(f"{tmp_path}/ca.crt expired on ")
    assert message.endswith(f" UTC; renew it with: fedlora pki renew {tmp_path} ca")
    assert " UTC; get the federation's new ca.crt from" in refused(lambda: read_ca_certificate(tmp_path / "ca.crt"))
    renew(tmp_path, Role.AUTHORITY)
    assert load_authority(tmp_path).certificate.subject.rfc4514_string() == "CN=test CA,O=fedlora"


def test_a_ca_that_is_not_valid_yet(tmp_path, monkeypatch):
    monkeypatch.setattr("fedlora.pki.contents.now", lambda: datetime.now(UTC) + timedelta(days=1))
    create_authority(tmp_path, federation="test")
    assert refused(lambda: load_authority(tmp_path)).startswith(f"{tmp_path}/ca.crt is not valid before ")
    assert refused(lambda: load_authority(tmp_path)).endswith(" here; look at this machine's clock")


def test_no_server_outlives_its_ca(tmp_path):
    authority = create_authority(tmp_path, federation="test", days=30)
    assert server_days(authority) == 30
    assert server_days(authority, 30) == 30
    assert refused(lambda: server_days(authority, 31)) == (
        f"{tmp_path}/ca.crt ends within 30 days, and a server certificate of 31 days would outlive it; allowed: at "
        f"most 30; or renew the CA first: fedlora pki renew {tmp_path} ca"
    )


# --- renewing


@pytest.mark.parametrize("role", [Role.AUTHORITY, Role.SERVER])
@pytest.mark.parametrize("new_key", [False, True], ids=["same-key", "new-key"])
def test_renewing_keeps_names_and_the_pair_before(folder, role, new_key):
    before = contents(folder)
    old, old_key = read_pair(folder, role)
    made = renew(folder, role, days=20, new_key=new_key)
    new, new_pairs_key = read_pair(folder, role)
    assert made == new
    assert new.serial_number != old.serial_number
    assert (new_pairs_key.public_key() == old_key.public_key()) is not new_key
    assert new.subject == old.subject
    assert (new.not_valid_after_utc - datetime.now(UTC)).days == 19
    if role is Role.SERVER:
        names = x509.SubjectAlternativeName
        assert new.extensions.get_extension_for_class(names) == old.extensions.get_extension_for_class(names)
    after = contents(folder)
    for suffix in (".crt", ".key"):
        assert after[f"{role.stem}{suffix}.previous"] == before[f"{role.stem}{suffix}"]
    other = "ca" if role is Role.SERVER else "server"
    assert {after[f"{other}.crt"], after[f"{other}.key"]} == {before[f"{other}.crt"], before[f"{other}.key"]}
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_a_renewal_that_the_disk_does_not_take_changes_nothing(folder, monkeypatch):
    before = contents(folder)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    message = refused(lambda: renew(folder, Role.SERVER, new_key=True))
    assert message.endswith("server.crt: No space left on device; nothing was changed")
    assert contents(folder) == before
