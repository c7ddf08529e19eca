"""Heartbeats: a part notes in a file when it last did what it is there for; whoever asks looks at the file's age.

``python -m fedlora.heartbeat FILE [SECONDS]`` is a container's health check: exit code 0 while the part is healthy.
"""

import sys
import time
from pathlib import Path

__all__ = ["HEALTHY_SECONDS", "Heartbeat"]

HEALTHY_SECONDS = 60.0


class Heartbeat:
    """When something last succeeded, kept as the modification time of a file.

    Parameters
    ----------
    file : Path
        The file; made by the first success.
    healthy_seconds : float
        How long a success counts.
    """

    def __init__(self, file: Path, healthy_seconds: float = HEALTHY_SECONDS) -> None:
        self.file = file
        self.healthy_seconds = healthy_seconds

    def note(self) -> None:
        """Note that it has just succeeded."""
        self.file.touch()

    def forget(self) -> None:
        """Forget what was before: what begins anew has done nothing yet."""
        self.file.unlink(missing_ok=True)

    def seconds_ago(self) -> float:
        """Return how long ago it was; infinite if it never was."""
        try:
            return time.time() - self.file.stat().st_mtime
        except FileNotFoundError:
            return float("inf")

    @property
    def healthy(self) -> bool:
        """Whether it was less than so many seconds ago."""
        return self.seconds_ago() < self.healthy_seconds


def main(arguments: list[str]) -> int:
    """Say how old the heartbeat is; return the exit code."""
    heartbeat = Heartbeat(Path(arguments[0]), *map(float, arguments[1:2]))
    ago = heartbeat.seconds_ago()
    said = "there was none" if ago == float("inf") else f"the last was {ago:.0f} s ago"
    print(f"{heartbeat.file.name}: {said}; healthy below {heartbeat.healthy_seconds:.0f} s")
    return 0 if heartbeat.healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
