import dataclasses

import pytest

from fedlora.adapters.scores import Score, Scores
from fedlora.metrics import Sample
from superlink.cost import Cost, run_cost
from superlink.ledger import AttemptRow, Report, RoundRow, SubmissionRow, TurnRow

NOTHING = Cost(0, 0, *[None] * 9)
ROUNDS = [RoundRow(1, 1, 0.0, 9.0, "aggregated"), RoundRow(2, 1, 9.0, None, "training")]
TURNS = [
    TurnRow(
        *(1, 1, "a", "answered"),
        round_trip_seconds=10.0,
        tokens=600,
        bytes_down=100,
        bytes_up=50,
        phases={"train": 6.0},
        figures={"padded_tokens": 800.0, "gpu_seconds": 6.0, "gpu_joules": 900.0},
    ),
    TurnRow(1, 1, "b", "answered", round_trip_seconds=5.0, tokens=300, bytes_down=100, phases={"train": 3.0}),
    TurnRow(2, 1, "a", "refused", "PolicyError: no", round_trip_seconds=1.0, bytes_down=100),  # costs as well
]
REPORTS = {
    "a": Report(
        *("a", 9.0, None),
        (
            Sample("fedlora_wire_bytes_total", 300.0, {"run": "tweets", "direction": "down"}),
            Sample("fedlora_wire_bytes_total", 70.0, {"run": "tweets", "direction": "up"}),
            Sample("fedlora_wire_bytes_total", 9999.0, {"run": "other", "direction": "up"}),
            Sample("fedlora_idle_wire_bytes_total", 9999.0, {"direction": "up"}),
        ),
    )
}


def scores(base, adapted):
    return Scores(*(Score("label accuracy", share, 200, "records", 200, 0.0, 1.0) for share in (base, adapted)))


def test_a_run_that_has_not_begun_has_cost_nothing():
    cost = run_cost("tweets", ("a", "b"))
    assert cost.sites == {"a": NOTHING, "b": NOTHING}
    assert cost.all == NOTHING
    assert (cost.rounds, cost.each_round, cost.each_point, cost.forecast_bytes) == (0, None, None, None)
    assert (cost.flower_bytes_down, cost.flower_bytes_up, cost.flower_final) == (None, None, False)


def test_cost_by_site_and_in_all():
    cost = run_cost("tweets", ("a", "b"), rounds=ROUNDS, turns=TURNS, reports=REPORTS)
    assert cost.sites["a"] == Cost(200, 50, 300.0, 70.0, 6.0, 11.0, 600, 100.0, 0.25, 6.0, 900.0)
    assert cost.sites["b"] == Cost(100, 0, None, None, 3.0, 5.0, 300, 100.0, None, None, None)
    # Wire bytes of all are unknown as long as those of b are; GPUs are those of a alone.
    assert cost.all == Cost(300, 50, None, None, 9.0, 16.0, 900, 100.0, 0.25, 6.0, 900.0)
    both = {**REPORTS, "b": dataclasses.replace(REPORTS["a"], site="b")}
    assert run_cost("tweets", ("a", "b"), turns=TURNS, reports=both).all.wire_bytes_down == 600.0


def test_a_round_and_a_point_have_their_share_of_everything():
    aggregated = [*ROUNDS[:1], RoundRow(2, 1, 9.0, 12.0, "aggregated"), RoundRow(3, 1, 12.0, 13.0, "discarded")]
    cost = run_cost("tweets", ("a",), rounds=aggregated, turns=TURNS, reports=REPORTS, scores=scores(0.5, 0.75))
    assert (cost.rounds, cost.points) == (2, 25.0)
    assert cost.each_round == Cost(150, 25, 150.0, 35.0, 4.5, 8.0, 450, 100.0, 0.25, 3.0, 450.0)
    assert cost.each_point == Cost(12, 2, 12.0, 2.8, 0.36, 0.64, 36, 100.0, 0.25, 0.24, 36.0)


@pytest.mark.parametrize("adapted", [0.5, 0.25])
def test_a_score_that_has_not_risen_has_no_price(adapted):
    cost = run_cost("tweets", ("a",), turns=TURNS, scores=scores(0.5, adapted))
    assert (cost.points, cost.each_point) == (100 * (adapted - 0.5), None)


def test_what_was_forecast_and_what_flower_counted():
    attempts = [AttemptRow(epoch, epoch, 0.0, 1.0, None, "lost", "", size) for epoch, size in ((1, 900), (2, 950))]
    attempts.append(AttemptRow(3, 3, 0.0, 1.0, None, "running", ""))
    submitted = [SubmissionRow(1, 0.0, 1, 110, 60, True), SubmissionRow(2, 0.0, 2, 120, 70, True)]
    cost = run_cost("tweets", ("a",), attempts=attempts, submissions=submitted, turns=TURNS)
    assert (cost.payload_bytes, cost.forecast_bytes) == (350, 950)
    assert (cost.flower_bytes_down, cost.flower_bytes_up, cost.flower_final) == (230, 130, True)
    unfinished = run_cost("tweets", ("a",), submissions=[*submitted, SubmissionRow(3, 0.0, 3)])
    assert (unfinished.flower_bytes_down, unfinished.flower_final) == (230, False)
