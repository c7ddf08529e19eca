"""The board of `fedlora up`, and what its supervisor does when a part ends; for real federations see test_up.py."""

import os
import shutil
import sys
import time

import pytest
from typer.testing import CliRunner

from fedlora.cli.local import supervisor as module
from fedlora.cli.local.board import Board, PartState, Stage, Status
from fedlora.cli.local.supervisor import Supervisor
from fedlora.cli.main import application
from fedlora.errors import AlreadyUpError, ConfigurationError
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


def test_a_part_that_cannot_be_started_again_is_tried_later_and_the_others_run_on(board, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.05)
    steady, program = parts.start("steady", SLEEP, {}), tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    fragile = parts.start("fragile", [str(program)], {})
    program.rename(tmp_path / "away")
    fragile.process.kill()
    made = Supervisor(None, (), board)

    def tried_twice() -> bool:
        made._look(parts)
        return made.lives["fragile"].pause > 0.15

    until(tried_twice)
    assert (made.lives["fragile"].restarts, steady.alive) == (0, True)
    (tmp_path / "away").rename(program)
    until(lambda: made._look(parts) and made.lives["fragile"].restarts == 1)
    assert all(part.alive for part in parts.started)


def test_status_as_a_table(board, parts, federation_file, monkeypatch):
    now = time.time()
    monkeypatch.setattr("fedlora.cli.status.time.time", lambda: now)
    part = PartState("superexec", 7, now - 65.2, 2, "by signal SIGKILL", "logs/superexec.log")
    waiting = PartState("keeper", 0, now, 1, "with exit code 3", "logs/keeper.log")
    with board.held():
        board.write(Status(Stage.READY, os.getpid(), parts=(part, waiting)))
        shown = CliRunner().invoke(
            application, ["status", str(federation_file)], env={"COLUMNS": "150", "TERM": "dumb"}
        )
    assert shown.exit_code == 0, shown.exception
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines() if line.strip(" \u2500")]
    assert lines == [
        "test: ready",
        "part state process for restarts log",
        "superexec running 7 0:01:05 2 logs/superexec.log",
        "keeper ended with exit code 3; to be started again 1 logs/keeper.log",
    ]


def test_status_of_a_start_that_failed_says_why(board, federation_file):
    with board.held():
        board.write(Status(Stage.FAILED, 1, error="PortInUseError", reason="port 9092 is in use"))
    shown = CliRunner().invoke(application, ["status", str(federation_file)])
    assert shown.stdout == "test: failed\nPortInUseError: port 9092 is in use\n"


def test_a_board_that_cannot_be_written_stops_nothing(board, parts):
    with board.held():
        parts.start("steady", SLEEP, {})
        made = Supervisor(None, (), board)
        shutil.rmtree(board.state)
        made._show(parts, Status(Stage.READY, 1))
        assert parts.started[0].alive


def test_settings_that_the_disk_does_not_take_are_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"away/trainer.toml cannot be written: No such file or directory"):
        write_settings({"site": "a"}, tmp_path / "away" / "trainer.toml")
