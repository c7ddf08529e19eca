"""How long a node waits between two looks."""

import inspect
import re

import flwr.supernode.start_client_internal as flower
import pytest

from supernode import pauses as module
from supernode.pauses import AnswerPauses, PickUp, TaskPauses


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


def test_looks_for_tasks_are_frequent_after_one_and_never_rarer_than_every_quarter_second(clock):
    now, _ = clock
    pauses = TaskPauses()
    for later, expected in ((0, 0.02), (3, 0.02), (6, 0.04), (30, 0.2), (1000, 0.25)):
        now[0] = 100.0 + later
        assert pauses.seconds() == pytest.approx(expected), later
    pauses.note_task()
    assert pauses.seconds() == 0.02


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
