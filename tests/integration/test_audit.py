"""What the audit logs of a real federation hold after a run with a refusal, a stop and a node that came and went."""

import re
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlora import pki
from fedlora.audit import Entry, person, read_entries, verify
from fedlora.cli.main import application
from superlink.runs import RunState
from tests.integration.test_survival import finish, in_round, submit, wait

SECRET = re.compile(rb"[A-Za-z0-9+/]{60,}={0,2}|[0-9a-f]{64}")  # a line of a key's PEM, or a shared secret


def entries(file: Path, folder) -> list[Entry]:
    return [entry for entry in read_entries(file) if entry.about.get("run") == folder.name]


def told(found: list[Entry], *names: str) -> list[tuple]:
    return [(entry.what, *(entry.about.get(name) for name in names)) for entry in found]


def secrets_of(federation) -> set[bytes]:
    """Every line of every private key, and every shared secret of the federation, whole."""
    found = set()
    for file in federation.coordinator.parent.rglob("*"):
        if file.suffix in (".key", ".secret") and file.is_file():
            found.update(SECRET.findall(file.read_bytes()))
    return found


@pytest.mark.timeout(300)
def test_both_ends_note_who_did_what(kept, tmp_path):
    for site in kept.sites:
        kept.behave(site, seconds=0.5)
    kept.behave("site-2", seconds=0.5, behaviour="stale")
    folder = submit(kept, rounds=3)
    wait(kept, folder, in_round(3))
    stopped = CliRunner().invoke(application, ["run", "stop", folder.name, "--yes", "--runs", str(kept.runs)])
    assert stopped.exit_code == 0, stopped.exception
    assert finish(kept, folder).state is RunState.STOPPED
    resumed = CliRunner().invoke(application, ["run", "resume", folder.name, "--runs", str(kept.runs)])
    assert resumed.exit_code == 0, resumed.exception
    assert finish(kept, folder).state is RunState.COMPLETED

    log = kept.runs / "audit.jsonl"
    done = entries(log, folder)
    assert told(done, "round", "sites")[0] == ("attempt.begun", None, list(kept.sites))
    rounds = [entry for entry in done if entry.what == "round.aggregated"]
    assert [(entry.about["round"], entry.about["sites"]) for entry in rounds] == [(n, ["site-1"]) for n in (1, 2, 3)]
    assert {entry.by for entry in rounds} == {"serverapp"}
    refused = [entry.about for entry in done if entry.what == "update.refused"]
    assert {(one["site"], one["round"]) for one in refused} >= {("site-2", 1), ("site-2", 2)}
    assert all("header field round is" in one["reason"] for one in refused)
    people = [(entry.what, entry.by) for entry in done if entry.by.startswith("user")]
    assert people == [("run.stopped", person()), ("run.resumed", person())]

    for site in kept.sites:
        own = kept.site(site) / "supernode" / "audit.jsonl"
        (opened, *_), here = told(entries(own, folder), "epoch"), entries(own, folder)
        assert opened == ("run.opened", 1)
        trained = [(entry.about["epoch"], entry.about["round"]) for entry in here if entry.what == "round.trained"]
        assert trained[:2] == [(1, 1), (1, 2)]
        before = [entry for entry in read_entries(own) if entry.what in ("policy.changed", "key.changed")]
        of = {entry.about["of"] for entry in before}
        assert of == {"the supernode's policy", "the trainer's policy", "the CA's certificate", "the node's key"}

    logs = [log, *(kept.site(site) / "supernode" / "audit.jsonl" for site in kept.sites)]
    secrets = secrets_of(kept)
    assert len(secrets) > 3 * 3  # three parties, several lines each
    for file in logs:
        assert verify(file).problem == ""
        assert not [secret for secret in secrets if secret in file.read_bytes()]


def test_a_node_that_comes_and_goes_is_noted_whoever_asked_for_it(kept, tmp_path):
    pki.create_node_key(pki.private_directory(tmp_path / "late") / "node.key")

    def wait_for(what: str) -> Entry:
        end = time.monotonic() + 30
        while True:
            found = [e for e in read_entries(kept.runs / "audit.jsonl") if e.about.get("site") == "passing"]
            if found and found[-1].what == what:
                return found[-1]
            assert time.monotonic() < end, found
            time.sleep(0.2)

    with kept.control() as control:  # as Flower's own command line would
        node = control.register_node(pki.public_key_pem(tmp_path / "late" / "node.key.pub"), "passing")
        assert wait_for("node.registered").about["id"] == str(node)
        control.unregister_node(node)
        assert wait_for("node.unregistered").by == "keeper"
