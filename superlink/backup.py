"""Backups of a coordinator: Flower's database, the runs, and who is admitted, as they stand while everything goes on.

A backup is a folder: ``superlink.sqlite``, ``runs/``, ``ca.crt``, ``federation.toml`` with the policies that it gives
to sites, and ``backup.json``, which names every file with its hash, and what is not in it. Databases are copied by
SQLite's own backup, so each is a moment's; a run's ledger is copied first, and then the checkpoints of rounds that it
calls aggregated. No private key is in it, unless asked for: of the CA none, ever.
"""

import fcntl
import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import fedlora
from fedlora import audit
from fedlora.adapters.checkpoint import CHECKPOINTS, checkpoint_folders, file_sha256, read_note
from fedlora.errors import AdapterError, BackupError
from fedlora.folders import new_folder
from superlink.ledger import Ledger
from superlink.presence import NODES
from superlink.runs import RunFolder, run_folders

__all__ = ["CONTENT", "DATABASE", "FEDERATION", "KEYS", "RUNS", "Backup", "Places", "make_backup"]

CONTENT, DATABASE, RUNS, KEYS, FEDERATION = "backup.json", "superlink.sqlite", "runs", "keys", "federation.toml"
LAYOUT = 1
TRIES, PAUSE_SECONDS = 20, 0.5  # for a run whose checkpoints are exchanged while they are copied


@dataclass(frozen=True)
class Places:
    """Where what belongs to a coordinator lies.

    Attributes
    ----------
    database : Path
        The SuperLink's.
    runs : Path
        Folder of the runs.
    ca_certificate : Path
        The federation's ``ca.crt``.
    keys : tuple of Path
        Files with secrets of the coordinator's own: a key of the SuperLink, an admin's, the SuperExec's secret; with
        the certificates that belong to them.
    ca_key : Path
        Where the CA's key may be.
    """

    database: Path
    runs: Path
    ca_certificate: Path
    keys: tuple[Path, ...] = ()
    ca_key: Path = Path("ca.key")

    @classmethod
    def in_folder(cls, coordinator: Path, runs: Path) -> "Places":
        """Return the places of a coordinator whose credentials and database are in one folder."""
        names = ("server.crt", "server.key", "admin.crt", "admin.key", "superexec.secret")
        return cls(
            coordinator / DATABASE,
            runs,
            coordinator / "ca.crt",
            tuple(coordinator / name for name in names),
            coordinator / "ca.key",
        )


@dataclass(frozen=True)
class Backup:
    """What ``backup.json`` says.

    Attributes
    ----------
    layout : int
        Version of the folder's layout.
    kit_version : str
        Which fedlora made it.
    made_at : str
        When it was begun, in ISO 8601, UTC.
    files : mapping
        SHA-256 of each file, by its path in the backup.
    runs : mapping
        The last aggregated round of each run.
    apart : mapping
        What belongs to the coordinator and is not in the backup, and what to do about it.
    """

    layout: int
    kit_version: str
    made_at: str
    files: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, int] = field(default_factory=dict)
    apart: Mapping[str, str] = field(default_factory=dict)


def make_backup(places: Places, federation: str, to: Path, *, by: str, keys: bool = False) -> tuple[Backup, str]:
    """Make a backup in the new folder `to`, mode 0700, of a coordinator that may be running.

    Parameters
    ----------
    places : Places
        Where everything is.
    federation : str
        The federation's file, as TOML.
    to : Path
        The folder to make.
    by : str
        Who asked for it, for the audit log.
    keys : bool
        Whether the coordinator's own keys go with it; the CA's never does.

    Returns
    -------
    tuple
        What is in it, and the SHA-256 of ``backup.json``.

    Raises
    ------
    BackupError
        If there is nothing to back up, something cannot be read, the folder is not empty, or the disk is full.
    """
    began = datetime.now(UTC).isoformat(timespec="seconds")
    if not places.database.exists():
        raise BackupError(f"there is no {places.database}: a backup is made where the SuperLink's database lies")
    with new_folder(to, error=BackupError) as folder:
        copy_database(places.database, folder / DATABASE)
        _copy(places.ca_certificate, folder / places.ca_certificate.name)
        (folder / FEDERATION).write_text(federation, encoding="utf-8")
        runs = {run.name: _copy_run(run, folder / RUNS / run.name) for run in run_folders(places.runs)}
        if (places.runs / NODES).exists():
            _copy(places.runs / NODES, folder / RUNS / NODES)
        _copy_audit(places.runs / audit.FILE, folder / RUNS / audit.FILE)
        for file in places.keys if keys else ():
            if file.exists():
                _copy(file, folder / KEYS / file.name)
        entries = sorted(entry for entry in folder.rglob("*") if entry.is_file())
        files = {str(entry.relative_to(folder)): file_sha256(entry) for entry in entries}
        made = Backup(LAYOUT, fedlora.__version__, began, files, runs, _apart(places, keys=keys))
        content = (json.dumps(asdict(made), indent=2) + "\n").encode()
        (folder / CONTENT).write_bytes(content)
        for entry in folder.rglob("*"):
            entry.chmod(0o700 if entry.is_dir() else 0o600)
    sha256 = hashlib.sha256(content).hexdigest()
    audit.Audit(places.runs / audit.FILE, by).note(audit.Event.BACKUP_MADE, folder=str(to), sha256=sha256)
    return made, sha256


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database that may be written meanwhile, as one moment has it, into one file.

    Raises
    ------
    BackupError
        If it cannot be read, or what was copied is not sound.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        uri = f"{source.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=30)) as read, closing(sqlite3.connect(target)) as written:
            read.backup(written)
            written.execute("PRAGMA journal_mode = DELETE")  # so that it is one file
            ((said,),) = written.execute("PRAGMA integrity_check(1)")
    except sqlite3.Error as error:
        raise BackupError(f"the database {source} cannot be copied: {error}") from error
    if said != "ok":
        raise BackupError(f"the database {source} is damaged: {said}")


def _copy_run(run: RunFolder, target: Path) -> int:
    """Copy a run's folder; return its last aggregated round.

    Checkpoints are exchanged while rounds go on: if the last one went meanwhile, all is copied again, ledger first.
    """
    for _ in range(TRIES):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        last = _copy_ledger(run, target)
        whole = _copy_checkpoints(run.directory / CHECKPOINTS, target / CHECKPOINTS, last)
        if last in (0, whole):
            break
        time.sleep(PAUSE_SECONDS)
    else:
        if not whole:
            raise BackupError(
                f"run {run.name} has aggregated round {last}, and none of its checkpoints is whole: it could not go on "
                f"from a backup. Bring one back to {run.directory / CHECKPOINTS}, or move the run away"
            )
    for entry in sorted(run.directory.iterdir()):
        if entry.name.startswith((".", run.ledger.name)) or entry.name == CHECKPOINTS:
            continue
        for file in [entry] if entry.is_file() else sorted(found for found in entry.rglob("*") if found.is_file()):
            _copy(file, target / file.relative_to(run.directory))
    return last


def _copy_ledger(run: RunFolder, target: Path) -> int:
    if not run.ledger.exists():
        return 0
    copy_database(run.ledger, target / run.ledger.name)
    with closing(Ledger(target / run.ledger.name, readonly=True)) as ledger:
        return max((row.number for row in ledger.rounds() if row.state == "aggregated"), default=0)


def _copy_checkpoints(source: Path, target: Path, last: int) -> int:
    """Copy the checkpoints up to round `last`; return the newest of them that is whole, 0 if none is."""
    newest = 0
    for number, folder in checkpoint_folders(source):
        if number > last:
            continue  # of a round that the copied ledger does not know yet
        copied = target / folder.name
        try:
            shutil.copytree(folder, copied, copy_function=shutil.copyfile)
            note = read_note(copied)
        except (OSError, AdapterError):  # it is being removed
            note = None
        if note is None or note.changed:
            shutil.rmtree(copied, ignore_errors=True)
        else:
            newest = max(newest, number)
    return newest


def _copy_audit(source: Path, target: Path) -> None:
    if source.exists():
        with source.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)  # whole lines alone
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(stream.read())


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise BackupError(f"{source} cannot be copied: {error.strerror}") from error


def _apart(places: Places, *, keys: bool) -> dict[str, str]:
    """Return what is not in the backup."""
    there = "is kept apart" if places.ca_key.exists() else "is not on this machine"
    found = {places.ca_key.name: f"{there}, never in a backup: without it no new certificate can be signed"}
    if not keys:
        advice = "made anew by the CA where it is lost, or brought back"
        found |= {file.name: advice for file in places.keys if file.exists()}
    return found
