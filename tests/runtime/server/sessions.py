"""Sessions and batches."""

from __future__ import annotations

import sqlite3
import time
import uuid

from .messages import Request, Response, error, iso, reply
from .settings import CRN
from .state import State
from .store import PENDING


class Sessions:
    """POST /sessions, and what is under /sessions/{id}."""

    def __init__(self, state: State) -> None:
        self._state = state

    def create(self, request: Request) -> Response:
        body = request.json()
        mode, backend = str(body.get("mode")), str(body.get("backend"))
        if mode not in ("dedicated", "batch"):
            return error(400, 1350, f"no mode {mode}")
        if backend not in self._state.devices:
            return error(404, 1202, f"no backend {backend}")
        if mode == "dedicated" and self._state.settings.plan == "open":
            return error(
                400, 1352, "You are not authorized to run a session when using the open plan."
            )
        asked, most = body.get("max_ttl"), self._state.settings.max_session_seconds
        default = self._state.settings.max_session_default
        if most and (not default if asked is None else float(str(asked)) > most):
            text = self._state.settings.max_session_text
            return error(400, 1222, text.format(asked=asked, most=f"{most:g}"))
        session_id = f"s{uuid.uuid4().hex[:20]}"
        self._state.store.change(
            "INSERT INTO sessions (id, crn, backend, mode, max_ttl, created) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            session_id,
            CRN,
            backend,
            mode,
            asked if asked is not None else (most or None),
            time.time(),
        )
        made = self.row(session_id)
        assert made is not None
        return reply(self.to_json(made))

    def row(self, session_id: str) -> sqlite3.Row | None:
        """The session; closed here first if its time is over."""
        row = self._state.store.one(
            "SELECT * FROM sessions WHERE id = ? AND crn = ?", session_id, CRN
        )
        if row is None:
            return None
        if not row["closed"] and row["max_ttl"] and time.time() > row["created"] + row["max_ttl"]:
            self.end(session_id)
            row = self._state.store.one("SELECT * FROM sessions WHERE id = ?", session_id)
        return row

    def end(self, session_id: str) -> None:
        """The service closes a session: what is queued fails with 1217, uncharged."""
        self._state.store.end_session(session_id)

    def to_json(self, row: sqlite3.Row) -> dict[str, object]:
        jobs = self._state.store.all(
            "SELECT * FROM jobs WHERE session_id = ? ORDER BY number", row["id"]
        )
        started = [job["started"] for job in jobs if job["started"]]
        ended = [job["ended"] for job in jobs if job["ended"]]
        busy = any(job["status"] in PENDING for job in jobs)
        if row["closed"] or (not row["accepting"] and not busy):
            state = "closed"
        elif busy:
            state = "active"
        elif ended and time.time() - max(ended) > self._state.settings.interactive_ttl_seconds:
            state = "inactive"
        else:
            state = "active" if ended else "open"
        return {
            "id": row["id"],
            "backend_name": row["backend"],
            "mode": row["mode"],
            "max_ttl": row["max_ttl"],
            "active_ttl": row["max_ttl"],
            "interactive_ttl": self._state.settings.interactive_ttl_seconds,
            "state": state,
            "accepting_jobs": bool(row["accepting"]) and not row["closed"],
            "last_job_started": iso(max(started)) if started else None,
            "last_job_completed": iso(max(ended)) if ended else None,
            "started_at": iso(min(started)) if started else None,
            "activated_at": iso(min(started)) if started else None,
            "closed_at": iso(row["closed"]),
            "elapsed_time": round(sum(job["charged"] for job in jobs), 3),
            "timestamps": [],
        }

    def one(self, request: Request, method: str, session_id: str, rest: list[str]) -> Response:
        row = self.row(session_id)
        if row is None:
            return error(404, 1216, f"no session {session_id}")
        match method, rest:
            case "GET", []:
                return reply(self.to_json(row))
            case "PATCH", []:
                if request.json().get("accepting_jobs") is False:
                    self._state.store.change(
                        "UPDATE sessions SET accepting = 0 WHERE id = ?", session_id
                    )
                return Response(204)
            case "DELETE", ["close"]:
                now = time.time()
                with self._state.store.transaction():
                    self._state.store.change(
                        "UPDATE sessions SET accepting = 0, closed = COALESCE(closed, ?) WHERE id = ?",
                        now,
                        session_id,
                    )
                    self._state.store.change(
                        "UPDATE jobs SET status = 'Cancelled', ended = ? "
                        "WHERE session_id = ? AND status = 'Queued'",
                        now,
                        session_id,
                    )
                return Response(204)
        return error(404, 1404, f"no address {method} {'/'.join(rest)}")
