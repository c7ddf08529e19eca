"""FedAdagrad."""

from superlink.strategies.adaptive import Adaptive, Values

__all__ = ["FedAdagrad"]


class FedAdagrad(Adaptive):
    """The second moment is the sum of all squares."""

    def second_moment(self, moment: Values, squares: Values) -> Values:
        """Return ``v + d^2``."""
        return moment + squares
