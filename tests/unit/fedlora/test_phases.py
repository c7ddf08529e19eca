"""Seconds by phase: the stopwatch, and what a site says of its own."""

import math

import pytest

from fedlora.phases import SITE, Phase, Stopwatch, divide, figure


def test_each_moment_belongs_to_one_phase(monkeypatch):
    clock = iter([10.0, 11.0, 15.0, 17.0, 20.0])
    monkeypatch.setattr("fedlora.phases.time.monotonic", lambda: next(clock))
    watch = Stopwatch()
    watch.enter(Phase.ENCODE)
    watch.enter(Phase.WAIT)
    watch.enter(Phase.AGGREGATE)
    watch.enter(Phase.WAIT)
    watch.stop()
    assert watch.seconds == {"encode": 1.0, "wait": 4.0 + 3.0, "aggregate": 2.0}


def test_a_stopped_watch_stands_still(monkeypatch):
    clock = iter([10.0, 11.0, 15.0, 16.0, 18.0])
    monkeypatch.setattr("fedlora.phases.time.monotonic", lambda: next(clock))
    watch = Stopwatch()
    for _ in range(2):
        watch.enter(Phase.WAIT)
        watch.stop()
    watch.stop()
    assert watch.seconds == {"wait": 2.0}


def test_the_transfer_is_what_the_site_does_not_tell():
    told = {"queue_seconds": 0.5, "load_seconds": 1.0, "train_seconds": 5.0, "encode_seconds": 0.25, "loss": 3.0}
    assert divide(10.0, told) == {"queue": 0.5, "load": 1.0, "train": 5.0, "encode": 0.25, "transfer": 3.25}
    assert list(divide(10.0, told)) == list(SITE)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_what_is_not_a_time_is_passed_over(value):
    assert divide(10.0, {figure(Phase.TRAIN): value, figure(Phase.LOAD): 4.0}) == {"load": 4.0, "transfer": 6.0}
    assert divide(10.0, {figure(Phase.TRAIN): value}) == {}


def test_a_site_that_tells_more_than_there_was_leaves_no_transfer():
    assert divide(10.0, {figure(Phase.TRAIN): 1e9}) == {"train": 1e9, "transfer": 0.0}


def test_a_site_cannot_tell_what_the_coordinator_measures():
    assert divide(10.0, {figure(Phase.WAIT): 1.0, figure(Phase.TRANSFER): 1.0}) == {}
