"""What the keeper does and leaves alone."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlora import flower
from superlink.checkpoints import Checkpoints
from superlink.ledger import Ledger
from superlink.runs import RunFolder, RunState, verdict
from tests.integration import stub_trainer
from tests.integration.test_survival import finish, hold, in_round, submit, wait

ROUND_BYTES = 2 * 2 * (4 * stub_trainer.spec().size)  # two sites, both directions, headers left out


def ledger_of(folder: RunFolder) -> Ledger:
    return Ledger(folder.ledger, readonly=True)


def epochs(folder: RunFolder) -> list[tuple[int, str]]:
    return [(row.epoch, row.outcome) for row in ledger_of(folder).attempts()]


def test_two_runs_go_one_after_the_other_and_two_keepers_do_not_fight(kept):
    kept.wait_for_log("keeper", "looking after the runs")
    kept.start_keeper("second-keeper")
    kept.wait_for_log("second-keeper", "another keeper looks after")
    first, second = submit(kept, "first"), submit(kept, "second")
    wait(kept, first, in_round(1))
    assert verdict(second).state is RunState.QUEUED
    # The first keeper goes; the second takes its place in the middle of the first run.
    assert kept.end_part("keeper") == 0
    assert finish(kept, first).state is RunState.COMPLETED
    assert finish(kept, second).state is RunState.COMPLETED
    assert epochs(first) == epochs(second) == [(1, "completed")]
    assert kept.end_part("second-keeper") == 0
    kept.start_keeper()


def test_what_fails_by_rule_is_not_tried_again_until_somebody_says_so(kept):
    folder = submit(kept, rounds=4, budget_bytes=3 * ROUND_BYTES, ignore_forecast=True)
    said = finish(kept, folder)
    assert (said.state, said.error.__name__) == (RunState.FAILED, "BudgetError")
    assert "the run ends before round 3" in said.reason
    assert folder.checkpoints.newest().round == 2
    assert ledger_of(folder).payload_bytes() <= 3 * ROUND_BYTES
    time.sleep(3)
    assert epochs(folder) == [(1, "failed")]
    # With a larger budget it goes on, and does not do rounds 1 and 2 again.
    about = json.loads((folder.directory / "run.json").read_text())
    about["config"]["budget-bytes"] = 100 * ROUND_BYTES
    (folder.directory / "run.json").write_text(json.dumps(about))
    folder.resume(epoch=1)
    assert finish(kept, folder).state is RunState.COMPLETED
    assert [(row.number, row.epoch) for row in ledger_of(folder).rounds()] == [(1, 1), (2, 1), (3, 2), (4, 2)]


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        ({"rounds": 5, "budget_rounds": 2}, "the run ends before round 3: 2 rounds used, a round takes 1 rounds"),
        ({"rounds": 99, "budget_seconds": 20.0}, "the run ends"),
    ],
)
def test_rounds_and_time_are_budgets_too(kept, budget, reason):
    folder = submit(kept, **budget, ignore_forecast=True)
    said = finish(kept, folder)
    assert said.error.__name__ == "BudgetError"
    assert said.reason.startswith(reason)
    kept_rounds = [row.number for row in ledger_of(folder).rounds() if row.state == "aggregated"]
    assert 1 <= len(kept_rounds) < budget["rounds"]
    assert folder.checkpoints.newest().round == kept_rounds[-1]


def test_a_site_that_nobody_has_registered_is_named_at_once(kept):
    folder = submit(kept, sites="site-1,site-3")
    said = finish(kept, folder, seconds=60)
    assert said.error.__name__ == "ParticipationError"
    assert said.reason.startswith("site(s) site-3 are not registered at the SuperLink; registered are site-1, site-2.")
    folder.resume(epoch=0)
    assert finish(kept, folder, seconds=60).error.__name__ == "ParticipationError"


def test_a_run_of_another_federation_is_left_alone(kept):
    folder = submit(kept)
    folder.belong_to("f" * 64)
    said = finish(kept, folder, seconds=60)
    assert said.error.__name__ == "RunError"
    assert "belongs to another federation" in said.reason
    assert not folder.ledger.exists() or epochs(folder) == []


def test_a_run_is_not_resumed_on_another_base_model(kept):
    hold(kept, 2)
    folder = submit(kept)
    wait(kept, folder, in_round(2))
    folder.stop()
    assert finish(kept, folder).state is RunState.STOPPED
    for site in kept.sites:
        kept.behave(site, base_model_sha256="c" * 64)
    folder.resume(epoch=1)
    said = finish(kept, folder)
    assert said.error.__name__ == "SpecMismatchError"
    assert f"checkpoint round 1: base model sha256 {'b' * 64} against {'c' * 64}" in said.reason


def test_a_forecast_beyond_the_budget_is_refused_with_the_arithmetic(kept):
    folder = submit(kept, rounds=5, budget_bytes=3 * ROUND_BYTES)
    said = finish(kept, folder)
    assert said.error.__name__ == "BudgetError"
    assert "5 rounds x" in said.reason
    assert "2 round(s) would fit" in said.reason
    assert Checkpoints(folder.directory / "checkpoints").newest() is None


def test_a_stopped_run_keeps_what_it_has_and_goes_on_when_resumed(kept):
    hold(kept, 2)
    folder = submit(kept)
    wait(kept, folder, in_round(2))
    folder.stop()
    assert finish(kept, folder).state is RunState.STOPPED
    assert folder.checkpoints.newest().round == 1
    hold(kept, 4)
    folder.resume(epoch=1)
    assert finish(kept, folder).state is RunState.COMPLETED
    assert len(epochs(folder)) == 2


def test_flowers_own_commands_stay_usable(kept, tmp_path):
    (tmp_path / "config.toml").write_text(
        f'[superlink]\ndefault = "kept"\n[superlink.kept]\naddress = "127.0.0.1:{kept.ports.http}"\n'
        f'root-certificates = "{kept.ca_certificate}"\n'
    )

    def flwr(*arguments: str) -> str:
        command = [Path(sys.executable).with_name("flwr"), *arguments, "kept"]
        environment = {**os.environ, **flower.environment(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout

    hold(kept, 2)
    folder = submit(kept)
    wait(kept, folder, in_round(2))
    run_id = str(ledger_of(folder).attempts()[0].flower_run)
    assert run_id in flwr("ls", "--format", "json")
    flwr("stop", run_id)
    assert finish(kept, folder).state is RunState.STOPPED
    assert epochs(folder) == [(1, "lost")]
    assert "round 1 of 3" in flwr("log", "--show", run_id)
    hold(kept, 4)
    folder.resume(epoch=1)
    assert finish(kept, folder).state is RunState.COMPLETED
    assert epochs(folder) == [(1, "lost"), (2, "completed")]
