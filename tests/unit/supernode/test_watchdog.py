"""A process that hangs is ended; one that ends by itself, or only takes its time, is not."""

import signal
import subprocess
import sys

import pytest

from supernode.trainer.watchdog import HUNG, Pulse

HEAD = """
import os, signal, sys, time
from supernode.trainer import watchdog
watchdog.BEAT_SECONDS = 0.05

def work(pulse):
    {work}

sys.exit(watchdog.watched(work, step_seconds=0.2, silent_seconds=0.5))
"""


def run(work: str, **more: object) -> subprocess.CompletedProcess:
    """Run a watched program whose work this is."""
    program = HEAD.format(work=work.replace("\n", "\n    "))
    return subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, text=True, **more)


@pytest.mark.parametrize(
    ("work", "code"),
    [
        ("pulse.start(); return 7", 7),
        ("raise ValueError", 1),
        ("time.sleep(1.5); return 3", 3),  # it still loads, and is not ready
        ("pulse.start(); time.sleep(1.5); return 3", 3),  # nothing is trained
        ("pulse.start(); os.kill(os.getpid(), signal.SIGSTOP)", HUNG),
        ("pulse.start()\nwith pulse.training(): time.sleep(60)", HUNG),
        ("pulse.start()\nwith pulse.training() as step:\n  for _ in range(15): step(); time.sleep(0.1)\nreturn 3", 3),
    ],
)
def test_what_becomes_of_a_process(work, code):
    assert run(work).returncode == code


def test_sigterm_reaches_who_does_the_work():
    work = (
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(9)); os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    )
    assert run(work).returncode == 9


def test_sigterm_that_comes_before_its_handler_reaches_who_does_the_work():
    """It is sent as soon as there are two processes, while the first has only begun to listen."""
    work = """
import signal, sys, os, time
from supernode.trainer import watchdog
fork = os.fork
def late():
    child = fork()
    if child:
        time.sleep(0.5)
    return child
os.fork = late
def work(pulse):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(9))
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(60)
sys.exit(watchdog.watched(work, step_seconds=0.2))
"""
    assert subprocess.run([sys.executable, "-c", work], timeout=60).returncode == 9


def test_the_work_ends_with_its_watchdog():
    """Else its output stays open, and the run is not over in time."""
    assert run("os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)").returncode == -signal.SIGKILL


def test_a_step_that_ends_is_forgotten():
    pulse = Pulse(-1, step_seconds=0.0)
    assert pulse.gets_on
    with pulse.training():
        assert not pulse.gets_on
    assert pulse.gets_on
