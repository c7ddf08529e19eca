"""What all strategies have in common: updates that are put in order, a step, and a state that outlives an attempt."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar, Generic, TypeVar

import numpy as np

from fedlora.errors import CheckpointError
from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector

__all__ = ["Strategy", "Updates", "blocks"]

BLOCK = 32768  # values that are computed at once: with their like in fp64 they stay in the cache


class Updates(ABC):
    """The updates of a round.

    Sums of floating-point numbers depend on their order, and updates arrive in any. So each has a position, and is
    taken once all before it are there or known to be missing: the same updates give the same bits.

    Parameters
    ----------
    size : int
        Values of an update.
    positions : int
        How many updates are expected.
    """

    def __init__(self, size: int, positions: int) -> None:
        self.size = size
        self._waiting: dict[int, tuple[Vector, int] | None] = {}
        self._next = 0
        self._positions = positions

    def add(self, position: int, update: Vector, weight: int) -> None:
        """Add the update of `position`, of shape (size,), with its weight in examples."""
        if update.shape != (self.size,):
            raise ValueError(f"the update of position {position} has the shape {update.shape}, not ({self.size},)")
        self._settle(position, (update, weight))

    def miss(self, position: int) -> None:
        """Note that the update of `position` will not come."""
        self._settle(position, None)

    def check_settled(self) -> None:
        """Check that every position is settled.

        Raises
        ------
        ValueError
            If one is not.
        """
        if self._next < self._positions:
            raise ValueError(f"position {self._next} of {self._positions} is neither added nor missed")

    @abstractmethod
    def _take(self, update: Vector, weight: int) -> None:
        """Take the next update in turn."""

    def _settle(self, position: int, entry: tuple[Vector, int] | None) -> None:
        if position < self._next or position in self._waiting or position >= self._positions:
            raise ValueError(f"position {position} is settled already or beyond {self._positions}")
        self._waiting[position] = entry
        while self._next in self._waiting:
            ready = self._waiting.pop(self._next)
            if ready is not None:
                self._take(*ready)
            self._next += 1


Kind = TypeVar("Kind", bound=Updates)


class Strategy(ABC, Generic[Kind]):
    """A strategy over the rounds of one attempt.

    Parameters
    ----------
    name : str
        As in ``run.strategy``.
    options : mapping
        All of its options, by their keys in the table ``run``.

    Attributes
    ----------
    state : mapping
        What it goes on with in the next round, each array of the size of what is trained; no array is ever changed in
        place, for a checkpoint may just be written of it. Empty before the first round.
    """

    keeps: ClassVar[tuple[str, ...]] = ()  # names of its state

    def __init__(self, name: str, options: Mapping[str, float]) -> None:
        self.name = name
        self.options = dict(options)
        self.state: Mapping[str, Vector] = {}

    @abstractmethod
    def begin(self, size: int, positions: int) -> Kind:
        """Return where a round's updates go, of `size` values each."""

    @abstractmethod
    def merge(self, adapter: Vector, updates: Kind, part: AdapterSpec) -> Vector:
        """Return what becomes of `adapter`, the values of `part`, the tensors that the round trains."""

    def restore(self, state: Mapping[str, Vector], size: int) -> None:
        """Go on with the state of a checkpoint, whose arrays have `size` values.

        Raises
        ------
        CheckpointError
            If it is not this strategy's.
        """
        found = {name: values.shape for name, values in state.items()}
        if found != dict.fromkeys(self.keeps, (size,)):
            raise CheckpointError(
                f"the checkpoint's state of strategy {self.name} has {found or 'nothing'}; expected "
                f"{', '.join(self.keeps) or 'nothing'}, of {size} values each"
            )
        self.state = {name: values.astype(np.float32, copy=False) for name, values in state.items()}


def blocks(size: int) -> Iterator[slice]:
    """Yield the parts of an array of `size` values, in order."""
    for start in range(0, size, BLOCK):
        yield slice(start, min(start + BLOCK, size))
