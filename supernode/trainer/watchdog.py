"""A trainer that hangs is ended, so that whoever supervises it starts it again.

The program is two processes. One does the work, and sends a byte through a pipe every second for as long as it gets on;
the other reads them, and ends the first when none has come for too long: a deadlock, a stopped process, a step without
an end. It begins to listen with the first byte, so loading may take as long as it takes.
"""

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fedlora.processes import end_with_parent

__all__ = ["HUNG", "SILENT_SECONDS", "Pulse", "watched"]

HUNG = 45  # in the site's band of exit codes
PASSED_ON = (signal.SIGTERM, signal.SIGINT)
BEAT_SECONDS, SILENT_SECONDS = 1.0, 30.0
log = logging.getLogger("fedlora.trainer")


class Pulse:
    """What a working process tells of itself.

    Parameters
    ----------
    descriptor : int
        The end of the pipe that it writes to.
    step_seconds : float
        How long a step of training may take.
    """

    def __init__(self, descriptor: int, step_seconds: float) -> None:
        self._descriptor, self._step_seconds = descriptor, step_seconds
        self._last_step: float | None = None  # None while nothing is trained

    def start(self) -> None:
        """Begin to tell that the process lives."""
        self._tell()  # here: were the process to stop before its thread runs, nobody would listen yet
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    @contextmanager
    def training(self) -> Iterator[Callable[[], None]]:
        """Train in the block; it calls what this yields at each step."""

        def step() -> None:
            self._last_step = time.monotonic()

        step()
        try:
            yield step
        finally:
            self._last_step = None

    @property
    def gets_on(self) -> bool:
        """Whether no step has been under way for too long."""
        last = self._last_step
        return last is None or time.monotonic() - last < self._step_seconds

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            if self.gets_on:
                self._tell()

    def _tell(self) -> None:
        os.write(self._descriptor, b".")


def watched(work: Callable[[Pulse], int], *, step_seconds: float, silent_seconds: float = SILENT_SECONDS) -> int:
    """Do `work` in a process of its own until it ends, or hangs; return its exit code, or `HUNG`.

    Has to be called before there are threads.

    Parameters
    ----------
    work : callable
        What to do; it starts the pulse when it is ready, and returns its exit code. SIGTERM and SIGINT reach it.
    step_seconds : float
        How long a step of training may take.
    silent_seconds : float
        How long nothing may be heard. Only seconds in which this process itself runs count: after a pause of both, the
        other has as long as ever.
    """
    reading, writing = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # before it is handled, one would end this process alone
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        os.close(reading)
        end_with_parent(signal.SIGKILL)
        _end(work, Pulse(writing, step_seconds))
    os.close(writing)
    for number in PASSED_ON:
        signal.signal(number, lambda number, _frame: _send(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    if _listen(reading, silent_seconds):
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256
    log.error("the trainer hangs: nothing was heard of it for %.0f s, and it is ended", silent_seconds)
    _send(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HUNG


def _end(work: Callable[[Pulse], int], pulse: Pulse) -> None:
    """Work, and end this process whatever happens."""
    code = 1
    try:
        code = work(pulse)
    except BaseException:
        log.exception("the trainer ended")
    finally:
        logging.shutdown()
        os._exit(code)


def _listen(reading: int, silent_seconds: float) -> bool:
    """Wait for the other process; return whether it has ended by itself."""
    silent: float | None = None  # until it is ready
    while True:
        if select.select([reading], [], [], BEAT_SECONDS)[0]:
            if not os.read(reading, 4096):
                return True
            silent = 0.0
        elif silent is not None:
            silent += BEAT_SECONDS
            if silent >= silent_seconds:
                return False


def _send(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        log.debug("process %d has ended already", process)
