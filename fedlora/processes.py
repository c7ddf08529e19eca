"""Processes that fedlora starts on this machine: started with a log, watched, stopped in order, never orphaned."""

import contextlib
import ctypes
import errno
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedlora.environment import inherited
from fedlora.errors import NotReadyError, PortInUseError, ProcessDiedError

__all__ = ["Part", "Parts", "check_ports_free", "end_with_parent", "free_ports", "log_end", "until_signalled"]

PR_SET_PDEATHSIG = 1  # prctl(2)
STOP_SECONDS = 10.0
LISTENING_PORTS = range(10_000, 32_768)  # Linux's first port of an outgoing connection is 32,768
LOG_LINES = 20


@dataclass
class Part:
    """A running process of the federation."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    command: tuple[str, ...]
    variables: Mapping[str, str]

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    @property
    def ending(self) -> str:
        """How it ended, in words; empty while it runs."""
        status = self.process.poll()
        if status is None:
            return ""
        return f"by {_signal_name(-status)}" if status < 0 else f"with exit code {status}"


@dataclass
class Parts:
    """All processes of one federation on this machine, in the order in which they were started.

    A context manager: leaving it, for whichever reason, stops every part, the last one started first. Each part leads a
    process group of its own, so its children are stopped with it. Should this process be killed, the kernel sends every
    part SIGTERM; the same happens when the thread ends that started it, so start parts in the main thread.
    """

    logs: Path
    started: list[Part] = field(default_factory=list)

    def __enter__(self) -> "Parts":
        return self

    def __exit__(self, *_: object) -> None:
        with _signals_ignored():  # an impatient second Ctrl-C must not leave half of the parts behind
            self.stop()

    def start(self, name: str, command: Sequence[str], variables: Mapping[str, str]) -> Part:
        """Start `command` as the part `name`, with `variables` added to the environment and its output in a log.

        Raises
        ------
        ProcessDiedError
            If the program cannot be started at all.
        """
        part = self._run(name, tuple(command), variables)
        self.started.append(part)
        return part

    def restart(self, part: Part) -> Part:
        """Start a part that has ended once more, in its place in the order, with the command it had."""
        _signal_group(part, signal.SIGKILL)  # what a dead leader left behind in its group
        fresh = self._run(part.name, part.command, part.variables)
        self.started[self.started.index(part)] = fresh
        return fresh

    def _run(self, name: str, command: tuple[str, ...], variables: Mapping[str, str]) -> Part:
        log = self.logs / f"{name}.log"
        try:
            with log.open("ab") as stream:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=inherited(**variables),
                    start_new_session=True,
                    preexec_fn=end_with_parent,
                )
        except OSError as error:
            raise ProcessDiedError(f"{name} could not be started: {error}") from error
        return Part(name, process, log, command, variables)

    def check(self) -> None:
        """Raise for the first part that has ended.

        Raises
        ------
        ProcessDiedError
            Names the part, how it ended, and the end of its log.
        """
        for part in self.started:
            if not part.alive:
                raise ProcessDiedError(f"{part.name} ended {part.ending}. The end of {part.log}:\n{log_end(part.log)}")

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until `ready` returns true, watching all parts meanwhile.

        Raises
        ------
        NotReadyError
            After `seconds`, naming `what`.
        ProcessDiedError
            If a part ends while waiting.
        """
        end = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise NotReadyError(f"{what} was not ready after {seconds:.0f} s; the logs are in {self.logs}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop every part, the last one started first: SIGTERM, and SIGKILL for what still lives 10 s later."""
        while self.started:
            part = self.started[-1]
            _signal_group(part, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):  # the SIGKILL that follows ends it
                part.process.wait(STOP_SECONDS)
            _signal_group(part, signal.SIGKILL)  # also what a dead leader left behind in its group
            part.process.wait()
            self.started.pop()


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def until_signalled() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set from now on: what a resident program waits for."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _signal_name(number: int) -> str:
    known = {member.value: member.name for member in signal.Signals}
    return f"signal {known.get(number, number)}"


def _signal_group(part: Part, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(part.process.pid, number)


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel to send a signal to this process when its parent ends; serves as `subprocess`'s ``preexec_fn``."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def log_end(log: Path, lines: int = LOG_LINES) -> str:
    """Return the last lines of a log, each behind ``  | ``."""
    try:
        text = log.read_bytes()[-65536:].decode("utf-8", "replace")
    except OSError as error:
        return f"  | (the log cannot be read: {error})"
    kept = text.rstrip().splitlines()[-lines:] or ["(nothing was written)"]
    return "\n".join(f"  | {line}" for line in kept)


def check_ports_free(ports: Mapping[str, int], host: str = "127.0.0.1") -> None:
    """Check that nobody listens on any of `ports` (what it is for: number), and that this process may.

    Raises
    ------
    PortInUseError
        Names every port that cannot be had, what it was meant for, and why.
    """
    taken = []
    for purpose, port in ports.items():
        if not 0 < port < 2**16:
            taken.append(f"port {port} ({purpose}) is not between 1 and 65535")
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
                taken.append(f"port {port} ({purpose}) on {host} {why}")
    if taken:
        raise PortInUseError("; ".join(taken) + ". Stop what listens there, or choose another port")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return `count` different ports that are free at this moment.

    Linux gives outgoing connections none of them: such a port could be taken before whoever asked listens at it.

    Raises
    ------
    OSError
        If there are not so many.
    """
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.sample(LISTENING_PORTS, len(LISTENING_PORTS)):
            if len(found) == count:
                return found
            probe = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                found.append(port)
    raise OSError(f"{count} free ports were asked for at {host}, and {len(found)} are free; end what listens there")
