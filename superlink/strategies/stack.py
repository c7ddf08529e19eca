"""All updates of a round, for strategies that must see them together."""

import numpy as np
import numpy.typing as npt

from fedlora.wire.spec import Vector
from superlink.strategies.strategy import Updates

__all__ = ["Stack"]


class Stack(Updates):
    """The updates of a round in the order of their positions, held until it ends."""

    def __init__(self, size: int, positions: int) -> None:
        super().__init__(size, positions)
        self._vectors: list[Vector] = []
        self._weights: list[int] = []

    @property
    def vectors(self) -> list[Vector]:
        """The updates, each of shape (size,)."""
        return self._vectors

    @property
    def count(self) -> int:
        """How many updates there are."""
        return len(self._vectors)

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Share of each update in the weight of all, of shape (count,)."""
        weights = np.array(self._weights, dtype=np.float64)
        shares: npt.NDArray[np.float64] = weights / weights.sum()
        return shares

    def block(self, part: slice) -> npt.NDArray[np.float64]:
        """Return a part of all updates, of shape (count, length of the part)."""
        return np.array([vector[part] for vector in self._vectors], dtype=np.float64)

    def _take(self, update: Vector, weight: int) -> None:
        self._vectors.append(update)
        self._weights.append(weight)
