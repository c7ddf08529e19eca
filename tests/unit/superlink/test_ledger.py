import sqlite3
import threading

import pytest

from fedlora.errors import ReplacedError, RunError
from fedlora.metrics.sample import Sample, write_samples
from superlink.ledger import Ledger, Report, Spending, SubmissionRow, TurnRow
from superlink.migrations import MIGRATIONS


def test_what_is_noted_can_be_read_while_it_is_written(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.start_attempt(1, 2**63 + 5)  # Flower's ids do not fit SQLite's integers
    ledger.start_round(1, 1, ["a", "b"])
    ledger.sent(1, 1, ["a", "b"], 100)
    reader = Ledger(tmp_path / "ledger.sqlite", readonly=True)
    assert [turn.outcome for turn in reader.turns()] == ["asked", "asked"]
    phases = {"load": 0.25, "train": 1.5, "transfer": 0.75}
    done = {"examples": 16, "loss": 0.5, "round_trip_seconds": 2.5, "tokens": 320, "phases": phases}
    done["figures"] = {"padded_tokens": 400.0, "gpu_joules": 12.5}
    ledger.sent(1, 1, ["a"], 100)
    ledger.dropped(1, 1, "a", 80)
    ledger.end_turn(TurnRow(1, 1, "a", "answered", bytes_up=90, **done))
    ledger.end_round(1, 1, "aggregated", {"wait": 2.5, "checkpoint": 0.5})
    ledger.end_attempt(1, "completed")
    first, second = reader.turns()
    assert first == TurnRow(1, 1, "a", "answered", tries=2, dropped=1, bytes_down=200, bytes_up=170, **done)
    assert (first.train_seconds, second.train_seconds) == (1.5, None)
    assert reader.payload_bytes() == 470
    assert second.outcome == "asked"
    assert (reader.rounds()[0].state, reader.rounds()[0].phases) == ("aggregated", {"wait": 2.5, "checkpoint": 0.5})
    assert reader.rounds()[0].ended_at >= reader.rounds()[0].started_at
    (attempt,) = reader.attempts()
    assert (attempt.epoch, attempt.flower_run, attempt.outcome) == (1, 2**63 + 5, "completed")
    assert attempt.forecast_bytes is None
    ledger.forecast(1, 4000)
    assert reader.attempts()[0].forecast_bytes == 4000


def test_what_flower_has_counted_is_noted_by_attempt(tmp_path, monkeypatch):
    monkeypatch.setattr("superlink.ledger.time.time", lambda: 5.0)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for epoch in (1, 2):
        ledger.start_submission(epoch)
    ledger.end_submission(1, 2**63 + 5)
    ledger.note_traffic(1, 100, 50, final=False)
    ledger.note_traffic(1, 200, 90, final=True)
    assert ledger.submissions() == [SubmissionRow(1, 5.0, 2**63 + 5, 200, 90, True), SubmissionRow(2, 5.0, None)]


def test_of_what_a_node_tells_the_last_stays(tmp_path, monkeypatch):
    clock = iter((5.0, 6.0, 7.0))
    monkeypatch.setattr("superlink.ledger.time.time", lambda: next(clock))
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert ledger.reports() == {}
    threads = [Sample("fedlora_threads", number, {"part": "trainer"}) for number in (8.0, 9.0)]
    ledger.report("b", write_samples(threads[:1]), 0.5)
    ledger.report("a", {}, None)
    ledger.report("b", {**write_samples(threads[1:]), "loss": 1.0}, -0.25)
    assert ledger.reports() == {"a": Report("a", 6.0, None, ()), "b": Report("b", 7.0, -0.25, (threads[1],))}


def test_a_reader_sees_that_somebody_else_has_written(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    reader = Ledger(tmp_path / "ledger.sqlite", readonly=True)
    before = reader.version()
    assert reader.version() == before
    ledger.start_attempt(1, 1)
    assert reader.version() != before


def test_what_a_run_has_used_counts_all_attempts(tmp_path, monkeypatch):
    clock = iter(range(100, 200, 10))
    monkeypatch.setattr("superlink.ledger.time.time", lambda: float(next(clock)))
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert ledger.spending() == Spending()
    ledger.start_attempt(1, 1)  # takes two looks at the clock before its own: 100 ends others, 110 begins, 120 is seen
    ledger.start_round(1, 1, ["a"])  # 130
    ledger.sent(1, 1, ["a"], 7)
    ledger.end_round(1, 1, "aggregated")  # 140
    ledger.start_attempt(2, 2)  # 150 to 170
    ledger.start_round(2, 2, ["a"])  # 180
    ledger.sent(2, 2, ["a"], 7)
    assert ledger.spending() == Spending(bytes=14, rounds=2, seconds=80.0, round_seconds=10.0)  # at 190


def test_a_ledger_of_a_newer_kit_is_refused(tmp_path):
    file = tmp_path / "ledger.sqlite"
    Ledger(file).close()
    with sqlite3.connect(file) as database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()
    with pytest.raises(RunError, match=f"has version {len(MIGRATIONS) + 1}, this kit knows {len(MIGRATIONS)}"):
        Ledger(file)


def test_the_ledger_of_an_older_kit_keeps_what_it_has(tmp_path):
    file = tmp_path / "ledger.sqlite"
    with sqlite3.connect(file) as database:
        database.executescript(MIGRATIONS[0])
        database.execute("PRAGMA user_version = 1")
        database.execute("INSERT INTO attempts (epoch, flower_run, started_at, seen_at) VALUES (1, '1', 0.0, 0.0)")
        database.execute("INSERT INTO rounds (number, epoch, started_at) VALUES (1, 1, 0.0)")
        database.executemany(
            "INSERT INTO turns (round, epoch, site, train_seconds, bytes_up) VALUES (1, 1, ?, ?, 90)",
            [("a", 1.5), ("b", None)],
        )
    database.close()
    ledger = Ledger(file)
    assert ledger.turns() == [
        TurnRow(1, 1, "a", "asked", bytes_up=90, phases={"train": 1.5}),
        TurnRow(1, 1, "b", "asked", bytes_up=90),
    ]
    ledger.close()
    assert Ledger(file, readonly=True).turns()[0].train_seconds == 1.5


def test_a_phase_is_noted_once(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.start_attempt(1, 1)
    ledger.start_round(1, 1, ["a"])
    turn = TurnRow(1, 1, "a", "answered", bytes_up=90, phases={"train": 1.5})
    ledger.end_turn(turn)
    with pytest.raises(sqlite3.IntegrityError):
        ledger.end_turn(turn)
    assert ledger.turns()[0].bytes_up == 90  # the second time did nothing at all
    ledger.end_round(1, 1, "failed", {"wait": 1.0})
    with pytest.raises(sqlite3.IntegrityError):
        ledger.end_round(1, 1, "failed", {"wait": 1.0})


def test_a_reader_makes_no_ledger(tmp_path):
    with pytest.raises(RunError, match="cannot be opened"):
        Ledger(tmp_path / "none.sqlite", readonly=True)
    assert not list(tmp_path.iterdir())


def test_a_round_is_begun_whole_or_not_at_all(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.start_attempt(1, 1)
    ledger.start_round(1, 1, ["a"])
    with pytest.raises(sqlite3.IntegrityError):
        ledger.start_round(1, 1, ["b"])
    assert [turn.site for turn in ledger.turns()] == ["a"]


def test_a_newer_attempt_ends_the_older_one_and_fences_it(tmp_path):
    old, new = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "ledger.sqlite")
    old.start_attempt(1, 11)
    old.start_round(1, 1, ["a"])
    new.start_attempt(2, 22)
    for late in (lambda: old.start_round(2, 1, ["a"]), lambda: old.start_attempt(1, 11)):
        with pytest.raises(ReplacedError, match=r"epoch 1 (is over|comes too late): epoch 2 has begun"):
            late()
    with pytest.raises(ReplacedError), old.fence(1):
        raise AssertionError("an attempt that is over came in")
    old.end_attempt(1, "completed")  # what the replaced one says of itself does not count
    assert [(row.epoch, row.outcome, row.reason) for row in new.attempts()] == [
        (1, "lost", "replaced by epoch 2"),
        (2, "running", ""),
    ]
    new.start_round(1, 2, ["a"])  # the round that the first left unfinished


def test_a_round_is_aggregated_once(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for epoch in (1, 2):
        ledger.start_attempt(epoch, epoch)
        ledger.start_round(1, epoch, ["a"])
    ledger.end_round(1, 1, "aggregated")
    with pytest.raises(sqlite3.IntegrityError):
        ledger.end_round(1, 2, "aggregated")


def test_what_fails_inside_the_fence_leaves_nothing(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.start_attempt(1, 1)
    ledger.start_round(1, 1, ["a"])
    with pytest.raises(RuntimeError), ledger.fence(1):
        ledger.end_round(1, 1, "aggregated")
        raise RuntimeError("the rename failed")
    assert ledger.rounds()[0].state == "training"


def test_a_ledger_that_another_process_holds_is_waited_for_and_then_named(tmp_path, monkeypatch):
    monkeypatch.setattr("superlink.ledger.BUSY_SECONDS", 0.2)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RunError, match="cannot be written: database is locked"):
            ledger.start_attempt(1, 1)
        other.execute("ROLLBACK")
    other.close()
    ledger.start_attempt(1, 1)


def test_a_reader_waits_for_a_ledger_that_is_just_being_made(tmp_path, monkeypatch):
    file = tmp_path / "ledger.sqlite"
    sqlite3.connect(file).close()
    file.touch()  # there, and without a table
    writer = threading.Timer(0.3, lambda: Ledger(file).close())
    writer.start()
    assert Ledger(file, readonly=True).rounds() == []
    writer.join()
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    monkeypatch.setattr("superlink.ledger.BUSY_SECONDS", 0.2)
    with pytest.raises(RunError, match="has version 0, and nobody has brought it to 4"):
        Ledger(empty, readonly=True)


def test_a_lock_that_sqlite_does_not_wait_for_is_waited_for(tmp_path, monkeypatch):
    """Two that set a new file's journal mode at once: SQLite gives up without waiting. Here it never waits."""
    file = tmp_path / "ledger.sqlite"
    Ledger(file).close()
    connect = sqlite3.connect
    monkeypatch.setattr("superlink.ledger.sqlite3.connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0}))
    locked, release = threading.Event(), threading.Event()

    def hold():
        other = sqlite3.connect(file)
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        locked.set()
        release.wait()
        other.execute("ROLLBACK")
        other.close()

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait()
    threading.Timer(0.5, release.set).start()
    for readonly in (True, False):
        ledger = Ledger(file, readonly=readonly)
        assert ledger.rounds() == []
        ledger.close()
    holder.join()


def test_many_may_open_a_new_ledger_at_once(tmp_path):
    errors: list[Exception] = []
    ready = threading.Barrier(8)

    def open_it():
        ready.wait()
        try:
            Ledger(tmp_path / "ledger.sqlite").close()
        except RunError as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Ledger(tmp_path / "ledger.sqlite").rounds() == []
