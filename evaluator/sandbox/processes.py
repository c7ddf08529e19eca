"""The processes of one sandbox, as the host sees them: how much memory they have, and that none is left."""

import contextlib
import os
import select
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Tree"]

PAGE = os.sysconf("SC_PAGE_SIZE")
RESIDENT = 1  # place in /proc/PID/statm, in pages


class Tree:
    """All processes below the first one of a process namespace, that one included.

    Whoever loses its parent in there becomes a child of the first: nobody gets out of the tree. Once the first has
    ended, the kernel has ended all others.

    Parameters
    ----------
    first : int
        Process id on the host.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self._descriptor: int | None = None
        with contextlib.suppress(ProcessLookupError):
            self._descriptor = os.pidfd_open(first)

    def resident(self) -> int:
        """Return the bytes of memory that all of them have; pages that several share count for each."""
        pages = 0
        for process in self._processes():
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{process}/statm").read_text().split()[RESIDENT])
        return pages * PAGE

    def wait(self, seconds: float) -> bool:
        """Return whether all have ended within `seconds`."""
        if self._descriptor is None:
            return True
        ended = select.poll()
        ended.register(self._descriptor, select.POLLIN)
        return bool(ended.poll(seconds * 1000))

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _processes(self) -> Iterator[int]:
        """Yield each; those that end meanwhile may be among them or not."""
        todo = [self.first]
        while todo:
            process = todo.pop()
            yield process
            with contextlib.suppress(OSError):
                for thread in os.listdir(f"/proc/{process}/task"):  # noqa: PTH208 - names are all that is wanted
                    todo += map(int, Path(f"/proc/{process}/task/{thread}/children").read_text().split())
