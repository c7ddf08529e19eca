"""How long a node waits between two looks."""

import inspect
import os
import re

import flwr.supernode.start_client_internal as flower
import pytest

from supernode import pauses as module
from supernode.pauses import OFF, AnswerPauses, PickUp, TaskPauses, ring


@pytest.fixture
def clock(monkeypatch):
    """Let a test say what time it is; what is slept is noted."""
    now, slept = [100.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "sleep", slept.append)
    return now, slept


def test_looks_for_messages_are_frequent_after_one_and_rare_when_idle(clock):
    now, _ = clock
    pick_up = PickUp()
    assert pick_up.seconds() == 3.0  # nothing has ever come
    pick_up.note_message()
    for later, expected in ((0, 0.1), (9.9, 0.1), (20, 0.2), (100, 1.0), (300, 3.0), (10_000, 3.0)):
        now[0] = 100.0 + later
        assert pick_up.seconds() == pytest.approx(expected), later


def test_looks_for_messages_are_rarer_the_longer_they_take(clock):
    pick_up = PickUp()
    pick_up.note_message()
    for took, expected in ((0.002, 0.1), (0.01, 0.2), (0.1, 2.0), (10.0, 3.0), (0.002, 0.1)):
        pick_up.note_look(took)
        assert pick_up.seconds() == pytest.approx(expected), took


def test_looks_for_tasks_are_frequent_from_the_bell_to_the_answer_and_rare_otherwise(monkeypatch):
    heard, bell = os.pipe()
    os.set_blocking(bell, False)
    waits = []
    real = module.select.select
    monkeypatch.setattr(module.select, "select", lambda read, *_: waits.append(_[-1]) or real(read, [], [], 0))
    pauses = TaskPauses(heard)
    pauses.wait()
    ring(bell)
    ring(bell)
    for _ in range(3):
        pauses.wait()
    pauses.note_task()
    pauses.wait()
    assert waits == [1.0, 1.0, 0.02, 0.02, 1.0]
    os.close(heard)
    os.close(bell)


def test_a_task_that_is_called_off_is_heard_of_whatever_was_rung_before():
    heard, bell = os.pipe()
    pauses = TaskPauses(heard)
    ring(bell)
    ring(bell, OFF)
    ring(bell)
    assert not pauses.called_off
    pauses.wait()
    assert pauses.called_off
    os.close(heard)
    os.close(bell)


def test_a_full_pipe_holds_nobody_up():
    heard, bell = os.pipe()
    os.set_blocking(bell, False)
    for _ in range(70_000):
        ring(bell)
    os.close(heard)
    os.close(bell)


def test_an_answer_is_waited_for_in_a_twentieth_of_what_it_has_taken(clock):
    now, slept = clock
    pauses = AnswerPauses()
    pauses.note_message()
    for later in (0, 1, 4, 60):
        now[0] = 100.0 + later
        pauses.sleep(0.5)
    assert slept == pytest.approx([0.01, 0.05, 0.2, 0.5])
    pauses.sleep(3)
    assert slept[-1] == 3


def test_flowers_loop_uses_its_clock_for_nothing_but_the_waits_that_we_know():
    """`AnswerPauses` stands for it; when the pin moves, look here."""
    assert re.findall(r"\btime\.(\w+\([^)]*\))", inspect.getsource(flower)) == ["sleep(3)", "sleep(0.5)", "sleep(0.5)"]
