"""FedYogi."""

import numpy as np

from superlink.strategies.adaptive import Adaptive, Values

__all__ = ["FedYogi"]


class FedYogi(Adaptive):
    """The second moment moves towards the squares by steps of their own size."""

    def second_moment(self, moment: Values, squares: Values) -> Values:
        """Return ``v - (1 - beta_2) d^2 sign(v - d^2)``."""
        moved: Values = moment - (1 - self.options["server-beta-2"]) * squares * np.sign(moment - squares)
        return moved
