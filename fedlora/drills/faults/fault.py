"""What all faults have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from fedlora.drills.drill import Drill
from fedlora.drills.field import Field

__all__ = ["Fault"]


@dataclass
class Fault(ABC):
    """A fault that is about to be brought about.

    Attributes
    ----------
    field : Field
        In what.
    drill : Drill
        Of which drill.
    site : str
        Which site it strikes; of no meaning where it strikes the coordinator.
    run : str
        Name of the run that it is to disturb.
    """

    field: Field
    drill: Drill
    site: str
    run: str

    @property
    @abstractmethod
    def plan(self) -> str:
        """What it is going to do, in words."""

    def prepare(self) -> None:  # noqa: B027 - most faults have nothing to do here
        """Do what has to be done before the run begins; the federation is whole again afterwards."""

    @abstractmethod
    def begin(self) -> None:
        """Strike."""

    def end(self) -> None:  # noqa: B027 - most faults have nothing to do here
        """Let the fault be over; of a blow there is nothing to end."""

    def clean(self) -> None:  # noqa: B027 - most faults have nothing to do here
        """Put back what `prepare` has changed, after the run has ended or failed."""
