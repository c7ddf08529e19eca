"""The audit log: what it takes, who may write at once, and which change of it shows where."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlora import audit
from fedlora.audit import NOTHING, Audit, Event, person, read_entries, verify
from fedlora.cli.main import application
from fedlora.errors import AuditError, ConfigurationError
from fedlora.settings_file import write_settings

LINES = 6


@pytest.fixture
def log(tmp_path) -> Path:
    """A log of six lines."""
    file = tmp_path / "site" / "audit.jsonl"
    for number in range(1, LINES + 1):
        Audit(file, "worker").note(Event.ROUND_TRAINED, run="tweets", round=number)
    return file


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def lines_of(log: Path) -> list[bytes]:
    return log.read_bytes().splitlines(keepends=True)


def reforged(line: bytes, **changes: object) -> bytes:
    """The line of somebody who knows how a seal is made."""
    fields = {**json.loads(line), **changes}
    fields.pop("seal")
    text = json.dumps(fields)
    return f'{text[:-1]}, "seal": "{sha256(text.encode())}"}}\n'.encode()


def command(*arguments: object):
    return CliRunner().invoke(application, ["audit", *map(str, arguments)])


def test_a_line_says_who_what_and_when_and_has_the_hash_of_the_one_before(log):
    first, second = list(read_entries(log))[:2]
    assert (first.number, first.by, first.what, first.before) == (1, "worker", "round.trained", NOTHING)
    assert first.about == {"run": "tweets", "round": 1}
    assert second.before == sha256(lines_of(log)[0].rstrip(b"\n"))
    found = verify(log)
    assert (found.lines, found.head, found.problem) == (LINES, sha256(lines_of(log)[-1].rstrip(b"\n")), "")
    assert log.stat().st_mode & 0o777 == 0o600


def changed(lines, place):
    lines[place] = lines[place].replace(b"tweets", b"fleets")


def forged(lines, place):
    lines[place] = reforged(lines[place], by="user ada")


def removed(lines, place):
    del lines[place]


def doubled(lines, place):
    lines.insert(place, lines[place])


def put_between(lines, place):
    lines.insert(place, reforged(lines[place], what="run.stopped"))


def garbled(lines, place):
    lines[place] = b"{}\n"


def exchanged(lines, place):
    lines[place], lines[place + 1] = lines[place + 1], lines[place]


@pytest.mark.parametrize("place", [0, 2, LINES - 2])
@pytest.mark.parametrize(
    ("do", "line", "words"),
    [
        (changed, 1, "was changed: its hash is another"),
        (forged, 1, "was changed: the line after it has the hash of another"),
        (removed, 1, "was removed, or more"),
        (doubled, 2, "was inserted"),
        (put_between, 1, "was inserted"),
        (garbled, 1, "was changed: it is no entry"),
        (exchanged, 1, "was removed, or more"),
    ],
)
def test_the_first_line_that_is_not_as_it_was_written_is_named(log, do, line, words, place):
    lines = lines_of(log)
    do(lines, place)
    log.write_bytes(b"".join(lines))
    found = verify(log)
    assert (found.line, found.problem[: len(words)]) == (place + line, words)
    assert found.lines == place + line - 1
    result = command("verify", log)
    assert isinstance(result.exception, AuditError)
    assert f"line {place + line} {words}" in str(result.exception)


def test_the_last_line_changed_shows_by_its_own_hash(log):
    lines = lines_of(log)
    changed(lines, -1)
    log.write_bytes(b"".join(lines))
    assert (verify(log).line, verify(log).problem) == (LINES, "was changed: its hash is another")


def test_an_end_that_was_cut_off_shows_by_a_head_that_was_kept_alone(log):
    head = verify(log).head
    log.write_bytes(b"".join(lines_of(log)[:-2]))
    assert verify(log).problem == ""  # the chain alone cannot tell, and the page says so
    found = verify(log, head)
    assert found.line == LINES - 1
    assert found.problem.startswith("has been cut off")
    assert isinstance(command("verify", log, "--head", head).exception, AuditError)


def test_a_head_that_was_kept_stays_good_while_the_log_grows(log):
    head = verify(log).head
    Audit(log, "worker").note(Event.ROUND_TRAINED, round=7)
    assert verify(log, head).problem == ""
    assert isinstance(command("verify", log, "--head", head.upper()).exception, ConfigurationError)


def test_a_line_that_was_written_half_is_named_and_then_mended(log):
    whole = log.read_bytes()
    log.write_bytes(whole[:-30])
    assert (verify(log).line, verify(log).problem[:28]) == (LINES, "is cut off in the middle: it")
    Audit(log, "keeper").note(Event.RUN_STOPPED, run="tweets")
    found = list(read_entries(log))
    assert [(entry.number, entry.what) for entry in found[-2:]] == [(LINES, "log.mended"), (LINES + 1, "run.stopped")]
    torn = whole[whole[:-1].rindex(b"\n") + 1 : -30]
    assert found[-2].about == {"bytes": len(torn), "sha256": sha256(torn)}
    assert verify(log).problem == ""


def test_a_line_that_lacks_its_break_alone_is_kept(log):
    log.write_bytes(log.read_bytes()[:-1])
    Audit(log, "keeper").note(Event.RUN_STOPPED, run="tweets")
    assert [entry.number for entry in read_entries(log)] == list(range(1, LINES + 2))
    assert verify(log).problem == ""


def test_the_log_goes_on_after_a_line_that_somebody_has_spoilt(log):
    lines = lines_of(log)
    garbled(lines, -1)
    log.write_bytes(b"".join(lines))
    Audit(log, "keeper").note(Event.RUN_STOPPED, run="tweets")
    assert verify(log).line == LINES
    assert json.loads(lines_of(log)[-1])["number"] == LINES + 1


def test_processes_that_write_at_once_lose_no_line(tmp_path):
    file = tmp_path / "audit.jsonl"
    program = (
        "import sys; from pathlib import Path; from fedlora.audit import Audit, Event\n"
        "log = Audit(Path(sys.argv[1]), sys.argv[2])\n"
        "for number in range(25): log.note(Event.ROUND_TRAINED, round=number)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(file), f"part-{one}"]) for one in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert verify(file).lines == 75
    assert verify(file).problem == ""
    for one in range(3):
        own = [entry.about["round"] for entry in read_entries(file) if entry.by == f"part-{one}"]
        assert own == list(range(25))


def test_words_of_others_are_cut_and_cannot_steer_a_terminal(tmp_path):
    file = tmp_path / "audit.jsonl"
    Audit(file, "worker").note(Event.RUN_REFUSED, reason="\x1b[2J\n" + "x" * 10_000, sites=["a\n"] * 1000)
    (entry,) = read_entries(file)
    assert entry.about["reason"].startswith("\\x1b[2J\\n")
    assert len(entry.about["reason"]) == 500
    assert entry.about["sites"] == ["a\\n"] * 200
    assert verify(file).problem == ""


def test_a_change_is_noted_once(tmp_path):
    log = Audit(tmp_path / "audit.jsonl", "supernode")
    for sha in ("a", "a", "b", "b", "a"):
        log.note_change(Event.POLICY_CHANGED, "the policy", sha)
        log.note_change(Event.KEY_CHANGED, "the key", "k")
    noted = [(entry.about["sha256"], entry.about["before"]) for entry in log.entries() if entry.what[:6] == "policy"]
    assert noted == [("a", "none"), ("b", "a"), ("a", "b")]
    assert len(log.entries()) == 4


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/full").exists(), reason="makes a device file")
def test_a_disk_that_takes_nothing_is_an_error_or_a_line_in_the_log(tmp_path, caplog, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(audit.os, "fsync", full)
    log = Audit(tmp_path / "audit.jsonl", "keeper")
    with pytest.raises(AuditError, match="cannot be written: No space left on device"):
        log.note(Event.RUN_STOPPED, run="tweets")
    log.note_if_possible(Event.RUN_STOPPED, run="tweets")
    assert "not noted: run.stopped {'run': 'tweets'}" in caplog.text


def test_show_and_verify(log, tmp_path):
    Audit(log, person()).note(Event.SITE_PAUSED, site="bank", reason="maintenance")
    shown = command("show", log.parent, "--what", "site")
    assert shown.exit_code == 0, shown.exception
    assert shown.stdout.split("site.paused")[1].strip() == f"{person()}: site bank, reason maintenance"
    found = json.loads(command("show", log, "--last", "2", "--format", "json").stdout)
    assert [(one["number"], one["what"]) for one in found] == [(6, "round.trained"), (7, "site.paused")]
    assert f"{LINES + 1} lines, each as it was written" in command("verify", log).stdout
    about = json.loads(command("verify", log, "--format", "json").stdout)
    assert (about["lines"], about["problem"], about["head"]) == (LINES + 1, "", verify(log).head)
    settings = {
        "site": "bank",
        "domain": "finance",
        "superlink": "h:1",
        "runtime-port": 9094,
        "state": log.parent,
        **dict.fromkeys(("ca-certificate", "node-key", "superexec-secret", "trainer"), tmp_path / "none"),
    }
    write_settings(settings, tmp_path / "supernode.toml")
    assert command("verify", tmp_path).exit_code == 0  # by the site's folder
    missing = command("show", tmp_path / "nothing")
    assert isinstance(missing.exception, AuditError)
    assert "there is no audit log" in str(missing.exception)
