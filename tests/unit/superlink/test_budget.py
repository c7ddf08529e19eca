import pytest

from fedlora.errors import BudgetError
from superlink.budget import BOARD_BYTES, Budget
from superlink.ledger import Spending

# A round of three sites with broadcasts of 70 bytes and updates of 30 takes 300.
LIMITED = Budget(broadcast_bytes=70, update_bytes=(30,), sites=3, bytes=1_000)
UNLIMITED = Budget(broadcast_bytes=70, update_bytes=(30,), sites=3)


def test_the_forecast_is_refused_with_the_arithmetic():
    with pytest.raises(BudgetError) as refused:
        LIMITED.check_forecast(Spending(bytes=100), rounds=4)
    assert str(refused.value).startswith(
        "100 bytes used + 4 rounds x 300 bytes = 1,300 bytes, beyond the budget of 1,000 bytes: 3 round(s) would fit."
    )


def test_rounds_and_time_are_forecast_too():
    with pytest.raises(BudgetError, match=r"2 rounds used \+ 4 rounds x 1 rounds = 6 rounds, beyond the budget of 5"):
        Budget(1, (1,), 1, rounds=5).check_forecast(Spending(rounds=2), rounds=4)
    hour = Budget(1, (1,), 1, seconds=3600)
    with pytest.raises(BudgetError, match=r"0:10:00 used \+ 6 rounds x 0:10:00 = 1:10:00, beyond the budget of 1:00"):
        hour.check_forecast(Spending(seconds=600, round_seconds=600), rounds=6)
    hour.check_forecast(Spending(), rounds=6)  # nobody knows yet how long a round takes
    with pytest.raises(BudgetError, match=r"0 round\(s\) would fit"):
        hour.check_forecast(Spending(seconds=3700), rounds=1)


def test_what_fits_exactly_fits():
    LIMITED.check_forecast(Spending(bytes=100), rounds=3)
    LIMITED.check_round(4, Spending(bytes=700))
    UNLIMITED.check_forecast(Spending(bytes=10**12), rounds=10**6)
    UNLIMITED.check_round(1, Spending(bytes=10**12, rounds=10**6, seconds=10**9))
    assert UNLIMITED.seconds_left(Spending(seconds=10**9)) == float("inf")


@pytest.mark.parametrize(
    ("budget", "spending", "arithmetic"),
    [
        (LIMITED, Spending(bytes=701), "701 bytes used, a round takes 300 bytes, the budget is 1,000 bytes"),
        (
            Budget(70, (30,), 3, rounds=3),
            Spending(rounds=3),
            "3 rounds used, a round takes 1 rounds, the budget is 3 rounds",
        ),
        (
            Budget(70, (30,), 3, seconds=60),
            Spending(seconds=40, round_seconds=30),
            "0:00:40 used, a round takes 0:00:30, the budget is 0:01:00",
        ),
        (Budget(70, (30,), 3, seconds=60), Spending(seconds=60), "0:01:00 used"),
    ],
)
def test_the_round_that_could_go_beyond_is_not_begun(budget, spending, arithmetic):
    with pytest.raises(BudgetError) as refused:
        budget.check_round(4, spending)
    assert str(refused.value).startswith("the run ends before round 4: ")
    assert arithmetic in str(refused.value)


def test_a_message_beyond_the_budget_is_not_sent_again():
    assert LIMITED.allows(Spending(bytes=900), 100)
    assert not LIMITED.allows(Spending(bytes=900), 101)
    assert UNLIMITED.allows(Spending(bytes=10**12), 10**12)


def test_a_round_has_no_more_time_than_the_run():
    assert Budget(70, (30,), 3, seconds=60).seconds_left(Spending(seconds=45)) == 15
    assert Budget(70, (30,), 3, seconds=60).seconds_left(Spending(seconds=61)) == 0


def test_the_warning_comes_once_at_80_percent(caplog):
    budget = Budget(broadcast_bytes=70, update_bytes=(30,), sites=1, bytes=1_000)
    for number, spent in enumerate(range(0, 1_000, 100), 1):
        budget.check_round(number, Spending(bytes=spent))
    assert caplog.text.count("brings the run beyond 80 % of its budget of 1,000 bytes") == 1
    assert "round 9 brings" in caplog.text


def test_the_boards_budget():
    assert BOARD_BYTES == 200_000_000_000
