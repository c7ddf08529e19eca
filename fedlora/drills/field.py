"""What a fault can do to a federation, whatever this runs on."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from fedlora.drills.drill import Place

__all__ = ["PARTS", "Checkpoints", "Field", "LinkControl"]

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


@dataclass(frozen=True)
class Checkpoints:
    """Where the checkpoints of a run go.

    Attributes
    ----------
    folder : Path
        The folder, as this process reaches it.
    name : str
        The same folder, as those who write it call it.
    enter : tuple of str
        What a command begins with that is to see what they see; nothing where this process does.
    owner : int
        User and group that they write as; -1 for that of this process.
    """

    folder: Path
    name: str
    enter: tuple[str, ...] = ()
    owner: int = -1


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
    def checkpoints(self, run: str) -> Checkpoints:
        """Return where the checkpoints of a run go."""

    @abstractmethod
    def server_certificate(self) -> Path:
        """Return the file of the SuperLink's certificate."""

    @abstractmethod
    def authority(self) -> Path:
        """Return the folder in which the CA's key has to lie for a certificate to be made."""

    @abstractmethod
    def restart_server(self) -> None:
        """Let all that read the SuperLink's certificate at their start read it again."""
