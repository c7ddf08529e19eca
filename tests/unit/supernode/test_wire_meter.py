"""The meter against the kernel: connections on loopback, whose bytes the test counts itself."""

import os
import socket
from contextlib import ExitStack

import pytest

from fedlora.metrics.sample import write_samples
from supernode.traffic import Traffic, Wire
from supernode.wire_meter import WireMeter, connections


class Line:
    """A server, and a client whose process is that of the meter; so is the server's, whose peer has another port."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self._server.getsockname()[1]
        self.connect()

    def connect(self) -> None:
        self.client = self._stack.enter_context(socket.create_connection(("127.0.0.1", self.port)))
        self.other, _ = self._server.accept()
        self._stack.enter_context(self.other)

    def up(self, size: int) -> None:
        self._pass(self.client, self.other, size)

    def down(self, size: int) -> None:
        self._pass(self.other, self.client, size)

    def _pass(self, sender: socket.socket, receiver: socket.socket, size: int) -> None:
        sender.sendall(os.urandom(size))
        while size:
            size -= len(receiver.recv(size))


@pytest.fixture
def line():
    with ExitStack() as stack:
        yield Line(stack)


@pytest.fixture
def traffic(tmp_path):
    return Traffic(tmp_path)


@pytest.fixture
def meter(line, traffic):
    return WireMeter(line.port, traffic)


def counted(traffic):
    """Return bytes down and up of each run, and calls, by its name; what is idle goes by None."""
    found: dict = {}
    for key, value in write_samples(traffic.samples()).items():
        assert value > 0 or "wire_bytes" in key or "retransmitted" in key
    for sample in traffic.samples():
        if sample.name == "fedlora_transfer_seconds_total":
            continue  # a test of its own
        if sample.name == "fedlora_retransmitted_bytes_total" and sample.value == 0:
            continue  # the loopback's rule
        found.setdefault(sample.labels.get("run"), []).append(int(sample.value))
    return found


def test_bytes_are_those_that_were_sent_and_received(line):
    assert list(connections(line.port).values()) == [Wire(0, 0, 0)]
    line.up(70_000)
    line.down(333)
    assert list(connections(line.port).values()) == [Wire(333, 70_000, 0)]
    assert connections(1) == {}


def test_what_passes_while_a_run_is_carried_is_its_own_and_all_else_is_idle(line, meter, traffic):
    line.up(10)
    with meter.carrying(7, "down"):
        line.up(5000)
        line.down(40_000)
        meter.note_call()
        meter.look()  # as the thread does at any time
        line.up(1000)
    line.down(20)
    meter.note_call()  # a heartbeat
    with meter.carrying(8, "down"), meter.carrying(9, "up"):  # in that order; a thread carries one
        line.up(100)
        meter.note_call()
    line.down(2)
    meter.look()
    assert counted(traffic) == {None: [22, 10], "7": [1, 40_000, 6000], "8": [0, 100], "9": [1]}


def test_a_run_with_several_transfers_at_once_is_read_as_the_first_begins_and_the_last_ends(line, meter, traffic):
    first, second = meter.carrying(7, "down"), meter.carrying(7, "down")
    first.__enter__()
    line.up(10)
    second.__enter__()
    line.up(10)
    first.__exit__(None, None, None)
    line.up(10)
    second.__exit__(None, None, None)
    line.up(3)
    meter.look()
    assert counted(traffic) == {None: [0, 3], "7": [0, 30]}


def test_time_counts_once_however_many_objects_are_carried_at_once(line, meter, traffic):
    """Two seconds down, with a second object in the middle of them, and half a second up meanwhile."""
    clock = iter((100.0, 101.0, 101.5, 102.0, 200.0, 200.25))
    meter.clock = lambda: next(clock)
    with meter.carrying(7, "down"):
        with meter.carrying(7, "down"):
            pass
        with meter.carrying(7, "up"):
            pass
    with meter.carrying(7, "down"):
        pass
    found = {s.labels["direction"]: s.value for s in traffic.samples() if s.name == "fedlora_transfer_seconds_total"}
    assert found == {"down": 2.25, "up": 0.5}


def test_a_transfer_that_fails_ends_as_well(line, meter, traffic):
    with pytest.raises(OSError, match="cut off"), meter.carrying(7, "down"):
        line.up(10)
        raise OSError("cut off")
    line.up(5)
    meter.look()
    assert counted(traffic) == {None: [0, 5], "7": [0, 10]}


def test_a_connection_that_is_closed_stays_counted_and_a_new_one_begins_at_0(line, meter, traffic):
    line.up(100)
    meter.look()
    line.client.close()
    meter.look()
    line.connect()
    line.up(7)
    line.down(1)
    meter.look()
    meter.look()
    assert counted(traffic) == {None: [1, 107]}


def test_a_connection_that_was_not_seen_for_a_while_is_not_counted_twice(line, meter, traffic, monkeypatch):
    line.up(100)
    meter.look()
    with monkeypatch.context() as patched:
        patched.setattr(os, "dup", lambda _: (_ for _ in ()).throw(OSError("too many open files")))
        meter.look()
    meter.look()
    assert counted(traffic) == {None: [0, 100]}
    assert not os.get_inheritable(line.client.fileno())
    assert line.client.getpeername()[1] == line.port  # looking at it leaves it open


def test_a_socket_under_the_number_of_an_older_one_begins_at_0(meter, traffic, monkeypatch):
    for seen in (Wire(100, 100, 0), Wire(7, 9, 1)):
        monkeypatch.setattr("supernode.wire_meter.connections", lambda _port, seen=seen: {1: seen})
        meter.look()
    assert counted(traffic) == {None: [107, 109, 1]}


def test_another_process_goes_on_where_the_one_before_has_stopped(line, meter, traffic):
    line.up(100)
    meter.look()
    again = WireMeter(line.port, traffic)
    line.up(11)
    again.look()  # of its connections it counts everything: they are its own
    assert counted(traffic) == {None: [0, 211]}
