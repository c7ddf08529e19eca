"""A coordinator's folder is lost in the middle of a run; from a backup, and the CA that was kept apart, it goes on."""

import json
import shutil
import signal
import time

import pytest
from typer.testing import CliRunner

from fedlora.audit import read_entries
from fedlora.cli.main import application
from fedlora.errors import BackupError
from fedlora.federation.writing import to_toml
from superlink.restoring import EPOCHS_BEYOND
from superlink.runs import RunState
from tests.integration.test_survival import HELD, assert_undisturbed, at_work, finish, hold, submit, wait

ROUNDS = 4
LOST = ("keeper", "superexec", "superlink")


def command(*arguments: object):
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


@pytest.mark.timeout(400)
def test_a_coordinator_whose_folder_is_lost_goes_on_from_its_backup(new_federation, tmp_path, figure):
    made, file, backup = new_federation, tmp_path / "federation.toml", tmp_path / "backup"
    file.write_text(to_toml(made.federation))
    made.start()
    made.start_keeper()
    hold(made, 3)
    folder = submit(made, rounds=ROUNDS)
    wait(made, folder, at_work(made, folder, 3))

    result = command("backup", backup, file, "--format", "json")  # in the middle of round 3, with everything running
    assert result.exit_code == 0, result.exception
    about = json.loads(result.stdout)
    assert about["runs"] == {folder.name: 2}
    assert {"ca.key", "server.key", "superexec.secret"} <= about["apart"].keys()

    for site in made.sites:  # round 3 is aggregated after the backup
        made.behave(site, seconds=HELD, from_round=4)
    wait(made, folder, at_work(made, folder, 4))
    assert folder.checkpoints.newest().round == 3
    refused = command("restore", backup, file)
    assert isinstance(refused.exception, BackupError)
    assert "is not overwritten" in str(refused.exception)

    apart = tmp_path / "apart"  # where the CA is kept
    apart.mkdir(mode=0o700)
    for name in ("ca.crt", "ca.key"):
        shutil.copy2(made.coordinator / name, apart / name)
    for part in LOST:
        made.end_part(part, signal.SIGKILL)
    time.sleep(1)  # the ServerApp ends with its SuperExec
    shutil.rmtree(made.coordinator)
    began = time.monotonic()

    result = command("restore", backup, file, "--sha256", about["sha256"])
    assert result.exit_code == 0, result.exception
    for name in ("ca.crt", "ca.key"):
        shutil.copy2(apart / name, made.coordinator / name)
    assert folder.checkpoints.newest().round == 2
    for site in made.sites:
        made.behave(site)
    made.create_credentials()  # the SuperLink has a new key; its CA is the one that the sites know
    made.start_superlink()
    made.start_keeper()
    assert finish(made, folder).state is RunState.COMPLETED
    took = time.monotonic() - began
    figure(f"coordinator lost in round 4 of {ROUNDS}, restored from round 2: complete after {took:.1f} s")

    attempts = assert_undisturbed(made, folder, ROUNDS)  # to the bit
    assert [(epoch, outcome) for epoch, outcome, _ in attempts] == [(1, "lost"), (1 + EPOCHS_BEYOND, "completed")]
    ledger = made.ledger()
    rounds = [(row.number, row.epoch) for row in ledger.rounds() if row.state == "aggregated"]
    ledger.close()
    # What was aggregated before the backup is as it was; what came after it is trained again.
    assert rounds == [(1, 1), (2, 1), (3, 1 + EPOCHS_BEYOND), (4, 1 + EPOCHS_BEYOND)]
    noted = [(entry.what, entry.about.get("round")) for entry in read_entries(made.runs / "audit.jsonl")]
    assert [number for what, number in noted if what == "round.aggregated"] == [1, 2, 3, 4]
    assert ("backup.restored", None) in noted
    assert {made.status(site) for site in made.sites} == {"online"}  # their registrations are the backup's
