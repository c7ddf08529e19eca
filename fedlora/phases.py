"""What the time of a round goes into: the one list of words for it, and a stopwatch that divides by them."""

import math
import time
from collections.abc import Mapping
from enum import StrEnum

__all__ = ["COORDINATOR", "SITE", "TOLD", "Phase", "Stopwatch", "divide", "figure"]


class Phase(StrEnum):
    """A part of a round's time. A word that begins to be measured is added here, and to those who measure it."""

    ENCODE = "encode"
    """Turning an adapter into a message: the broadcast at the coordinator, the update at a site."""
    WAIT = "wait"
    """Waiting for the sites' answers."""
    AGGREGATE = "aggregate"
    """Checking updates, folding them in and noting them."""
    CHECKPOINT = "checkpoint"
    """From the last update to the committed checkpoint, which may have to wait for the one before; overlaps the next
    round."""
    QUEUE = "queue"
    """Waiting for the trainer, which may still be ending an older round."""
    LOAD = "load"
    """Checking and decoding the incoming adapter, and loading it into the model."""
    TRAIN = "train"
    """Training."""
    TRANSFER = "transfer"
    """The rest of the time from asking a site to holding its answer: both ways of the network, Flower, and what a site
    lost by being killed."""


COORDINATOR = (Phase.ENCODE, Phase.WAIT, Phase.AGGREGATE, Phase.CHECKPOINT)  # of a round, in its order
TOLD = (Phase.QUEUE, Phase.LOAD, Phase.TRAIN, Phase.ENCODE)  # of a turn, by the site itself
SITE = (*TOLD, Phase.TRANSFER)


class Stopwatch:
    """Divides time among phases: each moment from the first `enter` to `stop` belongs to one of them.

    Attributes
    ----------
    seconds : dict
        Seconds of each phase that was entered and left.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._phase: Phase | None = None
        self._since = 0.0

    def enter(self, phase: Phase) -> None:
        """Begin a phase; the one before it ends."""
        self.stop()
        self._phase = phase

    def stop(self) -> None:
        """End the phase that is on."""
        now = time.monotonic()
        if self._phase is not None:
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = None, now


def figure(phase: Phase) -> str:
    """Return the name under which a site's answer carries its seconds in a phase."""
    return f"{phase}_seconds"


def divide(round_trip: float, figures: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of a round trip by phase: those that the site's `figures` tell, and the rest.

    What is not a time is passed over. A site that tells nothing (it failed, or refused) has no phases.
    """
    told = {phase: figures[figure(phase)] for phase in TOLD if figure(phase) in figures}
    phases: dict[str, float] = {phase: seconds for phase, seconds in told.items() if 0 <= seconds < math.inf}
    return {**phases, Phase.TRANSFER: max(0.0, round_trip - sum(phases.values()))} if phases else {}
