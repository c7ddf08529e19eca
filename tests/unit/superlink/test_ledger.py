import sqlite3

import pytest

from fedlora.errors import RunError
from superlink.ledger import MIGRATIONS, Ledger, TurnRow


def test_what_is_noted_can_be_read_while_it_is_written(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.start_attempt(1, 2**63 + 5)  # Flower's ids do not fit SQLite's integers
    ledger.start_round(1, 1, {"a": 100, "b": 100})
    reader = Ledger(tmp_path / "ledger.sqlite", readonly=True)
    assert [turn.outcome for turn in reader.turns()] == ["asked", "asked"]
    answered = TurnRow(1, "a", "answered", "", 16, 0.5, 1.5, 2.5, 320, 0, 90)
    ledger.end_turn(answered)
    ledger.end_round(1, "aggregated")
    ledger.end_attempt(1, "completed")
    first, second = reader.turns()
    assert first == TurnRow(1, "a", "answered", "", 16, 0.5, 1.5, 2.5, 320, 100, 90)
    assert second.outcome == "asked"
    assert reader.rounds()[0].state == "aggregated"
    assert reader.rounds()[0].ended_at >= reader.rounds()[0].started_at


def test_a_ledger_of_a_newer_kit_is_refused(tmp_path):
    file = tmp_path / "ledger.sqlite"
    Ledger(file).close()
    with sqlite3.connect(file) as database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()
    with pytest.raises(RunError, match=f"has version {len(MIGRATIONS) + 1}, this kit knows {len(MIGRATIONS)}"):
        Ledger(file)


def test_a_reader_makes_no_ledger(tmp_path):
    with pytest.raises(RunError, match="cannot be opened"):
        Ledger(tmp_path / "none.sqlite", readonly=True)
    assert not list(tmp_path.iterdir())


def test_a_round_is_begun_whole_or_not_at_all(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.start_attempt(1, 1)
    ledger.start_round(1, 1, {"a": 1})
    with pytest.raises(sqlite3.IntegrityError):
        ledger.start_round(1, 1, {"b": 1})
    assert [turn.site for turn in ledger.turns()] == ["a"]
