"""`fedlora node pause|resume|leave` at a site whose supernode does not run; over the engine, see tests/integration."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlora.audit import person, read_entries
from fedlora.cli.main import application
from fedlora.errors import ConfigurationError, CredentialError, WithdrawalError
from fedlora.pki.node_keys import create_node_key, public_key_pem, public_key_sha256
from fedlora.settings_file import write_settings
from supernode.heartbeat import node_heartbeat
from supernode.withdrawal import FILE, withdrawal


def node(*arguments: object, **options: object):
    return CliRunner().invoke(application, ["node", *map(str, arguments)], **options)


def said(*arguments: object, **options: object) -> str:
    result = node(*arguments, **options)
    assert result.exit_code == 0, result.exception
    return result.stdout


def refused(*arguments: object, error: type[Exception]) -> str:
    result = node(*arguments)
    assert type(result.exception) is error, result.output
    return re.sub(r"since [^)]*\)", "since T)", str(result.exception))


@pytest.fixture
def site(tmp_path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    create_node_key(folder / "node.key")
    settings = {
        "site": "site-1",
        "domain": "finance",
        "superlink": "superlink.example:9092",
        "ca-certificate": folder / "ca.crt",
        "node-key": folder / "node.key",
        "runtime-port": 9094,
        "superexec-secret": folder / "worker.secret",
        "trainer": folder / "t.sock",
        "state": folder / "supernode",
    }
    write_settings(settings, folder / "supernode.toml")
    return folder


def test_pause_and_resume(site):
    assert said("pause", site, "--reason", " disk\tfull\n\x1b[31m ") == (
        "from now on the coordinator is told: site-1 is paused by its owner: disk full [31m\n"
        "a round that is being trained at this moment is finished, and its update is sent\n"
        f"to take part again: fedlora node resume {site}\n"
    )
    file = site / "supernode" / FILE
    mark = json.loads(file.read_text())
    assert (mark["kind"], mark["site"], mark["reason"]) == ("paused", "site-1", "disk full [31m")
    assert sorted(entry.name for entry in file.parent.iterdir()) == ["audit.jsonl", FILE]
    assert oct(file.parent.stat().st_mode & 0o777) == "0o700"
    said("pause", site / "supernode.toml", "--reason", "other")  # by the file; the newer reason counts
    assert str(withdrawal(site / "supernode")) == "site-1 is paused by its owner: other"
    since = withdrawal(site / "supernode").since
    assert said("resume", site) == f"site-1 takes part again, from the next round on; it was paused since {since}\n"
    assert [entry.name for entry in file.parent.iterdir()] == ["audit.jsonl"]
    noted = [(entry.what, entry.by, entry.about.get("reason")) for entry in read_entries(file.parent / "audit.jsonl")]
    assert noted == [
        ("site.paused", person(), "disk full [31m"),
        ("site.paused", person(), "other"),
        ("site.resumed", person(), None),
    ]
    assert refused("resume", site, error=WithdrawalError) == (
        "site-1 is not paused; it takes part already, whenever its supernode runs"
    )


@pytest.mark.parametrize(("reason", "count"), [(" \n\x00", 0), ("x" * 201, 201)])
@pytest.mark.parametrize("command", ["pause", "leave"])
def test_a_reason_has_some_words_and_not_too_many(site, command, reason, count):
    assert refused(command, site, "--reason", reason, error=ConfigurationError) == (
        f"--reason has {count} printable characters; allowed: 1 to 200"
    )
    assert not (site / "supernode").exists()
    assert (site / "node.key").exists()


def test_leave_asks_and_changes_nothing_without_a_yes(site):
    result = node("leave", site, "--reason", "over", input="n\n")
    assert (result.exit_code, result.stdout) == (
        1,
        "site-1 refuses every run from now on, and the coordinator is told: over\n"
        f"its node key {site}/node.key is removed: to come back, it needs a new one, registered anew\n"
        "Let site-1 leave for good? [y/N]: n\n",
    )
    assert not (site / "supernode").exists()
    assert (site / "node.key").exists()


def test_a_site_that_has_left_comes_back_with_a_new_key_alone(site):
    sha256 = public_key_sha256(public_key_pem(site / "node.key.pub"))
    old = (site / "node.key").read_bytes()
    assert said("leave", site, "--reason", "over", input="y\n").partition("? [y/N]: y\n")[2] == (
        f"site-1 has left: over; the node key {site}/node.key is removed\n"
        "its supernode does not run: the coordinator sees the site offline and no reason; tell them yourself\n"
        "the coordinator takes it off the list with: fedlora node unregister site-1\n"
        f"  SHA-256 of its key: {sha256}\n"
    )
    assert not (site / "node.key").exists()
    gone = "site-1 has left: over (since T)"
    for command in ("pause", "leave"):
        assert refused(command, site, "--reason", "again", error=WithdrawalError) == (
            f"{gone}. To come back it needs a new key (fedlora node keygen DIR --force), which the coordinator "
            "registers, and then: fedlora node resume SITE"
        )
    no_key = (
        f"{gone}, and the key it had can never be used again. To come back, make a new one with: fedlora node keygen "
        f"{site} --force; let the coordinator register it; then say this again"
    )
    assert refused("resume", site, error=WithdrawalError) == no_key
    (site / "node.key").write_bytes(old)  # from a backup
    assert refused("resume", site, error=WithdrawalError) == no_key
    site.chmod(0o700)
    said("keygen", site, "--force")
    assert refused("leave", site, "--reason", "again", error=WithdrawalError).startswith(gone)
    assert (site / "node.key").exists()  # it is the new one
    assert said("resume", site) == (
        "site-1 may take part again, once the coordinator has registered its new key; start it\n"
    )
    assert withdrawal(site / "supernode") is None


def test_leave_goes_on_where_it_was_cut_off(site):
    key = (site / "node.key").read_bytes()
    said("leave", site, "--reason", "over", "--yes")
    (site / "node.key").write_bytes(key)  # as if it had ended between the mark and the key
    node_heartbeat(site / "supernode").note()
    assert said("leave", site, "--reason", "over", "--yes").splitlines()[1:3] == [
        "its supernode has reached the SuperLink 0 s ago: it says so to whoever asks,",
        "until you stop it, and cannot be started again",
    ]
    assert not (site / "node.key").exists()


def test_a_paused_site_may_leave(site):
    said("pause", site, "--reason", "for now")
    said("leave", site, "--reason", "for good", "--yes")
    assert str(withdrawal(site / "supernode")) == "site-1 has left: for good"


def test_a_state_that_is_no_folder_leaves_the_key(site):
    (site / "supernode").write_text("")
    message = refused("leave", site, "--reason", "x", "--yes", error=ConfigurationError)
    assert f"{site}/supernode/{FILE} cannot be" in message
    assert (site / "node.key").exists()


def test_what_stands_there_must_be_readable(site):
    (site / "supernode").mkdir()
    for content in ("{", "[]", '{"kind": "gone", "site": "site-1", "reason": "x", "since": "y"}'):
        (site / "supernode" / FILE).write_text(content)
        assert str(site / "supernode" / FILE) in refused("resume", site, error=ConfigurationError)


def test_a_key_that_is_none_stops_leave_before_it_begins(site):
    (site / "node.key").write_text("none")
    assert "cannot read the node key" in refused("leave", site, "--reason", "x", "--yes", error=CredentialError)
    assert not (site / "supernode").exists()


def test_a_site_must_be_one(tmp_path):
    assert refused("pause", tmp_path, "--reason", "x", error=ConfigurationError).startswith(
        f"cannot read {tmp_path}/supernode.toml: "
    )
