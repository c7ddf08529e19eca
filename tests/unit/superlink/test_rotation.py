"""Exchanging a CA: the files of each step, and who lacks the new one; with processes, see tests/integration."""

import json
import os
import time
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from fedlora import pki
from fedlora.cli.main import application
from fedlora.errors import CredentialError
from fedlora.pki.reading import Role, ca_certificates, ca_fingerprints, read_key, read_pair
from fedlora.pki.rotation import NEXT_KEY, authority_keys, begin_rotation, end_rotation, rotation, switch_rotation
from fedlora.pki.trust import trust_figures, trusted
from superlink.keeper import Keeper, KeeperSettings
from superlink.ledger import Ledger
from superlink.presence import note_presence
from superlink.run_config import RunConfig
from superlink.runs import RunFolder
from superlink.told import Told
from superlink.trust import registered_trust, take_over_runs
from tests.unit.superlink.test_run_config import VALUES


@pytest.fixture
def own(tmp_path):
    """A CA's folder, with the pairs of a SuperLink and an admin."""
    folder = pki.private_directory(tmp_path / "ca")
    authority = pki.create_authority(folder, federation="test")
    pki.issue_server_certificate(authority, folder, names=["superlink.example.org", "127.0.0.1"])
    pki.issue_admin_certificate(authority, folder, name="ada")
    return folder


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "runs", "r")
    folder.submit(RunConfig.from_flower(VALUES))
    return folder


def signed_by(folder, role):
    """Return which of the CAs in ``ca.crt`` has signed a pair, from 0."""
    certificate, _ = read_pair(folder, role)
    for place, authority in enumerate(ca_certificates(folder / "ca.crt")):
        try:
            certificate.verify_directly_issued_by(authority)
        except Exception:  # noqa: BLE001 - a signature by another key
            continue
        return place
    return None


def test_each_step_leaves_pairs_that_belong_together(own):
    (first,) = ca_fingerprints(own / "ca.crt")
    assert rotation(own) is None
    begun = begin_rotation(own)
    assert ca_fingerprints(own / "ca.crt") == [first, begun.new_sha256]
    assert (signed_by(own, Role.SERVER), signed_by(own, Role.ADMIN)) == (0, 0)
    assert read_pair(own, Role.AUTHORITY)[0] == begun.old
    switched = switch_rotation(own)
    assert ca_fingerprints(own / "ca.crt") == [begun.new_sha256, first]
    assert (signed_by(own, Role.SERVER), signed_by(own, Role.ADMIN)) == (0, 0)
    assert read_pair(own, Role.AUTHORITY)[0] == switched.new == begun.new
    assert not (own / NEXT_KEY).exists()
    end_rotation(own)
    assert ca_fingerprints(own / "ca.crt") == [begun.new_sha256]
    assert rotation(own) is None
    assert {oct(file.stat().st_mode & 0o777) for file in own.iterdir()} == {"0o600"}


def test_a_switch_that_was_killed_before_its_end_is_one_that_is_done(own, monkeypatch):
    begin_rotation(own)
    key = (own / NEXT_KEY).read_bytes()
    switch_rotation(own)
    pki.write_private(own / NEXT_KEY, key)
    assert rotation(own).switched
    with pytest.raises(CredentialError, match="the new CA signs already"):
        switch_rotation(own)


@pytest.mark.parametrize("step", [switch_rotation, end_rotation])
def test_a_step_before_the_first_is_refused(own, step):
    before = {file.name: file.read_bytes() for file in own.iterdir()}
    with pytest.raises(CredentialError, match=r"no exchange of the CA in .* has begun"):
        step(own)
    assert {file.name: file.read_bytes() for file in own.iterdir()} == before


def test_steps_out_of_order_are_refused(own):
    begin_rotation(own)
    with pytest.raises(CredentialError, match="is being exchanged already"):
        begin_rotation(own)
    with pytest.raises(CredentialError, match="the old CA signs; first: switch"):
        end_rotation(own)


def test_what_a_node_trusts_goes_from_its_file_to_the_ledger(own, run):
    begin_rotation(own)
    told = trust_figures(own / "ca.crt")
    assert trust_figures(own / "nowhere.crt") == {}
    with closing(Ledger(run.ledger)) as ledger:
        Told(ledger).note("a", {**told, "trusts_ca_x": 1.0, "loss": 0.5})
        Told(ledger).note("b", {"loss": 0.5})
        (known,) = ledger.trust().items()
        assert known[0] == "a"
        assert set(known[1][1]) == set(ca_fingerprints(own / "ca.crt"))
        assert ledger.reports()["a"].samples == ()  # no metric of ours
    assert len(trusted({f"trusts_ca_{number:064x}": 1.0 for number in range(100)})) == 4


def test_who_lacks_the_new_one_is_named_and_nothing_is_changed(own, run, tmp_path):
    def switch(*more: str):
        command = ["pki", "rotate", str(own), "switch", "--yes", "--runs", str(run.runs), *more]
        return CliRunner().invoke(application, command)

    old = trust_figures(own / "ca.crt")
    begun = begin_rotation(own)
    both = trust_figures(own / "ca.crt")
    before = {file.name: file.read_bytes() for file in own.iterdir()}
    unknown = switch()
    assert "nobody knows which nodes are registered" in str(unknown.exception)
    with closing(Ledger(run.ledger)) as ledger:
        for site, says in (("a", both), ("b", old)):
            Told(ledger).note(site, says)
    note_presence(run.runs, {"a": "online", "b": "online", "c": "offline"})
    refused = switch()
    assert isinstance(refused.exception, CredentialError)
    assert (
        f"the new CA {begun.new_sha256[:16]}...: b (online, trusts the old CA alone); c (offline, has not said what it "
        "trusts). With a SuperLink"
    ) in str(refused.exception)
    assert {file.name: file.read_bytes() for file in own.iterdir()} == before
    # The newest word counts: a site that was started with the old file again is named again.
    newer = RunFolder(run.runs, "s")
    newer.submit(RunConfig.from_flower({**VALUES, "run": "s"}))
    with closing(Ledger(newer.ledger)) as ledger:
        Told(ledger).note("a", old)
        Told(ledger).note("b", both)
    assert ": a (online, trusts the old CA alone); c (" in str(switch().exception)
    with closing(Ledger(newer.ledger)) as ledger:
        Told(ledger).note("a", both)
    note_presence(run.runs, {"a": "online", "b": "online"})  # c was unregistered
    os.utime(run.runs / "nodes.json", (time.time() - 100,) * 2)
    assert "older than 60 s" in str(switch().exception)  # who has come since?
    os.utime(run.runs / "nodes.json")
    done = switch("--format", "json")
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["stage"] == "switched"
    assert signed_by(own, Role.SERVER) == 0
    assert [trust.site for trust in registered_trust(run.runs)] == ["a", "b"]


def test_runs_go_on_under_both_names_of_the_federation(own, run):
    def foreign():
        return Keeper(KeeperSettings("127.0.0.1:1", own / "ca.crt", run.runs))._foreign(run)

    (old,) = authority_keys(own / "ca.crt")
    assert not foreign()
    begin_rotation(own)
    assert not foreign()
    switch_rotation(own)
    assert not foreign()
    assert run.federation == old
    end_rotation(own)
    (new,) = authority_keys(own / "ca.crt")
    assert take_over_runs(run.runs, old, new) == ["r"]
    assert not foreign()
    assert run.federation == new
    run.take_over("f" * 64)
    assert foreign()


def test_a_keeper_that_is_started_when_the_new_ca_signs_hands_the_runs_over(own, run):
    def start():
        KeeperSettings("127.0.0.1:1", own / "ca.crt", run.runs).take_runs_over()

    (old,) = authority_keys(own / "ca.crt")
    run.belong_to(old)
    start()
    begin_rotation(own)
    start()
    assert run.federation == old
    switch_rotation(own)
    start()
    assert run.federation == authority_keys(own / "ca.crt")[0] != old


def test_a_ca_that_is_elsewhere_is_brought_what_sites_trust(own, run, tmp_path, monkeypatch):
    def call(*arguments):
        return CliRunner().invoke(application, ["pki", *map(str, arguments)])

    begin_rotation(own)
    with closing(Ledger(run.ledger)) as ledger:
        Told(ledger).note("a", trust_figures(own / "ca.crt"))
    monkeypatch.chdir(tmp_path / "ca")  # where there are no runs
    brought = tmp_path / "trust.json"

    def bring(**presence):
        note_presence(run.runs, presence)
        said = call("trust", "--runs", run.runs, "--format", "json")
        assert said.exit_code == 0, said.exception
        brought.write_text(said.stdout)

    bring(a="online", b="offline")
    refused = call("rotate", own, "switch", "--yes", "--trust", brought)
    assert ": b (offline, has not said what it trusts)" in str(refused.exception)
    bring(a="online")
    shown = json.loads(call("rotate", own, "--trust", brought, "--format", "json").stdout)
    assert [one["site"] for one in shown["sites"]] == ["a"]
    good = brought.read_text()
    for text, reason in (
        (json.dumps({**json.loads(good), "made_at": time.time() - 3700}), "62 min ago; allowed: 60"),
        (json.dumps({**json.loads(good), "made_at": time.time() + 3700}), "min ago; allowed: 60"),
        ("{}", "is not what fedlora pki trust"),
        ("[", "is not what fedlora pki trust"),
    ):
        brought.write_text(text)
        assert reason in str(call("rotate", own, "switch", "--yes", "--trust", brought).exception)
    brought.write_text(good)
    done = call("rotate", own, "switch", "--yes", "--trust", brought)
    assert done.exit_code == 0, done.exception
    assert rotation(own).switched


def test_the_new_key_is_another(own):
    before = read_key(own / "ca.key").public_key()
    begin_rotation(own)
    switch_rotation(own)
    after = read_key(own / "ca.key").public_key()
    assert isinstance(after, ec.EllipticCurvePublicKey)
    assert after != before
