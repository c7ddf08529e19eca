"""`fedlora pki ...`: whole outputs, and what is refused."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.errors import ConfigurationError, CredentialError
from fedlora.pki import create_node_key, create_secret
from fedlora.pki.reading import Role, key_sha256, read_certificate, role_of

FEDLORA = str(Path(sys.executable).with_name("fedlora"))


def pki(*arguments, **options):
    return CliRunner().invoke(application, ["pki", *map(str, arguments)], env={"TERM": "dumb"}, **options)


def done(*arguments, **options) -> str:
    result = pki(*arguments, **options)
    assert result.exit_code == 0, result.exception
    return result.stdout


def refused(*arguments, error: type[Exception] = CredentialError) -> str:
    result = pki(*arguments)
    assert isinstance(result.exception, error), result.output
    return str(result.exception)


def until(file: Path) -> str:
    return f"valid until {read_certificate(file).not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    done("init", tmp_path / "ca", "--federation", "hospitals")
    return tmp_path / "ca"


@pytest.fixture
def pair(ca: Path) -> Path:
    done("server", ca, "--name", "superlink.example", "--name", "127.0.0.1")
    return ca


def test_init(tmp_path, no_umask):
    ca = tmp_path / "above" / "ca"
    output = done("init", ca, "--federation", "hospitals", "--days", "100")
    assert output == (
        f"CA of hospitals, {until(ca / 'ca.crt')}, in {ca}\n"
        f"give {ca}/ca.crt to every site; {ca}/ca.key never leaves this machine\n"
    )
    assert oct(ca.stat().st_mode & 0o7777) == "0o700"
    assert {file.name: oct(file.stat().st_mode & 0o7777) for file in ca.iterdir()} == {
        "ca.crt": "0o600",
        "ca.key": "0o600",
    }
    assert (read_certificate(ca / "ca.crt").not_valid_after_utc - datetime.now(UTC)).days == 99


@pytest.mark.parametrize("name", ["", " hospitals", "a\nb", "a" * 62])
def test_a_federation_without_a_name_makes_no_folder(tmp_path, name):
    message = refused("init", tmp_path / "above" / "ca", "--federation", name)
    assert message == (f"{name!r} cannot name a federation; allowed: 1 to 61 printable characters, no space at an end")
    assert list(tmp_path.iterdir()) == []


def test_a_ca_is_never_overwritten(ca):
    before = contents(ca)
    assert refused("init", ca, "--federation", "other") == (
        f"{ca}/ca.crt exists already and is not overwritten; move it away first"
    )
    assert contents(ca) == before


def test_server(ca):
    output = done("server", ca, "--name", "superlink.example", "--name", "127.0.0.1", "--days", "30")
    assert output == (
        f"SuperLink server superlink.example, 127.0.0.1, {until(ca / 'server.crt')}, in {ca}/server.crt\n"
        f"{ca}/server.key never leaves the SuperLink's machine; a SuperLink that runs reads both when it starts anew\n"
    )
    assert (read_certificate(ca / "server.crt").not_valid_after_utc - datetime.now(UTC)).days == 29


def test_a_server_is_replaced_only_when_forced(pair):
    before = contents(pair)
    assert refused("server", pair, "--name", "other.example") == (
        f"{pair}/server.key exists already and is not overwritten; move it away first, or replace it with --force"
    )
    assert contents(pair) == before
    done("server", pair, "--name", "other.example", "--force")
    after = contents(pair)
    assert after["server.key.previous"] == before["server.key"] != after["server.key"]
    assert after["server.crt.previous"] == before["server.crt"]
    assert after["ca.key"] == before["ca.key"]


def test_a_servers_certificate_needs_names_and_a_private_folder(ca):
    assert "a certificate needs names" in pki("server", ca).output
    assert refused("server", ca, "--name", "a b") == "'a b' is neither an IP address nor a DNS name"
    ca.chmod(0o755)
    assert refused("server", ca, "--name", "a") == f"{ca} has mode 0755: others may enter it; run: chmod 700 {ca}"
    assert sorted(contents(ca)) == ["ca.crt", "ca.key"]


def test_the_superlink_on_another_machine(ca, tmp_path):
    superlink, carried = tmp_path / "superlink", tmp_path / "server.crt"
    output = done("request", superlink, "--name", "superlink.example")
    assert output == (
        f"request in {superlink}/server.csr; sign it at the CA with: fedlora pki sign server.csr --ca DIR --to "
        f"server.crt\nthen bring server.crt to {superlink}; {superlink}/server.key never leaves this machine\n"
    )
    request = x509.load_pem_x509_csr((superlink / "server.csr").read_bytes())
    asks = (
        f"{superlink}/server.csr asks for a SuperLink server's certificate\n"
        "  names           superlink.example\n"
        f"  SHA-256 of key  {key_sha256(request.public_key())}\n"
    )
    asked = pki("sign", superlink / "server.csr", "--ca", ca, "--to", carried, input="n\n")
    assert (asked.exit_code, asked.stdout) == (1, f"{asks}Sign it for 365 days? [y/N]: n\n")
    assert not carried.exists()
    output = done("sign", superlink / "server.csr", "--ca", ca, "--to", carried, "--yes")
    assert output == f"{asks}signed, {until(carried)}, in {carried}; bring it to the SuperLink's machine\n"
    assert sorted(contents(ca)) == ["ca.crt", "ca.key"]
    carried.rename(superlink / "server.crt")
    found = {one["file"]: one for one in json.loads(done("show", superlink, "--format", "json"))}
    assert found[f"{superlink}/server.crt"]["matches"] is True
    assert [one["problems"] for one in found.values()] == [[], [], []]
    done("request", superlink, "--renew", "--force")
    done("sign", superlink / "server.csr", "--ca", ca, "--to", superlink / "server.crt", "--yes", "--force")
    found = {one["file"]: one for one in json.loads(done("show", superlink, "--format", "json"))}
    assert found[f"{superlink}/server.crt"]["matches"] is True


def test_a_request_is_for_names_or_for_a_renewal(tmp_path):
    for arguments in ((), ("--renew", "--name", "a")):
        message = refused("request", tmp_path / "s", *arguments, error=ConfigurationError)
        assert message == "give either --name, once for each name, or --renew, which takes the names as they are"
    assert "has neither server.crt nor server.key; make a pair with" in refused("request", tmp_path / "s", "--renew")
    assert list(tmp_path.iterdir()) == []


def test_show_in_words(pair, tmp_path):
    shown = done("show", pair)
    certificate = read_certificate(pair / "server.crt")
    sha256 = certificate.fingerprint(hashes.SHA256()).hex()
    assert [line for line in shown.splitlines() if not line.startswith(" ") and line] == [
        f"{pair}/ca.crt: certificate of a CA",
        f"{pair}/ca.key: private key of a CA",
        f"{pair}/server.crt: certificate of a SuperLink server",
        f"{pair}/server.key: private key of a SuperLink server",
    ]
    assert done("show", pair / "server.crt") == (
        f"{pair}/server.crt: certificate of a SuperLink server\n"
        "  subject   CN=superlink.example,O=fedlora\n"
        "  names     superlink.example, 127.0.0.1\n"
        f"  SHA-256   {sha256}\n"
        f"  serial    {certificate.serial_number:x}\n"
        f"  valid     {certificate.not_valid_before_utc.isoformat()} to {certificate.not_valid_after_utc.isoformat()}\n"
        "  days left 364\n"
        "  pair      server.key, matches\n"
        "  mode      0600\n"
    )


def test_show_as_json(tmp_path):
    create_node_key(tmp_path / "node.key")
    create_secret(tmp_path / "worker.secret")
    (tmp_path / "node.toml").write_text("site = 'a'")
    public, private = (tmp_path / name for name in ("node.key.pub", "node.key"))
    sha256 = key_sha256(serialization.load_ssh_public_key(public.read_bytes()))
    nothing = dict.fromkeys(("subject", "serial", "valid_from", "valid_until", "days_left"))
    common = {"mode": "0600", "names": [], "problems": [], **nothing}
    assert json.loads(done("show", tmp_path, "--format", "json")) == [
        {
            "file": str(private), "kind": "private key", "role": "node", "sha256": sha256,
            "pair": "node.key.pub", "matches": True, **common,
        },
        {
            "file": str(public), "kind": "public key", "role": "node", "sha256": sha256,
            "pair": "node.key", "matches": True, **common,
        },
        {
            "file": f"{tmp_path}/worker.secret", "kind": "secret", "role": "secret", "sha256": None,
            "pair": None, "matches": None, **common,
        },
    ]  # fmt: skip
    assert "PRIVATE" not in done("show", tmp_path)


def problems(folder: Path, name: str) -> list[str]:
    return next(
        one["problems"]
        for one in json.loads(done("show", folder, "--format", "json"))
        if Path(one["file"]).name == name
    )


def test_show_says_what_is_wrong(pair, tmp_path):
    pair.chmod(0o750)
    (pair / "ca.key").chmod(0o644)
    assert problems(pair, "ca.key") == [
        f"{pair}/ca.key has mode 0644: others may read it; run: chmod 600 {pair}/ca.key",
        f"{pair} has mode 0750: others may enter it; run: chmod 700 {pair}",
    ]
    pair.chmod(0o700)
    done("init", tmp_path / "other", "--federation", "hospitals")
    ours, theirs = (folder / "ca.crt" for folder in (pair, tmp_path / "other"))
    ours.write_bytes(theirs.read_bytes())
    assert problems(pair, "ca.crt") == ["ca.crt and ca.key do not belong together; bring the right one back"]
    assert problems(pair, "server.crt") == [
        "server.crt was not issued by ca.crt beside it; renew it, or bring the right ca.crt"
    ]
    (pair / "server.crt").write_bytes(theirs.read_bytes())
    assert (
        problems(pair, "server.crt")[1] == "server.crt is not the certificate of a SuperLink server, as its name says"
    )
    (pair / "server.crt").unlink()
    assert problems(pair, "server.key") == [
        "server.key is half a pair: no certificate, no request and no public key of it is here"
    ]
    (pair / "server.key").write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert problems(pair, "server.key")[0].startswith("server.key cannot be read: ")
    other = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (pair / "server.key").write_bytes(other.private_bytes(serialization.Encoding.PEM, *form))
    assert problems(pair, "server.key")[0] == ("server.key is an elliptic curve key on secp256r1; allowed: ECDSA P-384")


def test_show_knows_the_calendar(tmp_path, monkeypatch):
    def made(days_ago: int) -> str:
        with monkeypatch.context() as patch:
            patch.setattr("fedlora.pki.contents.now", lambda: datetime.now(UTC) - timedelta(days=days_ago))
            folder = tmp_path / str(days_ago)
            done("init", folder, "--federation", "a", "--days", "10")
        (one,) = json.loads(done("show", folder / "ca.crt", "--format", "json"))
        return one["days_left"], one["problems"]

    assert made(0) == (9, [])
    assert made(9) == (0, [])
    assert made(12) == (-3, ["ca.crt has expired; renew it with: fedlora pki renew"])
    assert made(-1) == (10, ["ca.crt is not valid yet; look at this machine's clock"])


def test_show_where_there_is_nothing(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("notes")
    for path in (file, tmp_path):
        assert refused("show", path).startswith(f"{path} holds no key, certificate, request or secret; make some with")
    assert refused("show", tmp_path / "none").startswith(f"there is no {tmp_path}/none; name a folder, or a file")


def test_renew_asks_and_says_what_to_do_then(pair):
    before = contents(pair)
    was, restart = until(pair / "server.crt"), "start the SuperLink anew: certificates are read once, at the start"
    no = pki("renew", pair, input="n\n")
    assert (no.exit_code, no.stdout) == (
        1,
        f"{pair}/server.crt is {was}; afterwards: {restart}\nRenew the certificate of the SuperLink server? [y/N]: n\n",
    )
    assert contents(pair) == before
    assert done("renew", pair, "server", "--days", "400", "--yes") == (
        f"{pair}/server.crt is now {until(pair / 'server.crt')}, on the same key\n"
        f"the pair before is kept with .previous; {restart}\n"
    )
    assert contents(pair)["server.key"] == before["server.key"]
    output = done("renew", pair, "ca", "--new-key", "--yes")
    assert f"{pair}/ca.crt is now {until(pair / 'ca.crt')}, on a new key\n" in output
    assert "give ca.crt to every site" in output
    assert contents(pair)["ca.key.previous"] == before["ca.key"] != contents(pair)["ca.key"]


def test_exit_codes_of_the_program(ca):
    program = [FEDLORA, "pki", "init", str(ca), "--federation", "again"]
    done = subprocess.run(program, capture_output=True, text=True, env={**os.environ, "TERM": "dumb"})
    assert done.returncode == CredentialError.exit_code
    assert re.fullmatch(r"error: .*ca\.crt exists already and is not overwritten; move it away first\n", done.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", "new", "--federation", "a"),
        ("server", "ca", "--name", "a", "--force"),
        ("request", "new", "--name", "a"),
        ("request", "ca", "--name", "a"),
        ("sign", "server.csr", "--ca", "ca", "--to", "server.crt", "--yes"),
        ("show", "ca"),
        ("show", "ca/ca.crt"),
        ("renew", "ca", "--yes"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_folder_that_is_somebody_elses(pair, tmp_path, monkeypatch, arguments):
    before = contents(pair)
    monkeypatch.chdir("/")
    whole = [str(tmp_path / one) if one.split("/")[0] in ("new", "ca", "server.csr") else one for one in arguments]
    user = os.geteuid()
    tmp_path.chmod(0)
    try:
        if user == 0:  # for whom no folder is closed
            os.seteuid(65534)
        message = refused(*whole)
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
    assert "Permission denied" in message
    assert contents(pair) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["ca"]


def test_admin(ca, tmp_path):
    output = done("admin", ca, "--name", "ada", "--to", tmp_path / "ada", "--days", "30")
    certificate = tmp_path / "ada" / "admin.crt"
    assert output == (
        f"admin ada, {until(certificate)}, in {certificate}\n"
        f"whoever has {tmp_path}/ada/admin.key can start runs and admit sites\n"
    )
    assert role_of(read_certificate(certificate)) is Role.ADMIN
    assert {oct(one.stat().st_mode & 0o777) for one in (tmp_path / "ada").iterdir()} == {"0o600"}
    assert refused("admin", ca, "--name", "", "--to", tmp_path / "nobody").startswith("'' cannot name an admin; ")
    assert not (tmp_path / "nobody").exists()


def test_coordinator(ca, tmp_path):
    file = tmp_path / "federation.toml"
    file.write_text(
        'name = "test"\n[coordinator]\nhost = "superlink.example"\n[[site]]\nname = "a"\ndomain = "code"\nshard = "a"\n'
        '[[recipe]]\ndomain = "code"\n'
    )
    to = tmp_path / "secrets"
    output = done("coordinator", ca, "--federation", file, "--to", to)
    assert output == (
        f"SuperLink server superlink.example, superlink, localhost, 127.0.0.1, {until(to / 'server.crt')}\n"
        f"in {to}: ca.crt, server.crt, server.key, admin.crt, admin.key, superexec.secret; they never leave the "
        "coordinator's machine, ca.crt excepted\n"
    )
    assert sorted(one.name for one in to.iterdir()) == [
        *("admin.crt", "admin.key", "ca.crt", "server.crt", "server.key", "superexec.secret")
    ]
    before = contents(to)
    assert "ca.crt exists already and is not overwritten" in refused(
        "coordinator", ca, "--federation", file, "--to", to
    )
    assert contents(to) == before
