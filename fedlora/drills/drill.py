"""What a drill states of itself."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

__all__ = ["Drill", "Place", "lacking"]


class Place(StrEnum):
    """What a drill runs on."""

    PROCESS = "process"  # what `fedlora up` has started
    COMPOSE = "compose"  # folders of `fedlora render compose`, whose containers run on this machine


@dataclass(frozen=True)
class Drill:
    """A fault, and when it is over.

    Attributes
    ----------
    name, summary : str
        How it is called, and what it does.
    kind : str
        Which fault it is, of `fedlora.drills.faults`.
    part : str
        What it strikes, in the words of `Field`; empty where the kind says it.
    seconds : float
        How long the fault lasts; 0 for a blow, after which whoever supervises the part is on its own.
    late : bool
        Whether the fault lasts until the round is over, so that the site falls out of it; `seconds` is then the
        deadline of the run's rounds.
    needs : mapping of Place to tuple of str
        Where it can run, and what it needs of the machine there: names of programs, and ``root``.
    """

    name: str
    summary: str
    kind: str
    part: str = ""
    seconds: float = 0.0
    late: bool = False
    needs: Mapping[Place, tuple[str, ...]] = field(
        default_factory=lambda: {Place.PROCESS: (), Place.COMPOSE: ("docker",)}
    )

    @property
    def of_a_site(self) -> bool:
        """Whether it strikes one site, which has recovered once it answers again."""
        return self.part in ("supernode", "worker", "trainer", "relay", "site", "link")

    def lasting(self, seconds: float) -> "Drill":
        """Return the same drill with a fault that lasts so long; 0 leaves it, and a blow stays a blow."""
        return replace(self, seconds=seconds) if seconds and self.seconds else self


def lacking(needs: tuple[str, ...]) -> list[str]:
    """Return what is not here of what a drill needs."""
    return [need for need in needs if not (os.geteuid() == 0 if need == "root" else shutil.which(need))]
