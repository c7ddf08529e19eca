"""What a fault can do to a federation, whatever this runs on."""

from abc import ABC, abstractmethod
from pathlib import Path

from fedlora.drills.drill import Place

__all__ = ["PARTS", "Field", "LinkControl"]

# What there is to strike. Those from supernode on are one site's.
PARTS = (
    *("superlink", "superexec", "serverapp", "keeper", "gateway", "everything"),
    *("supernode", "worker", "trainer", "relay", "site"),
)


class LinkControl(ABC):
    """The link between one site and the coordinator."""

    @abstractmethod
    def cut(self) -> None:
        """Let nothing pass, and say nothing of it to either end."""

    @abstractmethod
    def slow(self, bits_per_second: float, delay_seconds: float) -> None:
        """Let no more pass than so much, each way, and that late."""

    @abstractmethod
    def drop(self, share: float) -> None:
        """Lose a share of the packets."""

    @abstractmethod
    def mend(self) -> None:
        """Let everything pass again."""

    @abstractmethod
    def close(self) -> None:
        """Put back what was there before; `mend` has been called."""


class Field(ABC):
    """A federation that runs.

    Attributes
    ----------
    place : Place
        What it runs on.
    """

    place: Place

    @abstractmethod
    def check(self) -> None:
        """Check that everything runs.

        Raises
        ------
        NotReadyError
            If the federation is not up, or a part of it is down; names it.
        """

    @abstractmethod
    def described(self, part: str, site: str) -> str:
        """Return what `part` is here, as a person would look for it.

        Raises
        ------
        ConfigurationError
            If there is no such part here.
        """

    @abstractmethod
    def kill(self, part: str, site: str, run: str) -> None:
        """Send SIGKILL to a part; ``serverapp`` is the process that leads `run`."""

    @abstractmethod
    def pause(self, part: str, site: str) -> None:
        """Stop a part in its tracks; its connections stay."""

    @abstractmethod
    def resume(self, part: str, site: str) -> None:
        """Let it go on."""

    @abstractmethod
    def hang(self, site: str) -> None:
        """Stop the process of a site's trainer that does the work, and not the one that watches it."""

    @abstractmethod
    def link(self, site: str) -> LinkControl:
        """Take hold of a site's link; the site may be away for some seconds."""

    @abstractmethod
    def checkpoints(self, run: str) -> Path:
        """Return the folder that the checkpoints of a run go into, on this machine."""

    @abstractmethod
    def server_certificate(self) -> Path:
        """Return the file of the SuperLink's certificate."""

    @abstractmethod
    def restart_server(self) -> None:
        """Let all that read the SuperLink's certificate at their start read it again."""
