"""What each address answers: methods of `Api`, from request to response, without sockets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from .device import Device
from .faults import Fault, FaultQueue
from .program import BadPayload, read_payload
from .settings import API_KEY, CRN, Settings
from .store import FINAL, PENDING, Store
from .worker import Worker, price_of

BASE = "/experimental"
"""The client uses an API address that contains this word unchanged."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, method: str, target: str, headers: dict[str, str], body: bytes) -> Request:
        parts = urlsplit(target)
        return cls(method, parts.path, parse_qs(parts.query), headers, body)

    def json(self) -> dict[str, object]:
        return json.loads(self.body or b"{}")

    def first(self, name: str) -> str | None:
        return self.query.get(name, [None])[0]


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def reply(value: object, status: int = 200) -> Response:
    return Response(status, json.dumps(value).encode())


def error(status: int, code: int, message: str) -> Response:
    """An error as IBM's API words it."""
    body = {"errors": [{"code": code, "message": message, "solution": "", "more_info": ""}]}
    return reply({**body, "trace": uuid.uuid4().hex}, status)


def iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def hidden(path: str) -> str:
    """A path with ids replaced, for the count of requests."""
    path = re.sub(r"/(jobs|sessions)/[^/?]+", r"/\1/{id}", path)
    return re.sub(r"/backends/[^/?]+", "/backends/{name}", path)


class Api:
    """All state of one server."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.faults = FaultQueue()
        self.requests: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._secret = uuid.uuid4().bytes
        self.settings = settings
        known = store.read_settings()
        if known is not None:
            self.settings = settings.changed(known)
        self.devices: dict[str, Device] = {}
        for name in self.settings.devices:
            device = Device(name)
            self.devices[device.name] = device
            self.devices[device.mock_name] = device
        self.worker = Worker(store, self.faults, self.devices)
        self._apply(self.settings)

    def _apply(self, settings: Settings) -> None:
        self.settings = settings
        self.worker.settings = settings
        self.store.write_settings(settings.to_dict())
        self.worker.wake()

    def count(self, request: Request) -> None:
        with self._lock:
            self.requests[f"{request.method} {hidden(request.path.removeprefix(BASE))}"] += 1

    def handle(self, request: Request) -> Response:
        path = request.path
        if path.startswith("/_test/"):
            return self._test(request, path.removeprefix("/_test/"))
        if path == "/iam/identity/token":
            return self._token(request)
        if path.startswith("/search/"):
            return self._search(request)
        if path.startswith("/catalog/"):
            return self._catalog(request)
        if not path.startswith(BASE + "/"):
            return error(404, 1404, f"no address {path}")
        refused = self._refused(request)
        if refused is not None:
            return refused
        parts = path.removeprefix(BASE).strip("/").split("/")
        match request.method, parts:
            case "GET", ["backends"]:
                return self._backends()
            case "GET", ["backends", name, what]:
                return self._backend(name, what)
            case "GET", ["instances", "usage"]:
                return self._usage()
            case "POST", ["jobs"]:
                return self._create_job(request)
            case "GET", ["jobs"]:
                return self._list_jobs(request)
            case method, ["jobs", job_id, *rest]:
                return self._job(request, method, job_id, rest)
            case "POST", ["sessions"]:
                return self._create_session(request)
            case method, ["sessions", session_id, *rest]:
                return self._session(request, method, session_id, rest)
        return error(404, 1404, f"no address {request.method} {path}")

    # -- identity -------------------------------------------------------------------------------

    def _token(self, request: Request) -> Response:
        form = parse_qs(request.body.decode())
        if form.get("apikey", [""])[0] != API_KEY:
            body = {
                "errorCode": "BXNIM0415E",
                "errorMessage": "Provided API key could not be found.",
            }
            return reply(body, 400)
        now = int(time.time())
        claims = {
            "iat": now,
            "exp": now + self.settings.token_life_seconds,
            "jti": uuid.uuid4().hex,
        }
        text = b".".join(_base64(json.dumps(each).encode()) for each in ({"alg": "HS256"}, claims))
        signature = hmac.new(self._secret, text, hashlib.sha256).digest()
        token = (text + b"." + _base64(signature)).decode()
        self.store.change("INSERT INTO tokens (token, expires) VALUES (?, ?)", token, claims["exp"])
        return reply(
            {
                "access_token": token,
                "refresh_token": "not_supported",
                "token_type": "Bearer",
                "expires_in": self.settings.token_life_seconds,
                "expiration": claims["exp"],
                "scope": "ibm openid",
            }
        )

    def _known_token(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        row = self.store.one("SELECT expires, revoked FROM tokens WHERE token = ?", token)
        return (
            scheme == "Bearer"
            and row is not None
            and not row["revoked"]
            and row["expires"] > time.time()
        )

    def _refused(self, request: Request) -> Response | None:
        if not self._known_token(request):
            return error(401, 1207, "the token is not valid")
        if request.headers.get("service-crn") != CRN:
            return error(403, 1209, "no access to this instance")
        return None

    def _search(self, request: Request) -> Response:
        if not self._known_token(request):
            return reply({"errors": [{"code": "unauthorized"}]}, 401)
        item = {
            "crn": CRN,
            "name": "local-instance",
            "service_plan_unique_id": f"plan-{self.settings.plan}",
            "doc": {"extensions": {"backends": sorted(self.devices)}},
            "tags": [],
        }
        return reply({"items": [item], "limit": 100})

    def _catalog(self, request: Request) -> Response:
        plan = request.path.rsplit("/", 1)[-1].removeprefix("plan-")
        display, pricing = {"open": ("Open", "free"), "paygo": ("Pay-as-you-go", "paygo")}[plan]
        return reply(
            {
                "id": f"plan-{plan}",
                "overview_ui": {"en": {"display_name": display}},
                "metadata": {"pricing": {"type": pricing}},
            }
        )

    # -- backends -------------------------------------------------------------------------------

    def _waiting(self, name: str) -> int:
        row = self.store.one(
            "SELECT COUNT(*) AS n FROM jobs WHERE backend = ? AND status IN ('Queued', 'Running')",
            name,
        )
        assert row is not None
        return int(row["n"]) + int(self.settings.queue_length.get(name, 0))

    def _backends(self) -> Response:
        devices = []
        for name, device in self.devices.items():
            mock = name == device.mock_name
            paused = name in self.settings.paused
            devices.append(
                {
                    "name": name,
                    "status": {"name": "paused" if paused else "online", "reason": ""},
                    "queue_length": self._waiting(name),
                    "qubits": device.num_qubits,
                    "class": "mock" if mock else "qpu",
                    "physical_qubits": None,
                    "is_simulator": False,
                }
            )
        return reply({"devices": devices})

    def _backend(self, name: str, what: str) -> Response:
        device = self.devices.get(name)
        if device is None:
            return error(404, 1202, f"no backend {name}")
        if what == "configuration":
            return reply(device.configuration(name))
        if what == "properties":
            return reply(device.properties(name, self.settings.calibrated))
        if what == "status":
            return reply(
                {
                    "state": True,
                    "status": "paused" if name in self.settings.paused else "active",
                    "message": "",
                    "length_queue": self._waiting(name),
                    "backend_version": "1.0.0",
                }
            )
        return error(404, 1404, f"no address {what}")

    def _usage(self) -> Response:
        used = round(self.store.charged_seconds(), 3)
        limit = self.settings.limit_seconds
        return reply(
            {
                "instance_id": CRN,
                "plan_id": f"plan-{self.settings.plan}",
                "usage_consumed_seconds": used,
                "usage_limit_seconds": limit,
                "usage_period": {"start_time": iso(time.time() - 86400), "end_time": None},
                "usage_limit_reached": used >= limit,
                "usage_remaining_seconds": round(max(limit - used, 0.0), 3),
            }
        )

    # -- jobs -----------------------------------------------------------------------------------

    def _create_job(self, request: Request) -> Response:
        if len(request.body) > self.settings.max_body_bytes:
            return error(413, 1413, "the payload is too large")
        body = request.json()
        name = str(body.get("backend"))
        device = self.devices.get(name)
        if device is None:
            return error(404, 1202, f"no backend {name}")
        program = str(body.get("program_id"))
        if program not in ("executor", "sampler"):
            return error(404, 1401, f"no program {program}")
        if self.store.charged_seconds() >= self.settings.limit_seconds:
            return error(409, 8044, "the instance has used all its seconds")
        session_id = body.get("session_id")
        if session_id is not None:
            session = self._session_row(str(session_id))
            if session is None:
                return error(404, 1216, f"no session {session_id}")
            if not session["accepting"] or session["closed"]:
                return error(400, 1217, "the session has been closed")
        try:
            payload = read_payload(program, body["params"])  # type: ignore[arg-type]
        except BadPayload as wrong:
            return error(400, 1439, f"the parameters are not valid: {wrong}")
        job_id = f"j{uuid.uuid4().hex[:20]}"
        self.store.change(
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
            price_of(payload, device, self.settings),
        )
        self.worker.wake()
        return reply({"id": job_id, "backend": name})

    def _job_json(self, row, with_params: bool) -> dict[str, object]:
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

    def _list_jobs(self, request: Request) -> Response:
        rows = self.store.all(
            "SELECT * FROM jobs WHERE deleted = 0 AND crn = ? ORDER BY number", CRN
        )
        visible = time.time() - self.settings.listing_lag_seconds
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
                "jobs": [self._job_json(row, with_params=False) for row in page],
                "count": len(rows),
                "limit": limit,
                "offset": offset,
            }
        )

    def _job(self, request: Request, method: str, job_id: str, rest: list[str]) -> Response:
        row = self.store.one(
            "SELECT * FROM jobs WHERE id = ? AND crn = ? AND deleted = 0", job_id, CRN
        )
        if row is None:
            return error(404, 1291, f"no job {job_id}")
        match method, rest:
            case "GET", []:
                return reply(self._job_json(row, request.first("exclude_params") != "true"))
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
                return self._cancel_job(job_id)
            case "PUT", ["tags"]:
                tags = json.dumps(request.json().get("tags", []))
                self.store.change("UPDATE jobs SET tags = ? WHERE id = ?", tags, job_id)
                return Response(204)
            case "DELETE", []:
                if row["status"] not in FINAL:
                    return error(409, 1409, "the job is not finished")
                self.store.change("UPDATE jobs SET deleted = 1 WHERE id = ?", job_id)
                return Response(204)
        return error(404, 1404, f"no address {method} {'/'.join(rest)}")

    def _metrics(self, row) -> dict[str, object]:
        over = row["ended"] is not None and (
            time.time() >= row["ended"] + self.settings.metrics_pending_seconds
        )
        return {
            "timestamps": {
                "created": iso(row["created"]),
                "running": iso(row["started"]),
                "finished": iso(row["ended"]),
            },
            "usage": {
                "status": "complete" if over else "pending",
                "qpu_charge_time_seconds": row["charged"] if over else 0,
                "quantum_seconds": row["charged"] if over else 0,
            },
            "position_in_queue": None,
            "bss": {"seconds": row["charged"] if over else 0},
        }

    def _cancel_job(self, job_id: str) -> Response:
        # A job that was running has held the QPU: its overhead is charged.
        changed = self.store.change(
            "UPDATE jobs SET charged = CASE status WHEN 'Running' THEN ? ELSE 0 END, "
            "status = 'Cancelled', ended = ? WHERE id = ? AND status IN ('Queued', 'Running')",
            self.settings.overhead_seconds,
            time.time(),
            job_id,
        )
        if not changed:
            return error(409, 1293, "the job is in a final state")
        return Response(204)

    # -- sessions -------------------------------------------------------------------------------

    def _create_session(self, request: Request) -> Response:
        body = request.json()
        mode, backend = str(body.get("mode")), str(body.get("backend"))
        if mode not in ("dedicated", "batch"):
            return error(400, 1350, f"no mode {mode}")
        if backend not in self.devices:
            return error(404, 1202, f"no backend {backend}")
        if mode == "dedicated" and self.settings.plan == "open":
            return error(
                400, 1352, "You are not authorized to run a session when using the open plan."
            )
        session_id = f"s{uuid.uuid4().hex[:20]}"
        self.store.change(
            "INSERT INTO sessions (id, crn, backend, mode, max_ttl, created) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            session_id,
            CRN,
            backend,
            mode,
            body.get("max_ttl"),
            time.time(),
        )
        row = self._session_row(session_id)
        return reply(self._session_json(row))

    def _session_row(self, session_id: str):
        """The session; closed here first if its time is over."""
        row = self.store.one("SELECT * FROM sessions WHERE id = ? AND crn = ?", session_id, CRN)
        if row is None:
            return None
        if not row["closed"] and row["max_ttl"] and time.time() > row["created"] + row["max_ttl"]:
            self.end_session(session_id)
            row = self.store.one("SELECT * FROM sessions WHERE id = ?", session_id)
        return row

    def end_session(self, session_id: str) -> None:
        """The service closes a session: what is queued fails with 1217, uncharged."""
        now = time.time()
        with self.store.transaction():
            self.store.change(
                "UPDATE sessions SET accepting = 0, closed = ? WHERE id = ? AND closed IS NULL",
                now,
                session_id,
            )
            self.store.change(
                "UPDATE jobs SET status = 'Failed', reason = 'the session has been closed', "
                "reason_code = 1217, result = 'the session has been closed', ended = ? "
                "WHERE session_id = ? AND status = 'Queued'",
                now,
                session_id,
            )

    def _session_json(self, row) -> dict[str, object]:
        jobs = self.store.all("SELECT * FROM jobs WHERE session_id = ? ORDER BY number", row["id"])
        started = [job["started"] for job in jobs if job["started"]]
        ended = [job["ended"] for job in jobs if job["ended"]]
        busy = any(job["status"] in PENDING for job in jobs)
        if row["closed"] or (not row["accepting"] and not busy):
            state = "closed"
        elif busy:
            state = "active"
        elif ended and time.time() - max(ended) > self.settings.interactive_ttl_seconds:
            state = "inactive"
        else:
            state = "active" if ended else "open"
        return {
            "id": row["id"],
            "backend_name": row["backend"],
            "mode": row["mode"],
            "max_ttl": row["max_ttl"],
            "active_ttl": row["max_ttl"],
            "interactive_ttl": self.settings.interactive_ttl_seconds,
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

    def _session(self, request: Request, method: str, session_id: str, rest: list[str]) -> Response:
        row = self._session_row(session_id)
        if row is None:
            return error(404, 1216, f"no session {session_id}")
        match method, rest:
            case "GET", []:
                return reply(self._session_json(row))
            case "PATCH", []:
                if request.json().get("accepting_jobs") is False:
                    self.store.change("UPDATE sessions SET accepting = 0 WHERE id = ?", session_id)
                return Response(204)
            case "DELETE", ["close"]:
                now = time.time()
                with self.store.transaction():
                    self.store.change(
                        "UPDATE sessions SET accepting = 0, closed = COALESCE(closed, ?) WHERE id = ?",
                        now,
                        session_id,
                    )
                    self.store.change(
                        "UPDATE jobs SET status = 'Cancelled', ended = ? "
                        "WHERE session_id = ? AND status = 'Queued'",
                        now,
                        session_id,
                    )
                return Response(204)
        return error(404, 1404, f"no address {method} {'/'.join(rest)}")

    # -- for tests ------------------------------------------------------------------------------

    def _test(self, request: Request, what: str) -> Response:
        match request.method, what.split("/"):
            case "GET", ["ledger"]:
                return reply(self.ledger())
            case "POST", ["faults"]:
                rules = json.loads(request.body)
                self.faults.add(*(Fault(**each) for each in rules))
                return reply({"waiting": len(self.faults.left())})
            case "GET", ["faults"]:
                left = [each.to_dict() for each in self.faults.left()]
                return reply({"left": left, "used": self.faults.used})
            case "DELETE", ["faults"]:
                self.faults.clear()
                return Response(204)
            case "GET", ["settings"]:
                return reply(self.settings.to_dict())
            case "POST", ["settings"]:
                self._apply(self.settings.changed(request.json()))
                return reply(self.settings.to_dict())
            case "POST", ["revoke"]:
                self.store.change("UPDATE tokens SET revoked = 1")
                return Response(204)
            case "POST", ["sessions", session_id, "end"]:
                self.end_session(session_id)
                return Response(204)
            case "POST", ["reset"]:
                # Jobs, sessions and rules go; tokens stay, so that connected clients stay connected.
                with self.store.transaction():
                    self.store.change("DELETE FROM jobs")
                    self.store.change("DELETE FROM sessions")
                self.faults.clear()
                self.faults.used.clear()
                with self._lock:
                    self.requests.clear()
                return Response(204)
        return error(404, 1404, f"no address {what}")

    def ledger(self) -> dict[str, object]:
        """Every job with its tags, payload and price; submissions and payments by tag and payload."""
        rows = self.store.all("SELECT * FROM jobs ORDER BY number")
        groups: dict[str, dict[str, dict[str, float]]] = {"by_tag": {}, "by_payload": {}}
        for row in rows:
            for kind, names in (
                ("by_tag", json.loads(row["tags"])),
                ("by_payload", [row["payload_sha256"]]),
            ):
                for name in names:
                    entry = groups[kind].setdefault(
                        name, {"submitted": 0, "paid": 0, "seconds": 0.0}
                    )
                    entry["submitted"] += 1
                    entry["paid"] += int(row["charged"] > 0)
                    entry["seconds"] = round(entry["seconds"] + row["charged"], 3)
        return {
            "jobs": [
                {
                    "id": row["id"],
                    "backend": row["backend"],
                    "program": row["program"],
                    "tags": json.loads(row["tags"]),
                    "payload_sha256": row["payload_sha256"],
                    "session_id": row["session_id"],
                    "status": row["status"],
                    "reason_code": row["reason_code"],
                    "charged_seconds": row["charged"],
                    "estimated_seconds": row["estimate"],
                }
                for row in rows
            ],
            "sessions": [
                self._session_json(row) for row in self.store.all("SELECT * FROM sessions")
            ],
            **groups,
            "charged_seconds": round(self.store.charged_seconds(), 3),
            "requests": dict(self.requests),
        }


def _base64(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")
