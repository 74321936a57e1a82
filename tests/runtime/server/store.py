"""The server's memory in SQLite: what it has answered survives its own kill -9."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (one INTEGER PRIMARY KEY CHECK (one = 1), value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    token TEXT PRIMARY KEY,
    expires REAL NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT UNIQUE NOT NULL,
    crn TEXT NOT NULL,
    backend TEXT NOT NULL,
    program TEXT NOT NULL,
    params TEXT NOT NULL,
    payload_sha256 TEXT NOT NULL,
    tags TEXT NOT NULL,
    session_id TEXT,
    cost INTEGER,
    private INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL,
    reason TEXT,
    reason_code INTEGER,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    result TEXT,
    estimate REAL NOT NULL DEFAULT 0,
    charged REAL NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS jobs_status ON jobs (status);
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY,
    crn TEXT NOT NULL,
    backend TEXT NOT NULL,
    mode TEXT NOT NULL,
    max_ttl INTEGER,
    created REAL NOT NULL,
    accepting INTEGER NOT NULL DEFAULT 1,
    closed REAL
);
"""

PENDING = ("Queued", "Running")
FINAL = ("Completed", "Failed", "Cancelled")


class Store:
    """One connection, one lock: the load is a handful of tests."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(str(path), check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)
        # A job that was running when the server was killed runs again; it has not been charged.
        self._db.execute(
            "UPDATE jobs SET status = 'Queued', started = NULL WHERE status = 'Running'"
        )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        with self._lock:
            return self._db.execute(sql, values).fetchone()

    def change(self, sql: str, *values: object) -> int:
        """Run one statement; the number of rows it changed."""
        with self._lock:
            return self._db.execute(sql, values).rowcount

    def read_settings(self) -> dict[str, object] | None:
        row = self.one("SELECT value FROM settings")
        return None if row is None else json.loads(row["value"])

    def write_settings(self, values: dict[str, object]) -> None:
        self.change("INSERT OR REPLACE INTO settings VALUES (1, ?)", json.dumps(values))

    def end_session(self, session_id: str) -> None:
        """Close a session by the service: what is queued fails with 1217, uncharged."""
        now = time.time()
        with self.transaction():
            self.change(
                "UPDATE sessions SET accepting = 0, closed = ? WHERE id = ? AND closed IS NULL",
                now,
                session_id,
            )
            self.change(
                "UPDATE jobs SET status = 'Failed', reason = 'the session has been closed', "
                "reason_code = 1217, result = 'the session has been closed', ended = ? "
                "WHERE session_id = ? AND status = 'Queued'",
                now,
                session_id,
            )

    def charged_seconds(self) -> float:
        row = self.one("SELECT COALESCE(SUM(charged), 0) AS total FROM jobs")
        assert row is not None
        return float(row["total"])
