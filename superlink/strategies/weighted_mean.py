"""The weighted mean, folded in as updates arrive."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from fedlora.wire.spec import Vector
from superlink.strategies.strategy import BLOCK, Updates, blocks

__all__ = ["WeightedMean"]

TOGETHER = 4  # updates that are folded in at once: the sum, twice as wide, is read and written once for all of them


class WeightedMean(Updates):
    """The weighted mean of updates, in fp64 (McMahan et al. 2017, arXiv 1602.05629, algorithm 1).

    In the usual case, that most arrive in turn, memory does not grow with their number: a few are held, to be folded in
    together. Each value is summed by itself and in turn, so that bits depend on neither that nor the number of cores.
    """

    def __init__(self, size: int, positions: int) -> None:
        super().__init__(size, positions)
        self._sum = np.zeros(size, dtype=np.float64)
        self._weight = 0
        self._held: list[tuple[Vector, int]] = []

    def mean(self) -> Vector:
        """Return the mean of what was added, of shape (size,).

        Raises
        ------
        ValueError
            If a position is not settled, or nothing was added.
        """
        self.check_settled()
        if self._weight == 0:
            raise ValueError("no update was added")
        self._fold()
        mean: Vector = np.empty(self.size, dtype=np.float32)
        for part in blocks(self.size):
            mean[part] = self._sum[part] / self._weight
        return mean

    def _take(self, update: Vector, weight: int) -> None:
        self._held.append((update, weight))
        self._weight += weight
        if len(self._held) == TOGETHER:
            self._fold()

    def _fold(self) -> None:
        cores = len(os.sched_getaffinity(0))
        share = -(-self.size // cores // BLOCK) * BLOCK  # in whole blocks, so that no two cores share one

        def fold(start: int) -> None:
            weighted = np.empty(BLOCK, dtype=np.float64)
            for at in range(start, min(start + share, self.size), BLOCK):
                total = self._sum[at : at + BLOCK]
                part = weighted[: len(total)]
                for update, weight in self._held:
                    np.copyto(part, update[at : at + BLOCK])
                    np.multiply(part, weight, out=part)
                    np.add(total, part, out=total)

        list(_threads(cores).map(fold, range(0, self.size, share)))  # numpy lets go of the interpreter's lock
        self._held.clear()


@cache
def _threads(cores: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores, thread_name_prefix="fold")
