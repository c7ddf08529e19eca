"""The ledger's schema, as the steps that lead to it."""

__all__ = ["MIGRATIONS"]

# Each entry brings the schema from its number to the next; none is ever changed once it is released.
MIGRATIONS = (
    """
    CREATE TABLE attempts (
        epoch INTEGER PRIMARY KEY, flower_run TEXT NOT NULL, started_at REAL NOT NULL, seen_at REAL NOT NULL,
        ended_at REAL, outcome TEXT NOT NULL DEFAULT 'running', reason TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE TABLE submissions (
        epoch INTEGER PRIMARY KEY, submitted_at REAL NOT NULL, flower_run TEXT
    ) STRICT;
    CREATE TABLE rounds (
        number INTEGER NOT NULL, epoch INTEGER NOT NULL REFERENCES attempts, started_at REAL NOT NULL,
        ended_at REAL, state TEXT NOT NULL DEFAULT 'training', PRIMARY KEY (number, epoch)
    ) STRICT;
    CREATE UNIQUE INDEX aggregated_once ON rounds (number) WHERE state = 'aggregated';
    CREATE TABLE turns (
        round INTEGER NOT NULL, epoch INTEGER NOT NULL, site TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT 'asked',
        reason TEXT NOT NULL DEFAULT '', tries INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0,
        examples INTEGER NOT NULL DEFAULT 0,
        loss REAL, train_seconds REAL, round_trip_seconds REAL, tokens INTEGER,
        bytes_down INTEGER NOT NULL DEFAULT 0, bytes_up INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (round, epoch, site), FOREIGN KEY (round, epoch) REFERENCES rounds (number, epoch)
    ) STRICT;
    """,
    # Seconds by phase (fedlora/phases.py), of a site's turn, or of the round at the coordinator where `site` is NULL.
    """
    CREATE TABLE phases (
        round INTEGER NOT NULL, epoch INTEGER NOT NULL, site TEXT, phase TEXT NOT NULL, seconds REAL NOT NULL,
        FOREIGN KEY (round, epoch) REFERENCES rounds (number, epoch)
    ) STRICT;
    CREATE UNIQUE INDEX phase_once ON phases (round, epoch, COALESCE(site, ''), phase);
    INSERT INTO phases SELECT round, epoch, site, 'train', train_seconds FROM turns WHERE train_seconds IS NOT NULL;
    ALTER TABLE turns DROP COLUMN train_seconds;
    """,
    # What sites say of their turns, what their nodes told last, what was forecast, and Flower's own counters.
    """
    ALTER TABLE turns ADD COLUMN figures TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE attempts ADD COLUMN forecast_bytes INTEGER;
    CREATE TABLE reports (
        site TEXT PRIMARY KEY, at REAL NOT NULL, clock_skew REAL, samples TEXT NOT NULL
    ) STRICT;
    ALTER TABLE submissions ADD COLUMN flower_bytes_down INTEGER;
    ALTER TABLE submissions ADD COLUMN flower_bytes_up INTEGER;
    ALTER TABLE submissions ADD COLUMN flower_final INTEGER NOT NULL DEFAULT 0;
    """,
    # What the coordinator found of updates (superlink/screening.py), as JSON.
    """
    ALTER TABLE turns ADD COLUMN examined TEXT NOT NULL DEFAULT '{}';
    """,
)
