"""Krum and Multi-Krum."""

import numpy as np
import numpy.typing as npt

from fedlora.wire.spec import Vector
from superlink.strategies.robust import Robust
from superlink.strategies.stack import Stack
from superlink.strategies.strategy import blocks

__all__ = ["Krum"]


class Krum(Robust):
    """The update, or the mean of those, with the lowest scores (Blanchard et al. 2017, section 4).

    Of n updates, f of which may be byzantine, the score of one is the sum of its squared distances to the n - f - 2
    nearest others. Of equal scores the first position wins. Without an option ``selected``, one update is taken; if it
    is 0, as many as count for a score.
    """

    def centre(self, updates: Stack) -> Vector:
        """Return the mean of the chosen updates."""
        chosen = self.chosen(updates)
        if len(chosen) == 1:
            return updates.vectors[chosen[0]]
        centre: Vector = np.empty(updates.size, dtype=np.float32)
        for at in blocks(updates.size):
            centre[at] = updates.block(at)[chosen].mean(axis=0)
        return centre

    def chosen(self, updates: Stack) -> list[int]:
        """Return which updates are taken, in the order of their positions."""
        near = updates.count - int(self.options["byzantine"]) - 2
        distances = np.sort(squared_distances(updates), axis=1)  # each begins with the one to itself
        scores = distances[:, 1 : near + 1].sum(axis=1)
        count = int(self.options.get("selected", 1)) or near
        return sorted(int(index) for index in np.argsort(scores, kind="stable")[:count])


def squared_distances(updates: Stack) -> npt.NDArray[np.float64]:
    """Return the squared Euclidean distance of each update to each, of shape (count, count); to itself -1.

    From the products of all pairs, in fp64, whose digits do for any differences that fp32 can hold. Nothing is taken
    from the updates beforehand: what one site sends must not eat the digits of the others'.
    """
    products = np.zeros((updates.count, updates.count))
    for at in blocks(updates.size):
        block = updates.block(at)
        products += block @ block.T
    squares = np.diag(products)
    distances: npt.NDArray[np.float64] = np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0)
    np.fill_diagonal(distances, -1.0)  # sorts before all others, equal updates included
    return distances
