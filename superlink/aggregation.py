"""FedAvg, folded in as updates arrive."""

import numpy as np

from fedlora.wire.spec import Vector

__all__ = ["WeightedMean"]


class WeightedMean:
    """The weighted mean of updates, in fp64 (McMahan et al. 2017, arXiv 1602.05629, algorithm 1).

    Sums of floating-point numbers depend on their order, and updates arrive in any. So each has a position, and is
    folded in once all before it are there or known to be missing: the same updates give the same bits. In the usual
    case, that most arrive in turn, memory does not grow with their number.

    Parameters
    ----------
    size : int
        Number of values.
    positions : int
        How many updates are expected.
    """

    def __init__(self, size: int, positions: int) -> None:
        self._sum = np.zeros(size, dtype=np.float64)
        self._weight = 0
        self._waiting: dict[int, tuple[Vector, int] | None] = {}
        self._next = 0
        self._positions = positions

    def add(self, position: int, update: Vector, weight: int) -> None:
        """Add the update of `position`, of shape (size,), with its weight in examples."""
        self._settle(position, (update, weight))

    def miss(self, position: int) -> None:
        """Note that the update of `position` will not come."""
        self._settle(position, None)

    def mean(self) -> Vector:
        """Return the mean of what was added, of shape (size,).

        Raises
        ------
        ValueError
            If a position is not settled, or nothing was added.
        """
        if self._next < self._positions:
            raise ValueError(f"position {self._next} of {self._positions} is neither added nor missed")
        if self._weight == 0:
            raise ValueError("no update was added")
        return (self._sum / self._weight).astype(np.float32)

    def _settle(self, position: int, entry: tuple[Vector, int] | None) -> None:
        if position < self._next or position in self._waiting or position >= self._positions:
            raise ValueError(f"position {position} is settled already or beyond {self._positions}")
        self._waiting[position] = entry
        while self._next in self._waiting:
            ready = self._waiting.pop(self._next)
            if ready is not None:
                update, weight = ready
                self._sum += np.multiply(update, weight, dtype=np.float64)
                self._weight += weight
            self._next += 1
