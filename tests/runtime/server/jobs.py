"""Jobs: creation, state, results, metrics, cancellation, listing."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from datetime import datetime

from .messages import Request, Response, error, iso, reply
from .program import BadPayload, Payload, read_payload
from .sessions import Sessions
from .settings import CRN
from .state import State
from .store import FINAL, PENDING
from .worker import price_of

_UNFINISHED = "SELECT id FROM jobs WHERE status IN (?, ?)"


class Jobs:
    """POST and GET /jobs, and what is under /jobs/{id}."""

    def __init__(self, state: State, sessions: Sessions) -> None:
        self._state = state
        self._sessions = sessions

    def create(self, request: Request) -> Response:
        if len(request.body) > self._state.settings.max_body_bytes:
            return error(413, 1413, "the payload is too large")
        body = request.json()
        name = str(body.get("backend"))
        device = self._state.devices.get(name)
        if device is None:
            return error(404, 1202, f"no backend {name}")
        program = str(body.get("program_id"))
        if program not in ("executor", "sampler"):
            return error(404, 1401, f"no program {program}")
        if self._state.store.charged_seconds() >= self._state.settings.limit_seconds:
            return error(409, 8044, "the instance has used all its seconds")
        most = self._state.settings.max_pending_jobs
        if most and len(self._state.store.all(_UNFINISHED, *PENDING)) >= most:
            return error(
                400,
                3458,
                f"You have reached the limit of {most} pending jobs. Please wait for a job to "
                "complete or cancel one before submitting anything new.",
            )
        session_id = body.get("session_id")
        if session_id is not None:
            session = self._sessions.row(str(session_id))
            if session is None:
                return error(404, 1216, f"no session {session_id}")
            if not session["accepting"] or session["closed"]:
                return error(400, 1217, "the session has been closed")
        try:
            payload = read_payload(program, body["params"])  # type: ignore[arg-type]
        except BadPayload as wrong:
            return error(400, 1439, f"the parameters are not valid: {wrong}")
        too_large = self._too_large(payload)
        if too_large and not self._state.settings.max_size_late:
            return error(400, 1439, too_large)
        job_id = f"j{uuid.uuid4().hex[:20]}"
        self._state.store.change(
            "INSERT INTO jobs (id, crn, backend, program, params, payload_sha256, tags, session_id, "
            "cost, private, status, created, estimate) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'Queued', ?, ?)",
            job_id,
            CRN,
            name,
            program,
            json.dumps(body["params"]),
            payload.sha256,
            json.dumps(body.get("tags", [])),
            session_id,
            body.get("cost"),
            int(bool(body.get("private"))),
            time.time(),
            price_of(payload, device, self._state.settings),
        )
        if too_large:
            self._state.store.change(
                "UPDATE jobs SET status = 'Failed', reason = ?, reason_code = 1439, result = ?, "
                "ended = ?, charged = 0 WHERE id = ?",
                too_large,
                too_large,
                time.time(),
                job_id,
            )
        self._state.worker.wake()
        return reply({"id": job_id, "backend": name})

    def _too_large(self, payload: Payload) -> str:
        """What is wrong with the size of a job; empty if nothing is."""
        settings = self._state.settings
        circuits = sum(len(each.angles) for each in payload.items)
        for what, size, most in (
            ("executions", circuits * payload.shots, settings.max_executions),
            ("circuits", circuits, settings.max_circuits),
        ):
            if most and size > most:
                return settings.max_size_text.format(what=what, size=size, most=most)
        return ""

    def _to_json(self, row: sqlite3.Row, with_params: bool) -> dict[str, object]:
        state: dict[str, object] = {"status": row["status"]}
        if row["reason"]:
            state |= {"reason": row["reason"], "reason_code": row["reason_code"]}
        out: dict[str, object] = {
            "id": row["id"],
            "backend": row["backend"],
            "status": row["status"],
            "state": state,
            "program": {"id": row["program"]},
            "created": iso(row["created"]),
            "ended": iso(row["ended"]),
            "tags": json.loads(row["tags"]),
            "session_id": row["session_id"],
            "cost": row["cost"],
            "private": bool(row["private"]),
            "runtime": "",
            "estimated_running_time_seconds": row["estimate"],
            "usage": {"seconds": row["charged"]},
        }
        if with_params:
            out["params"] = json.loads(row["params"])
        return out

    def listed(self, request: Request) -> Response:
        rows = self._state.store.all(
            "SELECT * FROM jobs WHERE deleted = 0 AND crn = ? ORDER BY number", CRN
        )
        visible = time.time() - self._state.settings.listing_lag_seconds
        rows = [row for row in rows if row["created"] <= visible]
        if (name := request.first("backend")) is not None:
            rows = [row for row in rows if row["backend"] == name]
        if (program := request.first("program")) is not None:
            rows = [row for row in rows if row["program"] == program]
        if (session_id := request.first("session_id")) is not None:
            rows = [row for row in rows if row["session_id"] == session_id]
        if (pending := request.first("pending")) is not None:
            wanted = PENDING if pending == "true" else FINAL
            rows = [row for row in rows if row["status"] in wanted]
        if (after := request.first("created_after")) is not None:
            rows = [
                row for row in rows if row["created"] >= datetime.fromisoformat(after).timestamp()
            ]
        if (before := request.first("created_before")) is not None:
            rows = [
                row for row in rows if row["created"] <= datetime.fromisoformat(before).timestamp()
            ]
        tags = set(request.query.get("tags", []))
        rows = [row for row in rows if tags <= set(json.loads(row["tags"]))]
        if request.first("sort") != "ASC":
            rows.reverse()
        offset, limit = int(request.first("offset") or 0), int(request.first("limit") or 20)
        page = rows[offset : offset + limit]
        return reply(
            {
                "jobs": [self._to_json(row, with_params=False) for row in page],
                "count": len(rows),
                "limit": limit,
                "offset": offset,
            }
        )

    def one(self, request: Request, method: str, job_id: str, rest: list[str]) -> Response:
        row = self._state.store.one(
            "SELECT * FROM jobs WHERE id = ? AND crn = ? AND deleted = 0", job_id, CRN
        )
        if row is None:
            return error(404, 1291, f"no job {job_id}")
        match method, rest:
            case "GET", []:
                return reply(self._to_json(row, request.first("exclude_params") != "true"))
            case "GET", ["results"]:
                if not row["result"]:
                    return Response(204)
                return Response(200, row["result"].encode(), "text/plain")
            case "GET", ["logs"]:
                if row["status"] not in FINAL:
                    return error(404, 1404, "no logs yet")
                return Response(200, f"{row['status']}\n".encode(), "text/plain")
            case "GET", ["metrics"]:
                return reply(self._metrics(row))
            case "POST", ["cancel"]:
                return self._cancel(job_id)
            case "PUT", ["tags"]:
                tags = json.dumps(request.json().get("tags", []))
                self._state.store.change("UPDATE jobs SET tags = ? WHERE id = ?", tags, job_id)
                return Response(204)
            case "DELETE", []:
                if row["status"] not in FINAL:
                    return error(409, 1409, "the job is not finished")
                self._state.store.change("UPDATE jobs SET deleted = 1 WHERE id = ?", job_id)
                return Response(204)
        return error(404, 1404, f"no address {method} {'/'.join(rest)}")

    def _metrics(self, row: sqlite3.Row) -> dict[str, object]:
        over = row["ended"] is not None and (
            time.time() >= row["ended"] + self._state.settings.metrics_pending_seconds
        )
        status = {"status": "complete" if over else "pending"}
        return {
            "timestamps": {
                "created": iso(row["created"]),
                "running": iso(row["started"]),
                "finished": iso(row["ended"]),
            },
            "usage": {
                **(status if self._state.settings.metrics_status else {}),
                "qpu_charge_time_seconds": row["charged"] if over else 0,
                "quantum_seconds": row["charged"] if over else 0,
            },
            "position_in_queue": None,
            "bss": {"seconds": row["charged"] if over else 0},
        }

    def _cancel(self, job_id: str) -> Response:
        # A job that was running has held the QPU: its overhead is charged.
        changed = self._state.store.change(
            "UPDATE jobs SET charged = CASE status WHEN 'Running' THEN ? ELSE 0 END, "
            "status = 'Cancelled', ended = ? WHERE id = ? AND status IN ('Queued', 'Running')",
            self._state.settings.overhead_seconds,
            time.time(),
            job_id,
        )
        if not changed:
            return error(409, 1293, "the job is in a final state")
        return Response(204)
