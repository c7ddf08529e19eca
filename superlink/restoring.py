"""Restoring a coordinator from a backup, onto a place where nothing stands."""

import hashlib
import json
import os
import shutil
import time
from contextlib import closing
from pathlib import Path

from fedlora import audit
from fedlora.adapters.checkpoint import changed_files
from fedlora.errors import BackupError, CredentialError
from fedlora.folders import new_folder
from fedlora.pki import write_private
from fedlora.pki.reading import ca_fingerprints
from superlink.backup import CONTENT, DATABASE, KEYS, LAYOUT, RUNS, Backup, Places
from superlink.ledger import Ledger
from superlink.runs import RunFolder, RunState, run_folders, verdict

__all__ = ["EPOCHS_BEYOND", "read_backup", "restore"]

# The next attempt of a restored run is so many epochs beyond the backup's last. Sites refuse epochs that are over, and
# nobody knows any more how many there were between the backup and the loss: fewer than these.
EPOCHS_BEYOND = 1000


def read_backup(directory: Path) -> tuple[Backup, str]:
    """Read a backup, and hold every file to its hash; return what is in it, and the SHA-256 of ``backup.json``.

    Raises
    ------
    BackupError
        If it is none, is of another layout, or is not what was made: names the first file that was changed, is missing
        or was added.
    """
    try:
        content = (directory / CONTENT).read_bytes()
        fields = json.loads(content)
        found = Backup(**fields)
        if not all(isinstance(part, dict) for part in (found.files, found.runs, found.apart)):
            raise TypeError("files, runs and apart are mappings")
    except (OSError, ValueError, TypeError) as error:
        raise BackupError(f"{directory} is no backup that can be read: {error}") from error
    if found.layout != LAYOUT:
        raise BackupError(f"backup {directory} has layout {found.layout}; this kit reads {LAYOUT}: use the newer kit")
    for name in changed_files(directory, found.files):
        raise BackupError(f"backup {directory} is not what was made: {name} is missing or has another hash")
    there = {str(file.relative_to(directory)) for file in directory.rglob("*") if not file.is_dir()}
    for name in sorted(there - found.files.keys() - {CONTENT}):
        raise BackupError(f"backup {directory} is not what was made: {name} was added")
    return found, hashlib.sha256(content).hexdigest()


def restore(directory: Path, places: Places, *, by: str, sha256: str = "") -> Backup:
    """Put a backup into its places, where nothing may stand; return what was in it.

    A run that has not been completed goes on by itself, if it was going on, from its last round in the backup. Its
    next epoch is beyond all that sites may have seen.

    Parameters
    ----------
    directory : Path
        The backup.
    places : Places
        Where everything goes.
    by : str
        Who asked for it, for the audit log.
    sha256 : str
        The hash that ``backup.json`` must have; empty for any.

    Raises
    ------
    BackupError
        If `read_backup` refuses it, it has another hash, it is of another CA than the one that is there, something
        stands in a place, or the disk does not take it.
    """
    found, content_sha256 = read_backup(directory)
    if sha256 and sha256 != content_sha256:
        raise BackupError(f"{directory / CONTENT} has the SHA-256 {content_sha256}, not {sha256}, which is asked for")
    _refuse_standing(directory, places)
    try:
        places.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the runs may be in it
    except OSError as error:
        raise BackupError(f"{places.database.parent} cannot be made: {error.strerror}") from error
    with new_folder(places.runs, error=BackupError) as runs:
        if (directory / RUNS).exists():
            shutil.copytree(directory / RUNS, runs, dirs_exist_ok=True, copy_function=shutil.copyfile)
        for folder in run_folders(runs):
            _skip_epochs(folder)
        log = audit.Audit(runs / audit.FILE, by)
        log.note(audit.Event.BACKUP_RESTORED, folder=str(directory), sha256=content_sha256, made_at=found.made_at)
        for file in (entry for entry in runs.rglob("*") if entry.is_file()):
            file.chmod(0o600)
    try:
        _place(directory, places)
    except (CredentialError, OSError) as error:
        raise BackupError(
            f"the runs are in {places.runs}, and the rest cannot be restored: {error}; remove what is there of both, "
            "and restore again"
        ) from error
    return found


def _refuse_standing(directory: Path, places: Places) -> None:
    for file in (places.database, *(place for place in places.keys if (directory / KEYS / place.name).exists())):
        if os.path.lexists(file):
            raise BackupError(f"{file} stands there and is not overwritten; move it away, or restore elsewhere")
    if places.ca_certificate.exists():
        here, then = (ca_fingerprints(file) for file in (places.ca_certificate, directory / places.ca_certificate.name))
        if not set(here) & set(then):
            raise BackupError(
                f"{places.ca_certificate} has the SHA-256 {here[0]}, and the backup is of the CA {then[0]}: its nodes "
                "and runs know no other. Bring that one back, or restore elsewhere"
            )


def _place(directory: Path, places: Places) -> None:
    for source, target in (
        (directory / places.ca_certificate.name, places.ca_certificate),
        *((directory / KEYS / key.name, key) for key in places.keys),
        (directory / DATABASE, places.database),  # last: where it stands, a restore is complete
    ):
        if source.exists() and not target.exists():
            write_private(target, source.read_bytes())


def _skip_epochs(folder: RunFolder) -> None:
    """Let a run's next attempt, if there is one, have an epoch beyond those that may have begun since the backup."""
    if verdict(folder).state is RunState.COMPLETED:
        return
    with closing(Ledger(folder.ledger)) as ledger:
        attempts = ledger.attempts()
        begun = [*(row.epoch for row in ledger.submissions()), *(row.epoch for row in attempts)]
        for attempt in attempts:
            ledger.end_attempt(attempt.epoch, "lost", f"the coordinator was lost, and restored at {time.time():.0f}")
        ledger.start_submission(max(begun, default=0) + EPOCHS_BEYOND)
