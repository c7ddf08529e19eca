"""`fedlora node ...` without a SuperLink; with a real one, see tests/integration/test_node_commands.py."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.errors import ConfigurationError, ControlError, CredentialError, RunError
from fedlora.pki import create_authority, create_node_key, issue_server_certificate, public_key_pem
from fedlora.pki.node_keys import public_key_sha256
from fedlora.pki.reading import certificate_sha256
from superlink.control import Control, Node

OPENSSH = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def node(*arguments, **options):
    return CliRunner().invoke(
        application, ["node", *map(str, arguments)], env={"COLUMNS": "150", "TERM": "dumb"}, **options
    )


def refused(*arguments, error: type[Exception]) -> str:
    result = node(*arguments)
    assert isinstance(result.exception, error), result.output
    return str(result.exception)


@pytest.fixture
def key(tmp_path) -> Path:
    return create_node_key(tmp_path / "node.key")


@pytest.fixture
def superlink(monkeypatch, authority):
    """Let the commands talk to a SuperLink that is a list of nodes; return the list, and the options to reach it."""
    nodes: list[Node] = []

    def register(self, public_key_pem: bytes, name: str) -> int:
        nodes.append(Node(name, 2**63 + len(nodes), "registered", "2026-01-02", None, None, None, public_key_pem))
        return nodes[-1].id

    def unregister(self, node_id: int) -> None:
        (place,) = (place for place, node in enumerate(nodes) if node.id == node_id)
        old = nodes[place]
        nodes[place] = Node(old.name, old.id, "unregistered", "2026-01-02", None, None, "2026-01-03", old.public_key)

    monkeypatch.setattr(Control, "register_node", register)
    monkeypatch.setattr(Control, "unregister_node", unregister)
    monkeypatch.setattr(Control, "node_list", lambda self: list(nodes))
    return nodes, ("--superlink", "localhost:1", "--ca-certificate", authority.certificate_file)


def test_keygen(tmp_path, no_umask):
    site = tmp_path / "site"
    result = node("keygen", site)
    assert (result.exit_code, result.stdout) == (
        0,
        f"node key in {site}/node.key, which never leaves this machine\n"
        f"send {site}/node.key.pub to the coordinator, and tell them its SHA-256 by another way:\n"
        f"  {public_key_sha256(public_key_pem(site / 'node.key.pub'))}\n",
    )
    modes = {entry.name: oct(entry.stat().st_mode & 0o7777) for entry in (site, *site.iterdir())}
    assert modes == {"site": "0o700", "node.key": "0o600", "node.key.pub": "0o600"}


def test_a_node_key_is_replaced_only_when_forced(tmp_path, key):
    before = (tmp_path / "node.key").read_bytes(), key.read_bytes()
    assert refused("keygen", tmp_path, error=CredentialError) == (
        f"{tmp_path}/node.key exists already and is not overwritten; move it away first, or replace it with --force"
    )
    assert ((tmp_path / "node.key").read_bytes(), key.read_bytes()) == before
    assert node("keygen", tmp_path, "--force").exit_code == 0
    kept = [(tmp_path / f"{name}.previous").read_bytes() for name in ("node.key", "node.key.pub")]
    assert tuple(kept) == before
    assert key.read_bytes() != before[1]


def test_prepare_makes_what_is_missing_once(tmp_path, authority):
    site, sha256 = tmp_path / "site", certificate_sha256(authority.certificate)
    first = node("prepare", site, "--ca-certificate", authority.certificate_file, "--ca-sha256", sha256.upper())
    public = (site / "node.key.pub").read_text()
    told = (
        f"compare with the coordinator, by another way: the SHA-256 of its ca.crt is {sha256}\n"
        "send the next line to the coordinator, and its SHA-256 by another way: "
        f"{public_key_sha256(public_key_pem(site / 'node.key.pub'))}\n"
    )
    assert (first.exit_code, first.stdout) == (0, public.strip() + "\n")
    assert first.stderr == "made anew: key of node site\n" + told
    again = node("prepare", site, "--ca-certificate", authority.certificate_file)
    assert (again.exit_code, again.stdout, again.stderr) == (0, first.stdout, told)


def test_prepare_refuses_a_ca_with_another_fingerprint_and_makes_nothing(tmp_path, authority):
    site, file = tmp_path / "site", authority.certificate_file
    said = refused("prepare", site, "--ca-certificate", file, "--ca-sha256", "ab" * 32, error=CredentialError)
    assert said == (
        f"{file} has the SHA-256 {certificate_sha256(authority.certificate)}, not {'ab' * 32}, which is asked for: it "
        "is not the federation's, or the CA was renewed; ask the coordinator for both, by another way than the one "
        "that brought the file"
    )
    assert list(site.iterdir()) == []


def test_register_from_the_standard_input_with_the_address_from_the_environment(superlink, key, monkeypatch):
    nodes, (_, address, _, certificate) = superlink
    monkeypatch.setenv("FEDLORA_SUPERLINK", address)
    monkeypatch.setenv("FEDLORA_CA_CERTIFICATE", str(certificate))
    result = node("register", "site-1", "-", input=key.read_text())
    assert result.exit_code == 0, result.output
    assert (nodes[0].name, nodes[0].public_key) == ("site-1", public_key_pem(key))
    wrong = node("register", "site-2", "-", input="no key")
    assert isinstance(wrong.exception, CredentialError)
    assert str(wrong.exception).startswith("cannot read the public key on the standard input: ")


def test_register_list_unregister(superlink, key):
    nodes, there = superlink
    sha256 = public_key_sha256(public_key_pem(key))
    result = node("register", "site-1", key, *there)
    assert (result.exit_code, result.stdout) == (
        0,
        f"node site-1 is registered with the id {2**63}\ncompare its key with the site's, SHA-256: {sha256}\n",
    )
    assert (nodes[0].name, nodes[0].public_key) == ("site-1", public_key_pem(key))
    no = node("unregister", "site-1", *there, input="n\n")
    assert (no.exit_code, no.stdout) == (
        1,
        "node site-1 is registered\n"
        "its key can never be registered again: to come back, the site makes a new one\n"
        "Unregister node site-1? [y/N]: n\n",
    )
    assert nodes[0].registered
    yes = node("unregister", "site-1", *there, "--yes")
    assert (yes.exit_code, yes.stdout) == (
        0,
        "node site-1 is unregistered, and its key can never be registered again\n",
    )
    assert not nodes[0].registered
    listed = json.loads(node("list", *there, "--format", "json").stdout)
    assert listed == [
        {
            "name": "site-1", "id": str(2**63), "status": "unregistered", "registered_at": "2026-01-02",
            "last_activated_at": None, "last_deactivated_at": None, "unregistered_at": "2026-01-03",
            "public_key_sha256": sha256,
        }
    ]  # fmt: skip
    table = node("list", *there).stdout
    assert [cell.strip() for cell in table.splitlines()[3].strip("│").split("│")] == [
        "site-1", str(2**63), "unregistered", "never", sha256[:12],
    ]  # fmt: skip


def test_a_name_and_a_key_are_taken_once(superlink, key, tmp_path):
    nodes, there = superlink
    other = create_node_key(tmp_path / "other.key")
    node("register", "site-1", key, *there)
    assert refused("register", "site-2", key, *there, error=CredentialError) == (
        "this key is registered already, as 'site-1'; each site has a key of its own"
    )
    assert refused("register", "site-1", other, *there, error=ConfigurationError) == (
        "a node site-1 is registered already, with another key; choose another name, or first: fedlora node unregister "
        "site-1"
    )
    node("unregister", "site-1", *there, "--yes")
    assert refused("register", "site-1", key, *there, error=CredentialError) == (
        "this key was unregistered as 'site-1' on 2026-01-03, and such a key can never be registered again; make a new "
        "one at the site: fedlora node keygen DIR --force"
    )
    assert node("register", "site-1", other, *there).exit_code == 0  # the name is free again
    assert [(one.name, one.status) for one in nodes] == [("site-1", "unregistered"), ("site-1", "registered")]
    assert refused("unregister", "site-9", *there, error=ConfigurationError) == (
        "no node site-9 is registered at localhost:1; registered: site-1"
    )


@pytest.mark.parametrize("name", ["Site", "a b", "-a", "a" * 65, "a/b", ""])
def test_what_is_no_name(superlink, key, name):
    nodes, there = superlink
    for arguments in (("register", "--", name, key), ("unregister", "--yes", "--", name)):
        command, *rest = arguments
        assert refused(command, *there, *rest, error=RunError).startswith(f"{name!r} is no name: 1 to 64 of a-z, 0-9")
    assert nodes == []


@pytest.mark.parametrize(
    "address", ["localhost", "localhost:0", "localhost:65536", "https://localhost:1", "a b:1", ":1"]
)
def test_what_is_no_address(authority, address):
    message = refused(
        "list", "--superlink", address, "--ca-certificate", authority.certificate_file, error=ConfigurationError
    )
    assert message == f"--superlink {address!r} is no address; allowed: HOST:PORT, as in localhost:8000"


def test_what_is_no_public_key(superlink, key, tmp_path):
    nodes, there = superlink
    message = refused("register", "a", tmp_path / "node.key", *there, error=CredentialError)
    assert message.startswith(f"cannot read the public key {tmp_path}/node.key: ")
    other = tmp_path / "other.pub"
    other.write_bytes(ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*OPENSSH))
    message = refused("register", "a", other, *there, error=CredentialError)
    assert message == f"{other} is not an ECDSA P-384 public key"
    assert nodes == []


def test_the_certificate_must_be_a_cas(authority, tmp_path):
    server, _ = issue_server_certificate(authority, tmp_path, names=["localhost"])
    old = create_authority(tmp_path, federation="old", days=0).certificate_file
    for file, words in (
        (server, "is not the certificate of a CA, but that of a SuperLink server"),
        (old, "UTC; get the federation's new ca.crt from the coordinator"),
        (tmp_path / "none", "No such file or directory"),
        (tmp_path / "ca.key", "is no certificate in PEM format"),
    ):
        message = refused("list", "--superlink", "localhost:1", "--ca-certificate", file, error=CredentialError)
        assert words in message


def test_nobody_answers(authority):
    message = refused(
        "list", "--superlink", "127.0.0.1:1", "--ca-certificate", authority.certificate_file, error=ControlError
    )
    assert message.startswith("the SuperLink at 127.0.0.1:1 could not be asked to list the nodes: ")
