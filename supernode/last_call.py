"""When a node last reached its SuperLink: what tells, from outside its process, whether it is healthy."""

import time
from pathlib import Path

__all__ = ["HEALTHY_SECONDS", "LastCall"]

HEALTHY_SECONDS = 60.0


class LastCall:
    """When the last Fleet call succeeded, kept as the modification time of a file.

    Parameters
    ----------
    file : Path
        The file; made by the first successful call.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    @classmethod
    def of(cls, state: Path) -> "LastCall":
        """Return that of the node with this state folder."""
        return cls(state / "last-fleet-call")

    def note(self) -> None:
        """Note that a call has just succeeded."""
        self.file.touch()

    def seconds_ago(self) -> float:
        """Return how long ago it was; infinite if there was none."""
        try:
            return time.time() - self.file.stat().st_mtime
        except FileNotFoundError:
            return float("inf")

    @property
    def healthy(self) -> bool:
        """Whether the node still reaches its SuperLink."""
        return self.seconds_ago() < HEALTHY_SECONDS
