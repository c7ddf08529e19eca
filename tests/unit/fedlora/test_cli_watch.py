"""`fedlora run watch` on a terminal: the picture of a run, and the terminal that it is drawn on."""

import os
import signal
import subprocess
from io import StringIO

import pytest
from rich.console import Console
from terminal import COLOUR, FEDLORA, on_a_terminal, restored

from fedlora.cli.run.live import Snapshot, look, picture
from fedlora.cli.run.summary import Summary
from superlink.ledger import AttemptRow, Ledger, RoundRow, TurnRow

SUBMIT = ("submit", "tweets")
MEBI = 2**20


def summary(**changes):
    values = {"name": "tweets", "state": "running", "reason": "", "domain": "finance", "sites": ("a", "b")}
    figures = {"rounds_done": 1, "rounds": 4, "epoch": 2, "payload_bytes": 10 * MEBI, "budget_bytes": 40 * MEBI}
    return Summary(**{**values, **figures, "submitted_at": 0.0, **changes})


def attempt(epoch, outcome="running", reason=""):
    return AttemptRow(epoch, 70 + epoch, 0.0, 10.0, None if outcome == "running" else 90.0, outcome, reason)


def snapshot(**changes):
    """Attempt 1 aggregated round 1 and was lost in round 2; attempt 2 is 10 s into its round 2."""
    return Snapshot(
        summary(**changes),
        [attempt(1, "lost", "its ServerApp has been silent for 16 s"), attempt(2)],
        [
            RoundRow(1, 1, 10.0, 40.0, "aggregated"),
            RoundRow(2, 1, 40.0, None, "training"),
            RoundRow(2, 2, 100.0, None, "training"),
        ],
        [
            TurnRow(1, 1, "a", "answered", loss=1.5, round_trip_seconds=20.0),
            TurnRow(1, 1, "b", "refused", "update refused: \x1b[31mtoo\nlarge", loss=1.0, round_trip_seconds=30.0),
            TurnRow(2, 1, "a", "asked", tries=1),
            TurnRow(2, 2, "a", "answered", tries=2, loss=1.25, round_trip_seconds=8.4),
            TurnRow(2, 2, "b", "asked", tries=1),
        ],
        now=110.0,
    )


def text(shown, width=80, height=24):
    file = StringIO()
    Console(file=file, width=width, color_system=None).print(picture(shown, height))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return [line.rstrip() for line in lines]


def test_a_run_under_way():
    assert text(snapshot()) == [
        "run tweets: running, attempt 2",
        "round 2 of 4  ━━━━━━                    25 % aggregated",
        "",
        "site     outcome    loss  seconds  asked",
        "a        answered  1.250        8      2",
        "b        training              10      1",
        "",
        "payload        10.0 MiB of 40.0 MiB  ━━━━━━                    25 % used",
        "a round takes  30.0 s, mean of 1",
        "time left      about 1 min 20 s",
        r"round 1 of 4, b: refused, update refused: \x1b[31mtoo\nlarge",
        "attempt 1: lost, its ServerApp has been silent for 16 s",
    ]


def test_a_narrow_terminal_has_the_same_on_as_many_lines():
    assert text(snapshot(), width=42) == [
        "run tweets: running, attempt 2",
        "round 2 of 4  ━━╸          25 % aggregated",
        "",
        "site     outcome    loss  seconds  asked",
        "a        answered  1.250        8      2",
        "b        training              10      1",
        "",
        "payload        10.0 MiB of 40.0 …  25 % u…",
        "a round takes  30.0 s, mean of 1",
        "time left      about 1 min 20 s",
        r"round 1 of 4, b: refused, update refused:…",
        "attempt 1: lost, its ServerApp has been s…",
    ]


@pytest.mark.parametrize("width", [1, 5, 20])
def test_no_width_is_too_small(width):
    assert text(snapshot(), width=width)


@pytest.mark.parametrize(
    ("state", "attempts", "said"),
    [
        ("queued", [], "waiting for its turn"),
        ("running", [attempt(1)], "waiting until all sites are online and agree on what they train"),
        ("running", [attempt(1, "lost", "gone")], "waiting for the next attempt"),
        ("stopped", [], "no round was begun"),
    ],
)
def test_before_the_first_round_it_says_what_is_waited_for(state, attempts, said):
    about = summary(state=state, rounds_done=0, epoch=len(attempts), payload_bytes=0, budget_bytes=0)
    lines = text(Snapshot(about, attempts, [], [], now=110.0))
    number = f"attempt {len(attempts)}" if attempts else "no attempt yet"
    assert lines[:6] == [f"run tweets: {state}, {number}", lines[1], "", said, "", "payload        0.0 MiB, no budget"]
    assert lines[1].split() == ["round", "0", "of", "4", "0", "%", "aggregated"]
    left = ["time left      unknown"] if state != "stopped" else []
    assert lines[6:8] == ["a round takes  unknown before the first", *left]


def test_sites_that_cannot_answer_any_more_are_not_training():
    lost = snapshot()
    lost = Snapshot(lost.summary, [lost.attempts[0], attempt(2, "lost", "gone")], lost.rounds, lost.turns, lost.now)
    assert text(lost)[5] == "b        unanswered                      1"
    assert text(lost)[9] == "time left      about 1 min 30 s"


def test_an_attempt_without_a_round_shows_none_of_the_attempt_before():
    before = snapshot()
    lines = text(Snapshot(before.summary, before.attempts, before.rounds[:2], before.turns[:3], before.now))
    assert lines[1:4] == [
        "round 1 of 4  ━━━━━━                    25 % aggregated",
        "",
        "waiting until all sites are online and agree on what they train",
    ]


def test_a_failed_round_says_nothing_about_how_long_rounds_take():
    failed = Snapshot(summary(epoch=1), [attempt(1)], [RoundRow(1, 1, 0.0, 9.0, "failed")], [], 110.0)
    assert "time left      unknown" in text(failed)


def test_an_ended_run_has_no_time_left_and_a_full_bar():
    shown = text(snapshot(state="completed", rounds_done=4, payload_bytes=50 * MEBI))
    assert shown[1] == f"round 2 of 4  {'━' * 24}  100 % aggregated"
    assert shown[7] == f"payload        50.0 MiB of 40.0 MiB  {'━' * 24}  125 % used"
    assert not [line for line in shown if line.startswith("time left")]


@pytest.mark.parametrize(
    ("rounds", "now", "said"),
    [
        (2, 100.0, "30 s"),
        (2, 131.0, "0 s after this round, which takes longer"),
        (3, 500.0, "30 s after this round, which takes longer"),
        (4, 110.0, "1 min 20 s"),
        (22, 130.0, "10 min"),
        (40, 110.0, "19 min"),
        (141, 130.0, "1 h 10 min"),
        (5762, 100.0, "2 d 0 h"),
    ],
)
def test_time_left_is_estimated_from_aggregated_rounds(rounds, now, said):
    before = snapshot(rounds=rounds)
    shown = Snapshot(before.summary, before.attempts, before.rounds, before.turns, now)
    assert text(shown)[9] == f"time left      about {said}"


def test_many_sites_fit_the_terminal_and_those_that_owe_an_answer_come_first():
    sites = [f"site-{number:02}" for number in range(20)]
    turns = [TurnRow(1, 1, site, "asked" if site > "site-17" else "answered", tries=1, loss=1.0) for site in sites]
    about = summary(epoch=1, rounds_done=0, budget_bytes=0)
    shown = Snapshot(about, [attempt(1)], [RoundRow(1, 1, 100.0, None, "training")], turns, now=110.0)
    lines = text(shown, height=18)
    assert [line.split()[:2] for line in lines[4:12]] == [
        *(["site-18", "training"], ["site-19", "training"]),
        *([site, "answered"] for site in sites[:5]),
        ["13", "more"],
    ]
    assert lines[11] == "13 more  13 answered"
    assert len(lines) <= 18
    assert len(text(shown, height=5)) == 3 + 4 + 1 + 3
    assert [line.split()[0] for line in text(shown, height=99)[4:24]] == sites


def test_only_the_last_notable_lines_are_shown():
    rounds = [RoundRow(number, 1, 0.0, 1.0, "aggregated") for number in range(1, 9)]
    turns = [TurnRow(number, 1, "a", "late", f"reason {number}") for number in range(1, 9)]
    shown = text(Snapshot(summary(epoch=1), [attempt(1)], rounds, turns, now=110.0))
    assert shown[-5:] == [f"round {number} of 4, a: late, reason {number}" for number in range(4, 9)]


def begin(run, folder, *, outcome):
    run(*SUBMIT)
    ledger = Ledger(folder.ledger)
    ledger.start_attempt(1, 77)
    ledger.start_round(1, 1, ["a"])
    ledger.sent(1, 1, ["a"], MEBI)
    ledger.end_turn(TurnRow(1, 1, "a", "answered", loss=1.0, round_trip_seconds=2.0, phases={"train": 1.0}))
    ledger.end_round(1, 1, "aggregated")
    if outcome:
        ledger.end_attempt(1, outcome, "BudgetError: no more")
    ledger.close()


def test_look_reads_the_folder(run, folder):
    run(*SUBMIT)
    queued = look(folder, 5.0)
    assert (queued.summary.state, queued.attempts, queued.current, queued.now) == ("queued", [], None, 5.0)
    (folder.directory / "run.json").unlink()
    begin(run, folder, outcome=None)
    running = look(folder, 5.0)
    assert (running.summary.rounds_done, running.current.number, len(running.turns)) == (1, 1, 1)


@pytest.mark.parametrize(("outcome", "code"), [("completed", 0), ("failed", 65)])
def test_on_a_terminal_the_last_picture_and_the_last_line_stay(run, folder, outcome, code):
    begin(run, folder, outcome=outcome)
    with on_a_terminal("run", "watch", "tweets", "--runs", str(folder.runs)) as (process, read):
        drawn = read()
        assert process.returncode == code
    assert restored(drawn)
    stays = drawn.partition(b"\x1b[?1049l")[2]
    assert b"a round takes" in stays
    assert f"run tweets: {outcome}, 1 of 2 rounds, 1.0 MiB of payload\r\n".encode() in stays


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_gives_the_terminal_back(run, folder, number):
    begin(run, folder, outcome=None)
    with on_a_terminal("run", "watch", "tweets", "--runs", str(folder.runs)) as (process, read):
        drawn = read(b"time left")
        process.send_signal(number)
        drawn += read()
        assert process.returncode == 130
    assert restored(drawn)
    assert "time left      about" in COLOUR.sub("", drawn.partition(b"\x1b[?1049l")[2].decode())


def test_a_terminal_that_cannot_be_drawn_on_gets_lines(run, folder):
    begin(run, folder, outcome="completed")
    with on_a_terminal("run", "watch", "tweets", "--runs", str(folder.runs), TERM="dumb") as (process, read):
        drawn = read()
        assert process.returncode == 0
    assert drawn.decode().splitlines() == [
        "attempt 1: begun",
        "round 1 of 2, a: answered, loss 1.000 in 1 s",
        "run tweets: completed, 1 of 2 rounds, 1.0 MiB of payload",
    ]


def test_what_is_no_terminal_gets_lines_whatever_the_environment_says(run, folder):
    begin(run, folder, outcome="completed")
    command = [FEDLORA, "run", "watch", "tweets", "--runs", str(folder.runs)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "FORCE_COLOR": "1"}, check=True)
    assert done.stdout.splitlines()[0] == "attempt 1: begun"
    assert "\x1b" not in done.stdout
