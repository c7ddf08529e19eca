"""FedAdam."""

from superlink.strategies.adaptive import Adaptive, Values

__all__ = ["FedAdam"]


class FedAdam(Adaptive):
    """The second moment is a moving average of squares."""

    def second_moment(self, moment: Values, squares: Values) -> Values:
        """Return ``beta_2 v + (1 - beta_2) d^2``."""
        beta = self.options["server-beta-2"]
        return beta * moment + (1 - beta) * squares
