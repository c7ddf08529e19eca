"""FedAvg; and FedProx, FFA-LoRA and RoLoRA, which differ from it in what sites train, not in this step."""

import numpy as np

from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector
from superlink.strategies.strategy import Strategy, blocks
from superlink.strategies.weighted_mean import WeightedMean

__all__ = ["FedAvg"]


class FedAvg(Strategy[WeightedMean]):
    """The adapter plus the weighted mean of the updates (McMahan et al. 2017, arXiv 1602.05629, algorithm 1)."""

    def begin(self, size: int, positions: int) -> WeightedMean:
        """Return a mean to fold into."""
        return WeightedMean(size, positions)

    def merge(self, adapter: Vector, updates: WeightedMean, part: AdapterSpec) -> Vector:  # noqa: ARG002
        """Return the adapter plus the mean."""
        return self.step(adapter, updates.mean())

    def step(self, adapter: Vector, mean: Vector) -> Vector:
        """Return what the mean update makes of the adapter; those built on this see it as a pseudo-gradient."""
        merged: Vector = np.empty_like(adapter)
        for at in blocks(adapter.size):
            merged[at] = adapter[at].astype(np.float64) + mean[at]
        return merged
