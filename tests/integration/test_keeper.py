"""What the keeper does and leaves alone."""

import json
import sys
import time

from superlink.checkpoints import Checkpoints
from superlink.ledger import Ledger
from superlink.runs import RunFolder, RunState, verdict
from tests.integration import stub_trainer
from tests.integration.test_survival import finish, in_round, submit, wait

ROUND_BYTES = 2 * 2 * (4 * stub_trainer.spec().size)  # two sites, both directions, headers left out


def epochs(folder: RunFolder) -> list[tuple[int, str]]:
    ledger = Ledger(folder.ledger, readonly=True)
    found = [(row.epoch, row.outcome) for row in ledger.attempts()]
    ledger.close()
    return found


def test_two_runs_go_one_after_the_other_and_two_keepers_do_not_fight(kept):
    settings = kept.coordinator / "keeper.toml"
    kept.wait_for_log("keeper", "looking after the runs")
    kept.parts.start("second-keeper", [sys.executable, "-m", "superlink.keeper", str(settings)], {})
    kept.wait_for_log("second-keeper", "another keeper looks after")
    first, second = submit(kept, "first"), submit(kept, "second")
    wait(kept, first, in_round(1))
    assert verdict(second).state is RunState.QUEUED
    # The first keeper goes; the second takes its place in the middle of the first run.
    keeper = next(part for part in kept.parts.started if part.name == "keeper")
    keeper.process.terminate()
    assert keeper.process.wait(20) == 0
    kept.parts.started.remove(keeper)
    assert finish(kept, first).state is RunState.COMPLETED
    assert finish(kept, second).state is RunState.COMPLETED
    assert epochs(first) == epochs(second) == [(1, "completed")]


def test_what_fails_by_rule_is_not_tried_again_until_somebody_says_so(kept):
    folder = submit(kept, budget_bytes=3 * ROUND_BYTES, ignore_forecast=True)
    said = finish(kept, folder)
    assert (said.state, said.error.__name__) == (RunState.FAILED, "BudgetError")
    assert "the run ends before round 3" in said.reason
    assert folder.checkpoints.newest().round == 2
    ledger = Ledger(folder.ledger, readonly=True)
    assert ledger.payload_bytes() <= 3 * ROUND_BYTES
    ledger.close()
    time.sleep(3)
    assert epochs(folder) == [(1, "failed")]
    # With a larger budget it goes on, and does not do rounds 1 and 2 again.
    about = json.loads((folder.directory / "run.json").read_text())
    about["config"]["budget-bytes"] = 100 * ROUND_BYTES
    (folder.directory / "run.json").write_text(json.dumps(about))
    folder.resume(epoch=1)
    assert finish(kept, folder).state is RunState.COMPLETED
    ledger = Ledger(folder.ledger, readonly=True)
    assert [(row.number, row.epoch) for row in ledger.rounds()] == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]
    ledger.close()


def test_a_forecast_beyond_the_budget_is_refused_with_the_arithmetic(kept):
    folder = submit(kept, budget_bytes=3 * ROUND_BYTES)
    said = finish(kept, folder)
    assert said.error.__name__ == "BudgetError"
    assert "5 rounds x" in said.reason
    assert "2 round(s) would fit" in said.reason
    assert Checkpoints(folder.directory / "checkpoints").newest() is None


def test_a_stopped_run_keeps_what_it_has_and_goes_on_when_resumed(kept):
    folder = submit(kept)
    wait(kept, folder, in_round(2))
    folder.stop()
    assert finish(kept, folder).state is RunState.STOPPED
    assert folder.checkpoints.newest().round == 1
    folder.resume(epoch=1)
    assert finish(kept, folder).state is RunState.COMPLETED
    assert len(epochs(folder)) == 2
