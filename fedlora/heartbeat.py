"""Heartbeats: a part notes in a file when it last did what it is there for; whoever asks looks at the file's age.

``python -m fedlora.heartbeat FILE`` is a container's health check: exit code 0 while the part is healthy.
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
    """

    def __init__(self, file: Path) -> None:
        self.file = file

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
        """Whether it was less than a minute ago."""
        return self.seconds_ago() < HEALTHY_SECONDS


def main(arguments: list[str]) -> int:
    """Say how old the heartbeat is; return the exit code."""
    heartbeat = Heartbeat(Path(arguments[0]))
    ago = heartbeat.seconds_ago()
    said = "there was none" if ago == float("inf") else f"the last was {ago:.0f} s ago"
    print(f"{heartbeat.file.name}: {said}; healthy below {HEALTHY_SECONDS:.0f} s")
    return 0 if heartbeat.healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
