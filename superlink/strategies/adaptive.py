"""The adaptive optimisers at the coordinator, but for how their second moments grow."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from fedlora.wire.spec import Vector
from superlink.strategies.fedavg import FedAvg
from superlink.strategies.strategy import blocks

__all__ = ["Adaptive", "Values"]

Values = npt.NDArray[np.float64]


class Adaptive(FedAvg):
    """FedOpt (Reddi et al. 2021, arXiv 2003.00295, algorithm 2).

    With the mean update d: m becomes ``beta_1 m + (1 - beta_1) d``, v grows as the optimiser has it, and the adapter
    moves by ``learning_rate m / (sqrt(v) + tau)``. m begins at 0 and v at tau squared; tau is ``server-adaptivity``.
    """

    keeps: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")

    @abstractmethod
    def second_moment(self, moment: Values, squares: Values) -> Values:
        """Return the second moment after a round, of that before it and the squares of the mean update."""

    def step(self, adapter: Vector, mean: Vector) -> Vector:
        """Return the adapter moved by a step of the optimiser."""
        rate, beta = self.options["server-learning-rate"], self.options["server-momentum"]
        tau = self.options["server-adaptivity"]
        first = self.state.get("first_moment", np.zeros_like(mean))
        second = self.state.get("second_moment", np.full_like(mean, tau**2))
        merged, new_first, new_second = np.empty_like(adapter), np.empty_like(mean), np.empty_like(mean)
        for at in blocks(adapter.size):
            gradient = mean[at].astype(np.float64)
            m = beta * first[at] + (1 - beta) * gradient
            v = self.second_moment(second[at].astype(np.float64), gradient**2)
            new_first[at], new_second[at] = m, v
            merged[at] = adapter[at] + rate * m / (np.sqrt(v) + tau)
        self.state = {"first_moment": new_first, "second_moment": new_second}
        return merged
