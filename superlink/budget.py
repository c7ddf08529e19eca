"""The budget of a run: payload bytes, rounds and wall-clock, as they stand in the ledger."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from fedlora.errors import BudgetError
from superlink.ledger import Spending

__all__ = ["BOARD_BYTES", "Budget"]

BOARD_BYTES = 200_000 * 10**6  # what the FlowerTune LLM Leaderboard allows a run, both directions
WARN_AT = 0.8
log = logging.getLogger("fedlora.superlink")


@dataclass(frozen=True)
class _Line:
    """One of the three: what is spent, what a round takes, what is allowed."""

    what: str
    spent: float
    a_round: float
    limit: float

    def amount(self, value: float) -> str:
        return str(timedelta(seconds=round(value))) if self.what == "time" else f"{value:,.0f} {self.what}"


@dataclass(frozen=True)
class Budget:
    """What a run may use, in all its attempts together. 0 is no limit.

    Attributes
    ----------
    broadcast_bytes : int
        Payload of the largest message to a site.
    update_bytes : tuple of int
        Payload of the largest message from a site in the rounds in turn: the first, those after it, and over again.
    sites : int
        How many are asked in a round.
    bytes : int
        Payload, both directions.
    rounds : int
        Rounds begun; one that is trained again after a loss counts again.
    seconds : float
        Wall-clock since the first attempt began.
    """

    broadcast_bytes: int
    update_bytes: tuple[int, ...]
    sites: int
    bytes: int = 0
    rounds: int = 0
    seconds: float = 0.0
    _warned: set[str] = field(default_factory=set, repr=False)

    def check_forecast(self, spending: Spending, rounds: int) -> None:
        """Check that `rounds` more rounds fit. Time can be forecast once a round has been seen.

        Raises
        ------
        BudgetError
            With the arithmetic, if they do not.
        """
        for line in self._lines(spending):
            expected = line.spent + rounds * line.a_round
            if expected > line.limit:
                fit = max(0, math.floor((line.limit - line.spent) / line.a_round)) if line.a_round else 0
                raise BudgetError(
                    f"{line.amount(line.spent)} used + {rounds} rounds x {line.amount(line.a_round)} = "
                    f"{line.amount(expected)}, beyond the budget of {line.amount(line.limit)}: {fit} round(s) would "
                    f"fit. Take fewer rounds or sites, or a larger budget"
                )

    def forecast_bytes(self, spending: Spending, rounds: int, done: int = 0) -> int:
        """Return the payload bytes of the whole run, if in each of `rounds` rounds after `done` every site is asked."""
        kinds = len(self.update_bytes)
        updates = sum(self.update_bytes[number % kinds] for number in range(done, done + rounds))
        return spending.bytes + self.sites * (rounds * self.broadcast_bytes + updates)

    @property
    def largest_update(self) -> int:
        """Payload bytes of an update, at most."""
        return max(self.update_bytes)

    @property
    def round_bytes(self) -> int:
        """Payload bytes of a round, both directions, at most."""
        return self.sites * (self.broadcast_bytes + self.largest_update)

    def check_round(self, number: int, spending: Spending) -> None:
        """Check that round `number` fits, and warn once when the budget runs low.

        Raises
        ------
        BudgetError
            If the round could go beyond the budget; the checkpoint of the round before it stays.
        """
        for line in self._lines(spending):
            after = line.spent + line.a_round
            if after > line.limit or line.spent >= line.limit:
                raise BudgetError(
                    f"the run ends before round {number}: {line.amount(line.spent)} used, a round takes "
                    f"{line.amount(line.a_round)}, the budget is {line.amount(line.limit)}"
                )
            if after > WARN_AT * line.limit and line.what not in self._warned:
                self._warned.add(line.what)
                log.warning(
                    "round %d brings the run beyond %.0f %% of its budget of %s",
                    *(number, 100 * WARN_AT, line.amount(line.limit)),
                )

    def allows(self, spending: Spending, more: int) -> bool:
        """Whether `more` payload bytes may still be used."""
        return not self.bytes or spending.bytes + more <= self.bytes

    def seconds_left(self, spending: Spending) -> float:
        """Return the wall-clock seconds that are left; infinite without a limit."""
        return max(0.0, self.seconds - spending.seconds) if self.seconds else math.inf

    def _lines(self, spending: Spending) -> Iterator[_Line]:
        lines = (
            _Line("bytes", spending.bytes, self.round_bytes, self.bytes),
            _Line("rounds", spending.rounds, 1, self.rounds),
            _Line("time", spending.seconds, spending.round_seconds, self.seconds),
        )
        return (line for line in lines if line.limit)
