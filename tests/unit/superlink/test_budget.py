import pytest

from fedlora.errors import BudgetError
from superlink.budget import Budget


def test_the_forecast_is_refused_with_the_arithmetic():
    with pytest.raises(BudgetError) as refused:
        Budget(limit=1_000, round_bytes=300).check_forecast(spent=100, rounds=4)
    assert str(refused.value).startswith(
        "100 bytes used + 4 rounds x 300 bytes = 1,300 bytes, beyond the budget of 1,000: 3 round(s) would fit."
    )


def test_what_fits_exactly_fits():
    Budget(limit=1_000, round_bytes=300).check_forecast(spent=100, rounds=3)
    Budget(limit=1_000, round_bytes=300).check_round(4, spent=700)
    Budget(limit=0, round_bytes=300).check_forecast(spent=10**12, rounds=10**6)
    Budget(limit=0, round_bytes=300).check_round(1, spent=10**12)


def test_the_round_that_could_go_beyond_is_not_begun():
    with pytest.raises(BudgetError, match="the run ends before round 4: 701 bytes are used, a round takes 300"):
        Budget(limit=1_000, round_bytes=300).check_round(4, spent=701)


def test_the_warning_comes_once_at_80_percent(caplog):
    budget = Budget(limit=1_000, round_bytes=100)
    for number, spent in enumerate(range(0, 1_000, 100), 1):
        budget.check_round(number, spent)
    assert caplog.text.count("brings the run beyond 80 % of its budget") == 1
    assert "round 9 brings" in caplog.text
