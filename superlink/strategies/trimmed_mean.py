"""The trimmed mean."""

import math

import numpy as np

from fedlora.wire.spec import Vector
from superlink.strategies.robust import Robust
from superlink.strategies.stack import Stack
from superlink.strategies.strategy import blocks

__all__ = ["TrimmedMean"]


class TrimmedMean(Robust):
    """The mean of each value without the ``trim`` highest and lowest (Yin et al. 2018, arXiv 1803.01498, definition 2).

    ``trim`` is a share of the updates, rounded down to whole ones.
    """

    def centre(self, updates: Stack) -> Vector:
        """Return the means of what is left."""
        cut = math.floor(self.options["trim"] * updates.count + 1e-9)  # 0.29 * 100 is below 29
        centre: Vector = np.empty(updates.size, dtype=np.float32)
        for at in blocks(updates.size):
            centre[at] = np.sort(updates.block(at), axis=0)[cut : updates.count - cut].mean(axis=0)
        return centre
