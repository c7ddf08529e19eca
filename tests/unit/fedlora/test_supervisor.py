"""The board of `fedlora up`, and what its supervisor does when a part ends; for real federations see test_up.py."""

import os
import shutil
import sys
import time

import pytest

from fedlora.cli.local import supervisor as module
from fedlora.cli.local.board import Board, PartState, Stage, Status
from fedlora.cli.local.supervisor import Supervisor
from fedlora.errors import AlreadyUpError
from fedlora.processes import Parts
from fedlora.settings_file import write_settings

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
FAIL = [sys.executable, "-c", "raise SystemExit(3)"]


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path / "state")


@pytest.fixture
def parts(tmp_path):
    with Parts(tmp_path) as started:
        yield started


def until(reached, seconds=20):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_board_says_what_was_written_while_it_is_held(board):
    part = PartState("superlink", 7, 1.5, 2, "by signal SIGKILL", "superlink.log")
    status = Status(Stage.READY, os.getpid(), parts=(part,))
    assert board.read() == Status(Stage.DOWN)
    with board.held():
        board.write(status)
        assert (board.read(), board.is_held()) == (status, True)
        with (
            pytest.raises(AlreadyUpError, match=f"under process {os.getpid()}; see them with fedlora status"),
            board.held(),
        ):
            pass
    assert (board.read(), board.is_held()) == (Status(Stage.DOWN), False)  # whatever the file says


def test_what_a_start_failed_with_stays_to_be_read(board):
    failed = Status(Stage.FAILED, 1, error="PortInUseError", reason="port 9092 is in use")
    with board.held():
        board.write(failed)
    assert board.read() == failed


def test_a_part_that_ends_is_started_again_with_growing_pauses(board, parts, monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.05)
    parts.start("steady", SLEEP, {})
    parts.start("failing", FAIL, {})
    made = Supervisor(None, (), board)
    pauses = []

    def three_starts() -> bool:
        made._look(parts)
        life = made.lives["failing"]
        if life.due is not None and len(pauses) == life.restarts:
            pauses.append(life.pause)
        return life.restarts == 3

    until(three_starts)
    assert pauses == [0.05, 0.1, 0.2]
    assert made.lives["failing"].ending == "with exit code 3"
    assert made.lives["steady"].restarts == 0
    assert [part.name for part in parts.started] == ["steady", "failing"]


def test_a_board_that_cannot_be_written_stops_nothing(board, parts):
    with board.held():
        parts.start("steady", SLEEP, {})
        made = Supervisor(None, (), board)
        shutil.rmtree(board.state)
        made._show(parts, Status(Stage.READY, 1))
        assert parts.started[0].alive


def test_settings_that_the_disk_does_not_take_are_named(tmp_path):
    from fedlora.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match=r"away/trainer.toml cannot be written: No such file or directory"):
        write_settings({"site": "a"}, tmp_path / "away" / "trainer.toml")
