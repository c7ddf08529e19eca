"""Flower's own programs in our process."""

import sqlite3

from flwr.supercore import sql_mixin

from superlink import engine


def test_writers_wait_a_minute_for_each_other_and_all_else_is_as_flower_has_it(monkeypatch):
    monkeypatch.setattr(sql_mixin, "SQLITE_PRAGMAS", before := sql_mixin.SQLITE_PRAGMAS)
    engine._be_patient()
    connection = sqlite3.connect(":memory:")
    sql_mixin._set_sqlite_pragmas(connection, None)
    assert connection.execute("PRAGMA busy_timeout").fetchone() == (60_000,)
    connection.close()
    assert dict(sql_mixin.SQLITE_PRAGMAS) == {**dict(before), "busy_timeout": "60000"}
