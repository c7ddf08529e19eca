"""Bytes on the wire, as the kernel counts them for this process's connections to the SuperLink (TCP_INFO, tcp(7)).

Flower says nothing of what its messages take with gRPC and TLS around them, nor of what looking for them costs. Which
bytes belong to a run is told by time: whatever passes while a run's message is carried is that run's, all else is idle.
"""

import os
import socket
import stat
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from supernode.flower_sizes import Sizes
from supernode.traffic import Direction, Traffic, Wire

__all__ = ["WireMeter", "connections"]

LOOK_SECONDS = 2.0  # what a connection has carried since the last look is lost with it
MOST_GONE = 64  # connections that are remembered after they were not seen any more
# Offsets in struct tcp_info (linux/tcp.h), which only ever grows at its end. Linux before 4.19 ends before SENT.
ACKNOWLEDGED, RECEIVED, SENT, SENT_AGAIN = 120, 128, 200, 208
LENGTH = 256


class WireMeter:
    """Counts what this process's TCP connections to a port elsewhere carry.

    Parameters
    ----------
    port : int
        Port of the SuperLink.
    traffic : Traffic
        Where it is counted.
    """

    clock = staticmethod(time.monotonic)

    def __init__(self, port: int, traffic: Traffic) -> None:
        self.port = port
        self.traffic = traffic
        self._lock = threading.Lock()
        self._seen: dict[int, Wire] = {}
        self._carried: Counter[int] = Counter()  # Flower run: transfers of it under way
        self._calls: Counter[int] = Counter()  # Flower run: calls not yet written down
        self._ways: Counter[tuple[int, Direction]] = Counter()  # the same by direction, and since when there are any
        self._since: dict[tuple[int, Direction], float] = {}
        self._here = threading.local()

    def start(self) -> None:
        """Look from time to time, for as long as this process lives."""

        def look() -> None:
            pause = threading.Event()
            while not pause.wait(LOOK_SECONDS):
                self.look()

        threading.Thread(target=look, name="wire-meter", daemon=True).start()

    @contextmanager
    def carrying(self, flower_run: int, direction: Direction) -> Iterator[None]:
        """Count what passes meanwhile for a run; where several are carried at once, for the one that came first.

        Its time counts as well; where several objects of a run are carried in one direction at once, once.
        """
        way = flower_run, direction
        with self._lock:
            if not self._carried[flower_run]:
                self._book()
            self._carried[flower_run] += 1
            if not self._ways[way]:
                self._since[way] = self.clock()
            self._ways[way] += 1
        self._here.run = flower_run
        try:
            yield
        finally:
            self._here.run = None
            with self._lock:
                if self._carried[flower_run] == 1:
                    self._book()
                self._carried[flower_run] -= 1
                self._carried += Counter()  # drops what is at 0
                self._ways[way] -= 1
                if not self._ways[way]:
                    self.traffic.spend(flower_run, direction, self.clock() - self._since.pop(way))
                    del self._ways[way]

    def note_call(self) -> None:
        """Count a remote call for the run that this thread carries, if it carries one."""
        run = getattr(self._here, "run", None)
        if run is not None:
            with self._lock:
                self._calls[run] += 1

    def note_sizes(self, sizes: Sizes | None) -> None:
        """Count what a call has carried for a run as Flower counts it, if it does."""
        if sizes is not None:
            self.traffic.transfer(sizes.flower_run, sizes.down, sizes.up)

    def look(self) -> None:
        """Count what has passed until now."""
        with self._lock:
            self._book()

    def _book(self) -> None:
        there = connections(self.port)
        passed = [_since(wire, self._seen.get(inode, Wire())) for inode, wire in there.items()]
        total = Wire(*map(sum, zip(*passed, strict=True))) if passed else Wire()
        gone = [(inode, wire) for inode, wire in self._seen.items() if inode not in there]
        self._seen = dict(gone[-MOST_GONE:]) | there
        if any(total):
            self.traffic.carry(next(iter(self._carried), None), total)
        for run, calls in self._calls.items():
            self.traffic.call(run, calls)
        self._calls.clear()


def _since(now: Wire, before: Wire) -> Wire:
    if now.down < before.down or now.up < before.up:
        return now  # another connection under an inode number that was free again
    return Wire(*(new - old for new, old in zip(now, before, strict=True)))


def connections(port: int) -> dict[int, Wire]:
    """Return what each TCP connection of this process to `port` elsewhere has carried, by the inode of its socket."""
    found = {}
    for descriptor in _descriptors():
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with _copy(descriptor) as connection:
                if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.getpeername()[1] == port:
                    inode = os.fstat(connection.fileno()).st_ino
                    found[inode] = _read(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LENGTH))
        except (OSError, struct.error):
            continue  # closed meanwhile, not connected, or of a kernel that does not count
    return found


def _descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - names alone are needed
    except OSError:
        return []


def _copy(descriptor: int) -> socket.socket:
    """Return a socket object of its own for a descriptor that is somebody else's."""
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _read(information: bytes) -> Wire:
    def value(offset: int) -> int:
        return int(struct.unpack_from("=Q", information, offset)[0])

    if len(information) < SENT_AGAIN + 8:
        return Wire(value(RECEIVED), value(ACKNOWLEDGED))
    return Wire(value(RECEIVED), value(SENT), value(SENT_AGAIN))
