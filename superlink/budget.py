"""The budget of a run: payload bytes, as they are counted in the ledger."""

import logging
from dataclasses import dataclass

from fedlora.errors import BudgetError

__all__ = ["Budget"]

WARN_AT = 0.8
log = logging.getLogger("fedlora.superlink")


@dataclass(frozen=True)
class Budget:
    """How many payload bytes a run may use, and what a round takes.

    Attributes
    ----------
    limit : int
        Bytes of the whole run, both directions, all attempts; 0 for no limit.
    round_bytes : int
        What a round takes if every site is asked once.
    """

    limit: int
    round_bytes: int

    def forecast(self, spent: int, rounds: int) -> int:
        """Return the bytes that the run will have used after `rounds` more rounds."""
        return spent + rounds * self.round_bytes

    def check_forecast(self, spent: int, rounds: int) -> None:
        """Check that `rounds` more rounds fit.

        Raises
        ------
        BudgetError
            With the arithmetic, if they do not.
        """
        expected = self.forecast(spent, rounds)
        if self.limit and expected > self.limit:
            fit = max(0, (self.limit - spent) // self.round_bytes)
            raise BudgetError(
                f"{spent:,} bytes used + {rounds} rounds x {self.round_bytes:,} bytes = {expected:,} bytes, beyond the "
                f"budget of {self.limit:,}: {fit} round(s) would fit. Take fewer rounds or sites, or a larger budget"
            )

    def check_round(self, number: int, spent: int) -> None:
        """Check that round `number` fits, and warn once the budget runs low.

        Raises
        ------
        BudgetError
            If the round could go beyond the budget; the checkpoint of the round before it stays.
        """
        if not self.limit:
            return
        if spent + self.round_bytes > self.limit:
            raise BudgetError(
                f"the run ends before round {number}: {spent:,} bytes are used, a round takes {self.round_bytes:,}, "
                f"the budget is {self.limit:,}"
            )
        if spent + self.round_bytes > WARN_AT * self.limit >= spent:
            log.warning("round %d brings the run beyond %.0f %% of its budget", number, 100 * WARN_AT)
