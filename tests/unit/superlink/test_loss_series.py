"""What the exporter says of the losses of a run's rounds."""

import pytest

from superlink.ledger import Ledger, TurnRow
from superlink.series import _rounds


class Config:
    run = "first"


def said(tmp_path, rounds):
    """The losses' samples after rounds, each a list of (loss, examples) of its sites."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.start_attempt(1, 7)
    for number, turns in enumerate(rounds, 1):
        ledger.start_round(number, 1, [f"site-{place}" for place in range(len(turns))])
        for place, (loss, examples) in enumerate(turns):
            ledger.end_turn(TurnRow(number, 1, f"site-{place}", "answered", loss=loss, examples=examples))
        ledger.end_round(number, 1, "aggregated")
    found = {sample.name: sample.value for sample in _rounds(Config, ledger) if "training_loss" in sample.name}
    return found.get("fedlora_round_training_loss"), found.get("fedlora_round_training_loss_rises")


@pytest.mark.parametrize(
    ("losses", "loss", "rises"),
    [
        ([], None, None),
        ([1.0], 1.0, 0),
        ([1.0, 0.5], 0.5, 0),
        ([1.0, 1.0], 1.0, 0),
        ([1.0, 1.25, 1.5], 1.5, 2),
        ([1.0, 0.5, 0.75, 1.0, 1.25], 1.25, 3),
        ([0.5, 0.75, 0.625], 0.625, 0),
        ([0.5, None, 0.75, 1.0], 1.0, 1),
        ([0.5, 0.75, None], None, 0),
    ],
)
def test_rounds_in_a_row_in_which_the_loss_rose(losses, loss, rises, tmp_path):
    assert said(tmp_path, [[(one, 16)] for one in losses]) == (loss, rises)


def test_the_mean_is_weighted_by_records_and_passes_over_who_told_none(tmp_path):
    assert said(tmp_path, [[(1.0, 10), (2.0, 30), (None, 1000)]]) == (1.75, 0)
