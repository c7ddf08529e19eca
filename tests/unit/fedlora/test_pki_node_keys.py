"""Node keys: which are made, and which are refused."""

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fedlora.errors import CredentialError
from fedlora.pki import create_node_key, public_key_pem
from fedlora.pki.node_keys import load_node_key

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
