"""What the robust strategies share: they need so many updates, and all of them at once."""

from abc import abstractmethod

from fedlora.errors import ParticipationError
from fedlora.strategies import least_updates
from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector
from superlink.strategies.stack import Stack
from superlink.strategies.strategy import Strategy

__all__ = ["Robust"]


class Robust(Strategy[Stack]):
    """The adapter plus one vector that a few wrong updates cannot move far; all updates weigh the same."""

    def begin(self, size: int, positions: int) -> Stack:
        """Return where the updates are held."""
        return Stack(size, positions)

    def merge(self, adapter: Vector, updates: Stack, part: AdapterSpec) -> Vector:  # noqa: ARG002
        """Return the adapter plus the centre of the updates.

        Raises
        ------
        ParticipationError
            If there are fewer than the strategy needs.
        """
        updates.check_settled()
        if updates.count < (least := least_updates(self.name, self.options)):
            raise ParticipationError(
                f"strategy {self.name} needs {least} updates in a round; there are {updates.count}"
            )
        return adapter + self.centre(updates)

    @abstractmethod
    def centre(self, updates: Stack) -> Vector:
        """Return the vector that stands for all updates, of shape (size,)."""
