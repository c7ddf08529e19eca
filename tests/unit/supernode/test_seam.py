"""The seam's own logic; the whole of it runs against the real SuperLink in tests/integration."""

import threading
import time
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import grpc
import pytest
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError, ObjectUnavailableError
from flwr.supercore.run import RunNotRunningException

from supernode import seam as module
from supernode.fleet import _beating
from supernode.pauses import AnswerPauses
from supernode.seam import Seam


class Refusal(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.UNAUTHENTICATED

    def details(self):
        return "Invalid node ID"


OFF = []  # tasks that were called off


def make(receive=None, carrying=lambda _run, _way: nullcontext(), **changes):
    names = ("send", "get_run", "get_fab", "pull", "push", "confirm")
    functions = {**dict.fromkeys(names), **changes}
    given = (1, receive, *(functions[name] for name in names))
    return Seam(
        *(given, None, carrying, AnswerPauses(), threading.Event()), arrived=list, called_off=lambda: OFF.append(1)
    )


@pytest.fixture
def no_waiting(monkeypatch):
    """Let an hour pass in each sleep."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_an_error_while_receiving_never_leaves_the_seam(no_waiting):
    calls = []

    def receive():
        calls.append(1)
        raise Refusal

    assert make(receive).receive() is None
    assert len(calls) > 1


@pytest.mark.parametrize("error", [ValueError("proto"), RuntimeError("node instance missing")])
def test_flowers_own_errors_do_not_leave_either(no_waiting, error):
    def receive():
        raise error

    assert make(receive).receive() is None


def test_the_one_exception_that_flower_expects_passes(no_waiting):
    def receive():
        raise RunNotRunningException

    with pytest.raises(RunNotRunningException):
        make(receive).receive()


def test_a_run_is_looked_up_once_and_answered_from_memory(no_waiting):
    message = SimpleNamespace(metadata=SimpleNamespace(run_id=9))
    looked_up = []
    run = SimpleNamespace(fab_hash="f")
    seam = make(
        lambda: (message, "tree"),
        get_run=lambda run_id: looked_up.append(run_id) or run,
        get_fab=lambda fab_hash, run_id: (fab_hash, run_id),
    )
    assert seam.receive() == (message, "tree")
    assert seam.receive() == (message, "tree")
    assert looked_up == [9]
    assert seam.get_run(9) is run
    assert seam.get_fab("f", 9) == ("f", 9)


def test_an_answer_is_waited_for_from_when_its_message_is_here(no_waiting):
    no_waiting[0] = 7.0
    seam = make(confirm=lambda *_: None)
    assert seam.answers.began == float("-inf")
    seam.confirm(9, "m")
    assert seam.answers.began == 7.0


def test_the_last_call_tells_whether_a_node_is_healthy(tmp_path):
    import os

    from fedlora.heartbeat import Heartbeat

    last = Heartbeat(tmp_path / "last")
    assert not last.healthy
    last.note()
    assert last.healthy
    for age, healthy in ((59, True), (61, False)):
        os.utime(last.file, (time.time() - age,) * 2)
        assert last.healthy is healthy


def test_a_run_that_ends_while_its_message_is_pulled_is_an_ordinary_error():
    """Flower's exception is a BaseException, which its own clean-up after a failed pull lets pass."""

    def ended(*_):
        raise RunNotRunningException

    seam = make(pull=ended, confirm=ended)
    for call in (seam.pull, seam.confirm):
        with pytest.raises(RuntimeError, match="the run has ended meanwhile"):
            call(1, "object")


def test_what_carries_a_message_is_carried_for_its_run_and_a_look_for_one_is_not(no_waiting):
    carried, said = [], []

    @contextmanager
    def carrying(run, way):
        carried.extend((run, way))
        yield
        carried.clear()

    message = SimpleNamespace(metadata=SimpleNamespace(run_id=9))
    names = ("send", "get_run", "get_fab", "pull", "push", "confirm")
    calls = {
        name: lambda *_, name=name: said.append((name, *carried)) or SimpleNamespace(fab_hash="f") for name in names
    }
    seam = make(lambda: said.append(("receive", *carried)) or (message, "tree"), carrying, **calls)
    _, receive, send, _, _, pull, push, confirm = seam.functions()  # what Flower's loop is given
    receive()
    pull(9, "object")
    confirm(9, "object")
    send(message, "tree", 0.0)
    push(9, "session", "object", b"")
    down, up = ("get_run", "get_fab", "pull", "confirm"), ("send", "push")
    carrying_down, carrying_up = [(call, 9, "down") for call in down], [(call, 9, "up") for call in up]
    assert said == [("receive",), *carrying_down, *carrying_up]
    assert carried == []


MESSAGE = SimpleNamespace(metadata=SimpleNamespace(run_id=9))
CALLS = {
    "get_run": lambda seam: seam._admitted(MESSAGE),
    "pull": lambda seam: seam.pull(9, "object"),
    "confirm": lambda seam: seam.confirm(9, "object"),
    "send": lambda seam: seam.send(MESSAGE, "tree", 0.0),
    "push": lambda seam: seam.push(9, "session", "object", b""),
}


def failing(call, error):
    """A seam of which one call has failed."""

    def fails(*_):
        raise error

    seam = make(**{call: fails})
    with pytest.raises((Exception, RunNotRunningException)):
        CALLS[call](seam)
    return seam


@pytest.mark.parametrize("error", [Refusal(), ObjectPushError("object", 9, "session")])
@pytest.mark.parametrize("call", CALLS)
def test_who_loses_a_message_or_its_answer_comes_back_to_be_asked_again(call, error):
    assert failing(call, error).dropped.is_set()


@pytest.mark.parametrize("call", CALLS)
def test_a_run_that_has_ended_asks_nobody_again(call):
    assert not failing(call, RunNotRunningException()).dropped.is_set()


def test_a_part_that_is_not_there_yet_is_not_lost():
    OFF.clear()
    assert not failing("pull", ObjectUnavailableError("object")).dropped.is_set()
    assert OFF == []


@pytest.mark.parametrize("error", [Refusal(), RunNotRunningException()])
@pytest.mark.parametrize(("call", "off"), [("pull", [1]), ("confirm", [1]), ("send", []), ("push", [])])
def test_a_task_whose_message_is_dropped_is_called_off(call, off, error):
    """Its answer would be sent in the place of the next one's, which would wait for the message after it."""
    OFF.clear()
    failing(call, error)
    assert off == OFF


@pytest.mark.parametrize(
    ("code", "goes_on"), [("INTERNAL", True), ("CANCELLED", True), ("UNAVAILABLE", True), ("UNAUTHENTICATED", False)]
)
def test_heartbeats_go_on_after_every_failure_but_a_verdict(code, goes_on):
    class Failure(grpc.RpcError):
        def code(self):
            return grpc.StatusCode[code]

        def details(self):
            return "so"

    def fails():
        raise Failure

    with pytest.raises(grpc.RpcError) as raised:
        _beating(fails)()
    assert (raised.value.code() is grpc.StatusCode.UNAVAILABLE) is goes_on  # on which Flower's heartbeats go on
