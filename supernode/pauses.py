"""How long a node waits between two looks: short while something is under way, long when nothing happens.

Flower's own waits are fixed: 3 s for a message, half a second for an answer and for each part of one, and a second and
more, doubled each time, for the parts of a message that node or worker begins to fetch before they are there. In a
round without work they were nearly all of its time.
"""

import time

__all__ = ["PARTS", "AnswerPauses", "PickUp", "TaskPauses"]

# Of looks for a part of a message that is not there yet, as Flower's functions name them: its sender announces a
# message before it sends the parts. Flower waits a second after the first miss, up to ten after others, 500 times.
PARTS = {"initial_backoff": 0.02, "backoff_cap": 0.5, "max_tries_per_object": None}


class PickUp:
    """How long to wait before the next look for a message: short while a run is on, up to 3 s when nothing happens.

    Polling ten times a second for ever would cost the SuperLink 6 % of a core for each idle node.
    """

    FASTEST, SLOWEST, FAST_SECONDS = 0.1, 3.0, 10.0

    def __init__(self) -> None:
        self.last_message = float("-inf")

    def note_message(self) -> None:
        """Note that a message or an answer has just passed."""
        self.last_message = time.monotonic()

    def seconds(self) -> float:
        """Return how long to wait now."""
        idle = time.monotonic() - self.last_message
        if idle <= self.FAST_SECONDS:
            return self.FASTEST
        return min(self.SLOWEST, self.FASTEST * idle / self.FAST_SECONDS)


class AnswerPauses:
    """Stands for the module ``time`` in Flower's loop, which only sleeps with it.

    Waiting for an answer takes a twentieth of what it has taken so far, instead of half a second; other waits are as
    Flower has them.
    """

    FLOWERS, SHARE, FASTEST = 0.5, 0.05, 0.01

    def __init__(self) -> None:
        self.began = float("-inf")

    def note_message(self) -> None:
        """Note that a message is here, and its answer is waited for from now on."""
        self.began = time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`, or less where Flower's loop waits for an answer."""
        if seconds == self.FLOWERS:
            seconds = min(seconds, max(self.FASTEST, self.SHARE * (time.monotonic() - self.began)))
        time.sleep(seconds)


class TaskPauses:
    """How long the worker waits before the next look for a task, which is a call within the machine."""

    FASTEST, SLOWEST, FAST_SECONDS = 0.02, 0.25, 3.0

    def __init__(self) -> None:
        self.last_task = time.monotonic()

    def note_task(self) -> None:
        """Note that a task has just been answered."""
        self.last_task = time.monotonic()

    def seconds(self) -> float:
        """Return how long to wait now."""
        idle = time.monotonic() - self.last_task
        return min(self.SLOWEST, self.FASTEST * max(1.0, idle / self.FAST_SECONDS))
