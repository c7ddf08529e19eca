"""A site's link to the coordinator is cut, slow, or loses packets."""

from fedlora.drills.faults.fault import Fault
from fedlora.drills.field import LinkControl

__all__ = ["Cut", "Loss", "Slowness"]

BITS_PER_SECOND, DELAY_SECONDS, LOST_SHARE = 1e6, 0.2, 0.05


class _LinkFault(Fault):
    """What faults of links have in common."""

    does = ""
    link: LinkControl | None = None

    @property
    def plan(self) -> str:
        """What it is going to do."""
        return f"{self.does} the link of site {self.site} for {self.drill.seconds:.0f} s, then put it right"

    def prepare(self) -> None:
        """Take hold of the link."""
        self.link = self.field.link(self.site)

    @property
    def held(self) -> LinkControl:
        """The link, which `prepare` has taken hold of."""
        assert self.link is not None
        return self.link

    def end(self) -> None:
        """Put it right."""
        self.held.mend()

    def clean(self) -> None:
        """Let go of it."""
        if self.link is not None:
            self.link.close()


class Cut(_LinkFault):
    """Nothing passes."""

    does = "cut"

    def begin(self) -> None:
        """Cut it."""
        self.held.cut()


class Slowness(_LinkFault):
    """Little passes at a time."""

    does = f"slow to {BITS_PER_SECOND / 1e6:.0f} Mbit/s"

    def begin(self) -> None:
        """Slow it."""
        self.held.slow(BITS_PER_SECOND, DELAY_SECONDS)


class Loss(_LinkFault):
    """Some packets are lost on the way to the coordinator."""

    does = f"lose {LOST_SHARE:.0%} of the packets on"

    def begin(self) -> None:
        """Begin to lose."""
        self.held.drop(LOST_SHARE)
