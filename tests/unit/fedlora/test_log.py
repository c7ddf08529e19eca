"""The log of a run: what the ServerApp writes, and what `fedlora run log` shows of it."""

import logging
import os
import re
import sys
import time
from types import SimpleNamespace

import pytest

import fedlora
from fedlora.errors import ConfigurationError, ParticipationError, ShardError
from fedlora.log import printable, report, written_to
from superlink import server_app
from superlink.ledger import Ledger
from superlink.run_config import RunConfig
from superlink.runs import RunState, verdict

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", re.MULTILINE)
COMMAND = sys.modules["fedlora.cli.run.log"]  # the package's attribute of this name is the function
SUBMIT = ("submit", "tweets")


@pytest.fixture
def log():
    """The logger of the kit."""
    return logging.getLogger("fedlora")


@pytest.fixture
def attempt(monkeypatch, folder, log):
    """Return a function that runs the ServerApp's `main` as attempt `epoch`, with `work` for what it does."""

    def begin(epoch, work):
        config = RunConfig("tweets", epoch, "a,b", "finance", 2, 0, 60.0, 1, 60.0, "0" * 64)
        monkeypatch.setenv("FEDLORA_RUNS", str(folder.runs))
        monkeypatch.setattr(server_app, "_attempt", lambda *_: work())
        server_app.main(None, SimpleNamespace(run_config=config.to_flower(), run_id=70 + epoch))

    return begin


def test_every_attempt_continues_the_log_and_its_error_is_its_last_line(run, folder, log, attempt):
    def fail():
        log.getChild("superlink").warning("site a failed and is asked again: \x1b[2J\nnonsense")
        raise ParticipationError("too few")

    run(*SUBMIT)
    with pytest.raises(ParticipationError):
        attempt(1, fail)
    attempt(2, lambda: log.getChild("superlink").debug("not for the log"))
    log.info("after the attempt")
    shown = run("log", "tweets")
    assert TIME.sub("", shown.stdout).splitlines() == [
        f"INFO fedlora {fedlora.__version__}, run tweets, epoch 1",
        r"WARNING site a failed and is asked again: \x1b[2J\nnonsense",
        "ERROR ParticipationError: too few",
        f"INFO fedlora {fedlora.__version__}, run tweets, epoch 2",
    ]
    assert len(TIME.findall(shown.stdout)) == 4
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert not [handler for handler in log.handlers if isinstance(handler, logging.FileHandler)]
    assert verdict(folder).state is RunState.COMPLETED


@pytest.fixture
def elsewhere(monkeypatch):
    """A place that is 5 hours behind UTC."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "EST5")
        time.tzset()
        yield
    time.tzset()


def test_the_time_is_utc(tmp_path, log, elsewhere):
    log.setLevel(logging.INFO)
    with written_to(tmp_path / "log.txt"):
        record = log.makeRecord("fedlora", logging.INFO, "", 0, "at noon", (), None)
        record.created = 1_795_348_800.0
        log.handle(record)
    assert (tmp_path / "log.txt").read_text() == "2026-11-22T12:00:00Z INFO at noon\n"


def test_printable_leaves_words_alone():
    assert printable("Größe 3 µs: 'ok'") == "Größe 3 µs: 'ok'"
    assert printable("a\r\u202eb") == r"a\r\u202eb"


@pytest.mark.parametrize("options", [(), ("--follow",)])
def test_a_run_without_a_log_says_so(run, folder, options):
    run(*SUBMIT)
    folder.stop()  # so that --follow has an end
    shown = run("log", "tweets", *options)
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr == "run tweets has no log yet: its first attempt has not begun\n"


def test_follow_shows_whole_lines_as_they_come_and_ends_with_the_run(run, folder, monkeypatch):
    run(*SUBMIT)
    ledger = Ledger(folder.ledger)
    ledger.start_attempt(1, 77)
    folder.log.write_text("first\nsec")
    looks = iter([lambda: write("ond\nthi"), lambda: write("rd\n"), lambda: ledger.end_attempt(1, "completed")])

    def write(text):
        with folder.log.open("a") as file:
            file.write(text)

    seen = []
    monkeypatch.setattr(COMMAND, "time", SimpleNamespace(sleep=lambda _: next(looks)()))
    monkeypatch.setattr(COMMAND, "typer", SimpleNamespace(echo=lambda text, nl: seen.append(text)))
    assert run("log", "tweets", "--follow").exit_code == 0
    assert seen == ["first\n", "second\n", "third\n", ""]
    ledger.close()


def test_without_follow_a_run_under_way_is_shown_as_it_is(run, folder, monkeypatch):
    run(*SUBMIT)
    ledger = Ledger(folder.ledger)
    ledger.start_attempt(1, 77)
    ledger.close()
    folder.log.write_bytes(b"caf\xe9\n")
    monkeypatch.setattr(COMMAND, "time", None)  # there is nothing to wait for
    shown = run("log", "tweets")
    assert (shown.exit_code, shown.stdout) == (0, "caf\N{REPLACEMENT CHARACTER}\n")


def test_an_attempt_in_an_image_of_another_version_fails_by_rule(run, folder, attempt, monkeypatch):
    run(*SUBMIT)
    monkeypatch.setenv("FEDLORA_RENDERED", "0.0.9")
    with pytest.raises(ConfigurationError, match="ConfigurationError: this image holds fedlora"):
        attempt(1, lambda: None)
    ended = verdict(folder)
    assert (ended.state, ended.error) == (RunState.FAILED, ConfigurationError)  # and the keeper leaves it alone


def denied():
    error = ShardError("/shard/a.jsonl: cannot be read: [Errno 13] Permission denied: '/shard/a.jsonl'")
    error.__cause__ = PermissionError(13, "Permission denied", "/shard/a.jsonl")
    return error


@pytest.mark.parametrize(
    ("error", "code", "advice"),
    [
        (ShardError("empty"), 11, ""),
        (OSError(28, "No space left on device"), 1, ""),
        (denied(), 11, f"; this program is user {os.geteuid()} and must be let in: give it the file, or the right"),
    ],
)
def test_what_ends_a_program_is_named_with_its_code(error, code, advice, log, caplog):
    log.propagate = True
    assert report(error) == code
    assert caplog.messages == [f"{type(error).__name__}: {error}{advice}"]
