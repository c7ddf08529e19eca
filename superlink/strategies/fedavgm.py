"""FedAvgM."""

from typing import ClassVar

import numpy as np

from fedlora.wire.spec import Vector
from superlink.strategies.fedavg import FedAvg
from superlink.strategies.strategy import blocks

__all__ = ["FedAvgM"]


class FedAvgM(FedAvg):
    """Momentum at the coordinator (Hsu et al. 2019, arXiv 1909.06335, section 4.3).

    With the mean update d: v becomes ``momentum v + d``, and the adapter moves by ``learning_rate v``.
    """

    keeps: ClassVar[tuple[str, ...]] = ("momentum",)

    def step(self, adapter: Vector, mean: Vector) -> Vector:
        """Return the adapter moved by the momentum, into which the mean was taken."""
        rate, decay = self.options["server-learning-rate"], self.options["server-momentum"]
        before = self.state.get("momentum", np.zeros_like(mean))
        merged, after = np.empty_like(adapter), np.empty_like(mean)
        for at in blocks(adapter.size):
            velocity = decay * before[at].astype(np.float64) + mean[at]
            after[at] = velocity
            merged[at] = adapter[at] + rate * velocity
        self.state = {"momentum": after}
        return merged
