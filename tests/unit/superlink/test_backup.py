"""Backups of a coordinator's folders; losing one in the middle of a run is in tests/integration."""

import hashlib
import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fedlora import pki
from fedlora.audit import Audit, Event, read_entries, verify
from fedlora.errors import BackupError
from superlink import backup as backup_module
from superlink.backup import Backup, Places, make_backup
from superlink.ledger import Ledger
from superlink.restoring import EPOCHS_BEYOND, read_backup, restore
from superlink.run_config import RunConfig
from superlink.runs import RunFolder, RunState, verdict
from tests.integration.stub_trainer import spec
from tests.unit.superlink.test_run_config import VALUES

SPEC = spec(rank=1, width=8, layers=1)


def aggregate(folder: RunFolder, number: int, epoch: int = 1) -> None:
    """Commit a round as a ServerApp does."""
    with closing(Ledger(folder.ledger)) as ledger:
        ledger.start_round(number, epoch, ["a", "b"])
        unfinished = folder.checkpoints.prepare(number, epoch, np.full(SPEC.size, float(number), np.float32), SPEC)
        with ledger.fence(epoch):
            folder.checkpoints.place(unfinished, number)
            ledger.end_round(number, epoch, "aggregated")


def submitted(runs: Path, name: str, rounds: int = 0, outcome: str = "running") -> RunFolder:
    folder = RunFolder(runs, name)
    folder.submit(RunConfig.from_flower({**VALUES, "run": name}))
    if rounds or outcome != "running":
        with closing(Ledger(folder.ledger)) as ledger:
            ledger.start_submission(1)
            ledger.end_submission(1, 77)
            ledger.start_attempt(1, 77)
        for number in range(1, rounds + 1):
            aggregate(folder, number)
        with closing(Ledger(folder.ledger)) as ledger:
            if outcome != "running":
                ledger.end_attempt(1, outcome, "BudgetError: enough")
    return folder


@pytest.fixture
def places(tmp_path) -> Places:
    """A coordinator with a run that goes on, one that has ended, one that waits, and one that failed by rule."""
    own = pki.private_directory(tmp_path / "coordinator")
    authority = pki.create_authority(own, federation="test")
    pki.issue_server_certificate(authority, own, names=["localhost"])
    pki.create_secret(own / "superexec.secret")
    with closing(sqlite3.connect(own / "superlink.sqlite")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE node (name TEXT)")
        database.executemany("INSERT INTO node VALUES (?)", [("site-1",), ("site-2",)])
        database.commit()
    runs = tmp_path / "runs"
    submitted(runs, "going", rounds=5)
    submitted(runs, "done", rounds=1, outcome="completed")
    submitted(runs, "waiting")
    submitted(runs, "refused", outcome="failed")
    (runs / "going" / "log.txt").write_text("a line\n")
    Audit(runs / "audit.jsonl", "keeper").note(Event.RUN_SUBMITTED, run="going")
    return Places.in_folder(own, runs)


@pytest.fixture
def elsewhere(tmp_path) -> Places:
    return Places.in_folder(tmp_path / "new" / "coordinator", tmp_path / "new" / "coordinator" / "runs")


def made(places: Places, to: Path, **options: bool) -> tuple[Backup, str]:
    return make_backup(places, 'name = "test"\n', to, by="user ada", **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_was_backed_up_is_there_again(places, elsewhere, tmp_path):
    found, sha256 = made(places, tmp_path / "backup")
    assert found.runs == {"going": 5, "done": 1, "waiting": 0, "refused": 0}
    restored = restore(tmp_path / "backup", elsewhere, by="user ada", sha256=sha256)
    assert restored == found
    with closing(sqlite3.connect(elsewhere.database)) as database:
        assert database.execute("SELECT name FROM node").fetchall() == [("site-1",), ("site-2",)]
    assert elsewhere.ca_certificate.read_bytes() == places.ca_certificate.read_bytes()
    for name in found.runs:
        old, new = RunFolder(places.runs, name), RunFolder(elsewhere.runs, name)
        assert new.config(1) == old.config(1)
        assert contents(new.directory / "checkpoints") == contents(old.directory / "checkpoints")
    assert RunFolder(elsewhere.runs, "going").checkpoints.newest().round == 5
    assert (elsewhere.runs / "going" / "log.txt").read_text() == "a line\n"
    noted = [entry.what for entry in read_entries(elsewhere.runs / "audit.jsonl")]
    assert noted == ["run.submitted", "backup.restored"]
    assert verify(elsewhere.runs / "audit.jsonl").problem == ""
    assert [entry.what for entry in read_entries(places.runs / "audit.jsonl")][-1] == "backup.made"
    modes = {file.stat().st_mode & 0o077 for file in (tmp_path / "backup").rglob("*")}
    modes |= {file.stat().st_mode & 0o077 for file in elsewhere.runs.rglob("*") if file.is_file()}
    assert modes == {0}


def test_the_next_attempt_is_beyond_all_that_sites_may_have_seen(places, elsewhere, tmp_path):
    made(places, tmp_path / "backup")
    restore(tmp_path / "backup", elsewhere, by="user ada")
    expected = {"going": 1 + EPOCHS_BEYOND, "waiting": EPOCHS_BEYOND, "refused": 1 + EPOCHS_BEYOND, "done": 1}
    for name, epoch in expected.items():
        with closing(Ledger(RunFolder(elsewhere.runs, name).ledger)) as ledger:
            last = ledger.submissions()[-1]
            assert (last.epoch, last.flower_run is None) == (epoch, name != "done"), name
    states = {name: verdict(RunFolder(elsewhere.runs, name)).state for name in expected}
    assert states == {
        "going": RunState.RUNNING,
        "waiting": RunState.RUNNING,
        "refused": RunState.FAILED,
        "done": RunState.COMPLETED,
    }


@pytest.mark.parametrize("keys", [False, True])
def test_keys_are_in_it_where_asked_for_and_the_cas_never(places, elsewhere, tmp_path, keys):
    found, _ = made(places, tmp_path / "backup", keys=keys)
    everything = b"".join(contents(tmp_path / "backup").values())
    body = b"".join(places.ca_key.read_bytes().splitlines()[1:3])
    assert body not in everything.replace(b"\n", b"")
    assert found.apart["ca.key"].startswith("is kept apart, never in a backup")
    own = {"server.crt", "server.key", "superexec.secret"}
    assert own & found.apart.keys() == (set() if keys else own)
    secret = (places.ca_key.parent / "superexec.secret").read_bytes()
    assert (secret in everything) is keys
    restore(tmp_path / "backup", elsewhere, by="user ada")
    there = {file.name for file in elsewhere.database.parent.iterdir()}
    assert there == {"ca.crt", "superlink.sqlite", "runs"} | (own if keys else set())
    assert pki.private_directory(elsewhere.database.parent).stat().st_mode & 0o777 == 0o700
    there.remove("runs")
    assert {oct((elsewhere.database.parent / name).stat().st_mode & 0o777) for name in there} == {"0o600"}


def test_rounds_that_go_on_meanwhile_leave_a_backup_that_agrees_with_itself(places, tmp_path):
    """Checkpoints are exchanged all the time; the ledger of the backup and its checkpoints are of one moment."""
    ended, problems = threading.Event(), []

    def go_on() -> None:
        try:
            for number in range(6, 200):
                aggregate(RunFolder(places.runs, "going"), number)
                if ended.is_set():
                    return
        except Exception as error:  # noqa: BLE001 - the test says it
            problems.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        for one in range(3):
            found, _ = made(places, tmp_path / f"backup-{one}")
            run = RunFolder(tmp_path / f"backup-{one}" / "runs", "going")
            with closing(Ledger(run.ledger, readonly=True)) as ledger:
                rounds = [row.number for row in ledger.rounds() if row.state == "aggregated"]
            assert rounds == list(range(1, found.runs["going"] + 1))
            newest = run.checkpoints.newest()
            assert newest.round == rounds[-1]
            assert newest.adapter[0] == float(rounds[-1])
    finally:
        ended.set()
        thread.join()
    assert problems == []


@pytest.mark.parametrize(("meanwhile", "last", "copies"), [((6,), 5, 1), ((6, 7, 8, 9), 9, 2)])
def test_a_round_that_is_aggregated_after_the_ledger_was_copied(places, tmp_path, monkeypatch, meanwhile, last, copies):
    """Its checkpoint is left out; if it has pushed out the last one of the ledger, all is copied again."""
    done, copy = [], backup_module.copy_database

    def copied(source: Path, target: Path) -> None:
        copy(source, target)
        if source.parent.name == "going":
            for number in () if done else meanwhile:
                aggregate(RunFolder(places.runs, "going"), number)
            done.append(source)

    monkeypatch.setattr(backup_module, "copy_database", copied)
    found, _ = made(places, tmp_path / "backup")
    run = RunFolder(tmp_path / "backup" / "runs", "going")
    assert (found.runs["going"], len(done)) == (last, copies)
    assert run.checkpoints.newest().round == last
    assert {folder.name for folder in (run.directory / "checkpoints").iterdir()} <= {
        f"round-{number:04d}" for number in range(last + 1)
    }


def test_a_run_whose_checkpoints_are_all_damaged_is_named(places, tmp_path, monkeypatch):
    monkeypatch.setattr(backup_module, "PAUSE_SECONDS", 0.0)
    for file in (places.runs / "going" / "checkpoints").rglob("adapter_model.safetensors"):
        file.write_bytes(b"x")
    with pytest.raises(BackupError, match="run going has aggregated round 5, and none of its checkpoints is whole"):
        made(places, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_with_a_damaged_checkpoint_the_one_before_is_in_it(places, elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr(backup_module, "PAUSE_SECONDS", 0.0)
    (places.runs / "going" / "checkpoints" / "round-0005" / "spec.json").write_text("{}")
    made(places, tmp_path / "backup")
    restore(tmp_path / "backup", elsewhere, by="user ada")
    assert RunFolder(elsewhere.runs, "going").checkpoints.newest().round == 4


def changed(folder: Path) -> str:
    (folder / "runs" / "going" / "log.txt").write_text("another line\n")
    return "runs/going/log.txt is missing or has another hash"


def removed(folder: Path) -> str:
    (folder / "superlink.sqlite").unlink()
    return "superlink.sqlite is missing or has another hash"


def added(folder: Path) -> str:
    (folder / "runs" / "going" / "given-up").write_text("RunError: never")
    return "runs/going/given-up was added"


def newer(folder: Path) -> str:
    about = json.loads((folder / "backup.json").read_text())
    (folder / "backup.json").write_text(json.dumps({**about, "layout": 2}))
    return "has layout 2; this kit reads 1"


def garbled(folder: Path) -> str:
    (folder / "backup.json").write_text('{"layout": 1}')
    return "is no backup that can be read"


@pytest.mark.parametrize("spoil", [changed, removed, added, newer, garbled])
def test_a_backup_that_is_not_what_was_made_is_not_restored(places, elsewhere, tmp_path, spoil):
    made(places, tmp_path / "backup")
    expected = spoil(tmp_path / "backup")
    with pytest.raises(BackupError) as caught:
        restore(tmp_path / "backup", elsewhere, by="user ada")
    assert expected in str(caught.value)
    assert not elsewhere.runs.exists()
    assert not elsewhere.database.exists()


def test_a_list_that_was_exchanged_shows_by_its_hash(places, elsewhere, tmp_path):
    _, sha256 = made(places, tmp_path / "backup")
    changed(tmp_path / "backup")
    about = json.loads((tmp_path / "backup" / "backup.json").read_text())
    own = hashlib.sha256((tmp_path / "backup" / "runs" / "going" / "log.txt").read_bytes()).hexdigest()
    about["files"]["runs/going/log.txt"] = own
    (tmp_path / "backup" / "backup.json").write_text(json.dumps(about, indent=2))
    read_backup(tmp_path / "backup")
    with pytest.raises(BackupError, match="which is asked for"):
        restore(tmp_path / "backup", elsewhere, by="user ada", sha256=sha256)


def test_nothing_that_stands_is_overwritten(places, tmp_path):
    made(places, tmp_path / "backup")
    before = contents(places.runs)
    with pytest.raises(BackupError, match=r"superlink\.sqlite stands there and is not overwritten"):
        restore(tmp_path / "backup", places, by="user ada")
    places.database.unlink()
    with pytest.raises(BackupError, match="is not empty, and is not overwritten"):
        restore(tmp_path / "backup", places, by="user ada")
    assert contents(places.runs) == before
    assert not places.database.exists()


def test_a_backup_is_not_made_over_another(places, tmp_path):
    made(places, tmp_path / "backup")
    before = contents(tmp_path / "backup")
    with pytest.raises(BackupError, match="is not empty, and is not overwritten"):
        made(places, tmp_path / "backup")
    assert contents(tmp_path / "backup") == before


def test_a_backup_of_another_ca_is_not_put_beside_this_one(places, elsewhere, tmp_path):
    made(places, tmp_path / "backup")
    pki.create_authority(pki.private_directory(elsewhere.database.parent), federation="other")
    with pytest.raises(BackupError, match="its nodes and runs know no other"):
        restore(tmp_path / "backup", elsewhere, by="user ada")


def test_where_there_is_no_database_nothing_is_made(places, tmp_path):
    places.database.unlink()
    with pytest.raises(BackupError, match=r"there is no .*superlink\.sqlite"):
        made(places, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
