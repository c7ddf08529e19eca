"""FedMedian."""

import numpy as np

from fedlora.wire.spec import Vector
from superlink.strategies.robust import Robust
from superlink.strategies.stack import Stack
from superlink.strategies.strategy import blocks

__all__ = ["FedMedian"]


class FedMedian(Robust):
    """The median of each value (Yin et al. 2018, arXiv 1803.01498, definition 1)."""

    def centre(self, updates: Stack) -> Vector:
        """Return the medians."""
        centre: Vector = np.empty(updates.size, dtype=np.float32)
        for at in blocks(updates.size):
            centre[at] = np.median(updates.block(at), axis=0)
        return centre
