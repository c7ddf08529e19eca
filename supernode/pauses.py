"""How long a node waits between two looks: short while something is under way, long when nothing happens.

Flower's own waits are fixed: 3 s for a message, half a second for an answer and for each part of one, and a second and
more, doubled each time, for the parts of a message that node or worker begins to fetch before they are there. In a
round without work they were nearly all of its time.
"""

import contextlib
import os
import select
import time

__all__ = ["OFF", "PARTS", "AnswerPauses", "PickUp", "TaskPauses", "ring"]

COME, OFF = b"!", b"x"  # what the node writes for the worker

# Of looks for a part of a message that is not there yet, as Flower's functions name them: its sender announces a
# message before it sends the parts. Flower waits a second after the first miss, up to ten after others, 500 times.
PARTS = {"initial_backoff": 0.02, "backoff_cap": 0.5, "max_tries_per_object": None}


class PickUp:
    """How long to wait before the next look for a message: short while a run is on, up to 3 s when nothing happens.

    Polling ten times a second for ever would cost the SuperLink 6 % of a core for each idle node. And a look is a write
    into its database: where looks take long, since the SuperLink has much to do, nodes look less often, each of them
    for at most a twentieth of the time.
    """

    FASTEST, SLOWEST, FAST_SECONDS, TIMES_A_LOOK = 0.1, 3.0, 10.0, 20

    def __init__(self) -> None:
        self.last_message = float("-inf")
        self.look_seconds = 0.0

    def note_look(self, seconds: float) -> None:
        """Note what the last look took."""
        self.look_seconds = seconds

    def note_message(self) -> None:
        """Note that a message or an answer has just passed."""
        self.last_message = time.monotonic()

    def seconds(self) -> float:
        """Return how long to wait now."""
        idle = time.monotonic() - self.last_message
        fastest = max(self.FASTEST, self.TIMES_A_LOOK * self.look_seconds)
        return min(self.SLOWEST, max(fastest, self.FASTEST * idle / self.FAST_SECONDS))


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
    """How long the worker waits before the next look for a task, which is a call within the machine.

    The node rings when a message has come, and the task is there a moment later. It calls the task off when it had to
    drop the message: an answer would be sent in the place of that to the next message, and so on for ever.

    Parameters
    ----------
    bell : int
        The reading end of a pipe, into which the node writes when it rings.
    """

    FASTEST, SLOWEST, FAST_SECONDS = 0.02, 1.0, 3.0

    def __init__(self, bell: int) -> None:
        self.bell = bell
        self.rung = float("-inf")
        self.called_off = False

    def note_task(self) -> None:
        """Note that what the bell was rung for has been answered."""
        self.rung = float("-inf")

    def wait(self) -> None:
        """Wait until it is time to look."""
        expected = time.monotonic() - self.rung < self.FAST_SECONDS
        ready, _, _ = select.select([self.bell], [], [], self.FASTEST if expected else self.SLOWEST)
        if ready:
            self.called_off = OFF in os.read(self.bell, 4096)
            self.rung = time.monotonic()


def ring(bell: int, sign: bytes = COME) -> None:
    """Tell the worker that a message has come, or that it is called off; a full pipe has told it already."""
    with contextlib.suppress(BlockingIOError):
        os.write(bell, sign)
