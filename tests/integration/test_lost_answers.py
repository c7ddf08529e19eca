"""The SuperLink has done what a node asked for, and its answer is lost on the way."""

import contextlib
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable

import pytest

GIVEN = "SELECT COUNT(*) FROM message_ins WHERE delivered_at != ''"
ANNOUNCED = "SELECT COUNT(*) FROM message_res"
AVAILABLE = "SELECT COUNT(*) FROM objects WHERE is_available"
PAUSE_SECONDS = 0.05  # for the SuperLink's transaction to end, before what follows it goes on


class Road:
    """A TCP forwarder in front of a port that once loses what comes back, with the connection, and goes on.

    What is lost is the first bytes that come back after `done` has become true since `lose` was called. For `closed`
    seconds from then on, who connects meets somebody who does not speak TLS.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.done: Callable[[], bool] | None = None
        self.lost, self.closed, self.turned_away = 0, 0.0, 0
        self.until = 0.0
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def lose(self, done: Callable[[], bool], closed: float = 0.0) -> None:
        self.closed = closed
        self.done = done

    def _accept(self) -> None:
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            if time.monotonic() < self.until:
                self.turned_away += 1
                with contextlib.suppress(OSError):
                    near.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self._forward, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._forward, args=(far, near, True), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        try:
            while data := source.recv(65536):
                if back and self.done is not None:
                    time.sleep(PAUSE_SECONDS)
                    if self.done():
                        self.done = None
                        self.lost += 1
                        self.until = time.monotonic() + self.closed
                        break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def count(federation, query: str) -> int:
    with sqlite3.connect(f"file:{federation.coordinator / 'superlink.sqlite'}?mode=ro", uri=True) as database:
        return database.execute(query).fetchone()[0]


@pytest.fixture
def road(running):
    """The road between site-1, which the run asks alone, and the SuperLink."""
    road = Road(running.ports.fleet)
    running.end_part("site-1-supernode")
    file = running.site("site-1") / "supernode.toml"
    usual = file.read_text()
    file.write_text(usual.replace(f"127.0.0.1:{running.ports.fleet}", road.address))
    arguments = [sys.executable, "-m", "supernode", str(file)]
    running.parts.start("site-1-supernode", arguments, {})
    running.parts.wait_until(running.complete, "site-1 by another road", 60)
    yield road
    running.end_part("site-1-supernode")
    file.write_text(usual)
    running.parts.start("site-1-supernode", arguments, {})
    road.listener.close()


def given(federation):
    """Whether a message was given to a node since; its answer is the message."""
    before = count(federation, GIVEN)
    return lambda: count(federation, GIVEN) > before


def announced(federation):
    """Whether a node has announced an answer since; it is told which of its objects to send."""
    before = count(federation, ANNOUNCED)
    return lambda: count(federation, ANNOUNCED) > before


def stored(federation):
    """Whether a node has sent an object of an answer since."""
    known, before = announced(federation), []

    def done():
        if not before and known():
            before.append(count(federation, AVAILABLE))
        return bool(before) and count(federation, AVAILABLE) > before[0]

    return done


@pytest.mark.parametrize("what", [given, announced, stored])
def test_a_round_does_not_wait_for_its_deadline(what, running, road, figure):
    road.lose(what(running))
    started = time.monotonic()
    assert running.finish(running.config(rounds=2, sites="site-1", deadline=100.0)).outcome == "completed"
    seconds = time.monotonic() - started
    figure(f"an answer of the SuperLink lost: the run ended after {seconds:.1f} s")
    assert road.lost == 1
    assert seconds < 60


@pytest.mark.parametrize("what", [given, announced, stored])
def test_nor_where_the_node_then_meets_somebody_else_and_gives_up(what, running, road, figure):
    """Flower makes no call again after a failed handshake: it drops what it fetches or sends, and waits."""
    road.lose(what(running), closed=2.0)
    started = time.monotonic()
    assert running.finish(running.config(rounds=2, sites="site-1", deadline=100.0)).outcome == "completed"
    seconds = time.monotonic() - started
    figure(f"the road closed after an answer of the SuperLink was lost: the run ended after {seconds:.1f} s")
    assert road.lost == 1
    assert road.turned_away > 0
    assert seconds < 60
