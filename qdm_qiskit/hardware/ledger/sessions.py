"""Sessions in the ledger: opened, closed, left behind, and their cost beyond that of their jobs."""

from __future__ import annotations

from typing import cast

from .schema import Row
from .table_access import LedgerPart

__all__ = [
    "LEAST_SECONDS",
    "SessionTables",
]

LEAST_SECONDS = 1e-3
"""Smallest difference in cost that is not rounding."""


class SessionTables(LedgerPart):
    """Sessions and batches of the ledger; :class:`~.ledger.Ledger` is the whole."""

    def opening_session(self, run_id: str, mode: str, backend: str, instance: str) -> int:
        """Record that a session is about to be opened; return its number in the ledger."""
        now = self._clock()
        with self._store.write() as tx:
            number = tx.insert(
                "sessions",
                run_id=run_id,
                mode=mode,
                backend=backend,
                instance=instance,
                state="opening",
                opened_at=now,
                updated_at=now,
            )
            self._event(tx, run_id, None, "session-opening", mode=mode, backend=backend)
            return number

    def set_session(self, number: int, state: str, session_id: str | None = None) -> None:
        """Record the state of a session: ``open``, ``closed``, ``refused`` or ``lost``."""
        values: Row = {"state": state, "updated_at": self._clock()}
        if session_id is not None:
            values["session_id"] = session_id
        with self._store.write() as tx:
            tx.update("sessions", number, **values)
            [row] = tx.read("SELECT * FROM sessions WHERE id = ?", number)
            self._event(
                tx,
                row["run_id"],
                None,
                f"session-{state}",
                session=row["session_id"],
                mode=row["mode"],
            )

    def charge_session(self, number: int, seconds: float) -> bool:
        """Charge a dedicated session's cost beyond its jobs: IBM counts the time between them.

        Args:
            number: The session's number in the ledger.
            seconds: Cost of the whole session, its jobs included.

        Returns:
            True if it is charged, now or before; False while a job of it has no known cost.
        """
        now = self._clock()
        with self._store.write() as tx:
            [row] = tx.read("SELECT * FROM sessions WHERE id = ?", number)
            part = f"session-{number:04d}"
            if tx.read(
                "SELECT 1 FROM reservations WHERE run_id = ? AND part = ?", row["run_id"], part
            ):
                return True
            if tx.read(
                "SELECT 1 FROM intentions i JOIN reservations r ON r.id = i.reservation "
                "WHERE i.session_id = ? AND r.state = 'held'",
                row["session_id"],
            ):
                return False
            [jobs] = tx.read(
                "SELECT TOTAL(r.spent_seconds) AS seconds FROM intentions i "
                "JOIN reservations r ON r.id = i.reservation WHERE i.session_id = ?",
                row["session_id"],
            )
            extra = seconds - cast(float, jobs["seconds"])
            if extra < LEAST_SECONDS:
                return True
            [run] = tx.read("SELECT budget FROM runs WHERE run_id = ?", row["run_id"])
            tx.insert(
                "reservations",
                budget=run["budget"],
                run_id=row["run_id"],
                part=part,
                seconds=0.0,
                shots=0,
                state="settled",
                spent_seconds=extra,
                spent_shots=0,
                reserved_at=now,
                settled_at=now,
            )
            self._event(tx, row["run_id"], part, "session-charged", seconds=extra, whole=seconds)
            return True

    def sessions(self, *states: str) -> list[Row]:
        """Return sessions of all runs in some states, oldest first; without states all of them."""
        rows = self._store.read("SELECT * FROM sessions ORDER BY id")
        return [row for row in rows if not states or row["state"] in states]
