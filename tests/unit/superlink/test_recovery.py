"""What a fault has cost, by hand."""

import pytest

from superlink.ledger_rows import AttemptRow, RoundRow, TurnRow
from superlink.recovery import Recovery, recovery

ATTEMPTS = [AttemptRow(1, 1, 0.0, 40.0, 40.0, "lost", ""), AttemptRow(2, 2, 45.0, 90.0, 90.0, "completed", "")]
ROUNDS = [
    RoundRow(1, 1, 0.0, 10.0, "aggregated"),
    RoundRow(2, 1, 10.0, None, "training"),
    RoundRow(2, 2, 50.0, 60.0, "aggregated"),
    RoundRow(3, 2, 60.0, 80.0, "aggregated"),
]
TURNS = [
    TurnRow(1, 1, "a", "answered", tries=1, bytes_down=100, bytes_up=50),
    TurnRow(2, 1, "a", "asked", tries=1, bytes_down=100),
    TurnRow(2, 2, "a", "late", tries=2, bytes_down=200),
    TurnRow(2, 2, "b", "answered", tries=2, dropped=1, bytes_down=200, bytes_up=100),
    TurnRow(3, 2, "a", "answered", tries=1, bytes_down=100, bytes_up=50),
]


@pytest.mark.parametrize(("site", "seconds"), [("", 40.0), ("b", 40.0), ("a", 60.0), ("nobody", None)])
def test_what_a_fault_has_cost(site, seconds):
    """Lost are round 2 of epoch 1 (100), the late turn (200), and of b's one adapter (100) and one answer (50)."""
    assert recovery(ATTEMPTS, ROUNDS, TURNS, 20.0, site) == Recovery(
        recovery_seconds=seconds, rounds_lost=1, turns_lost=1, payload_bytes=900, bytes_wasted=450, attempts=2
    )


def test_a_round_that_had_ended_before_is_no_recovery():
    assert recovery(ATTEMPTS, ROUNDS, TURNS, 85.0).recovery_seconds is None
