"""Heartbeats, and the health check that asks for one."""

import os
import subprocess
import sys
import time

import pytest

from fedlora.heartbeat import Heartbeat


def check(file):
    done = subprocess.run([sys.executable, "-m", "fedlora.heartbeat", str(file)], capture_output=True, text=True)
    return done.returncode, done.stdout


def test_none_is_not_healthy(tmp_path):
    assert check(tmp_path / "beat") == (1, "beat: there was none; healthy below 60 s\n")


@pytest.mark.parametrize(("age", "code"), [(0, 0), (50, 0), (70, 1)])
def test_a_minute_decides(age, code, tmp_path):
    heartbeat = Heartbeat(tmp_path / "beat")
    heartbeat.note()
    then = time.time() - age
    os.utime(heartbeat.file, (then, then))
    assert heartbeat.healthy is (code == 0)
    assert check(heartbeat.file)[0] == code


def test_what_is_forgotten_never_was(tmp_path):
    heartbeat = Heartbeat(tmp_path / "beat")
    heartbeat.forget()
    heartbeat.note()
    heartbeat.forget()
    assert not heartbeat.healthy
