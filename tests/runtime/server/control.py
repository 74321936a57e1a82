"""What tests ask of the server beside the API: faults, settings, the ledger."""

from __future__ import annotations

import json
from collections import Counter

from .faults import Fault
from .messages import Request, Response, error, reply
from .sessions import Sessions
from .state import State


class Control:
    """The addresses under /_test/."""

    def __init__(self, state: State, sessions: Sessions, requests: Counter[str]) -> None:
        self._state = state
        self._sessions = sessions
        self._requests = requests

    def handle(self, request: Request, what: str) -> Response:
        match request.method, what.split("/"):
            case "GET", ["ledger"]:
                return reply(self.ledger())
            case "POST", ["faults"]:
                rules = json.loads(request.body)
                self._state.faults.add(*(Fault(**each) for each in rules))
                return reply({"waiting": len(self._state.faults.left())})
            case "GET", ["faults"]:
                left = [each.to_dict() for each in self._state.faults.left()]
                return reply({"left": left, "used": self._state.faults.used})
            case "DELETE", ["faults"]:
                self._state.faults.clear()
                return Response(204)
            case "GET", ["settings"]:
                return reply(self._state.settings.to_dict())
            case "POST", ["settings"]:
                self._state.change(self._state.settings.changed(request.json()))
                return reply(self._state.settings.to_dict())
            case "POST", ["revoke"]:
                self._state.store.change("UPDATE tokens SET revoked = 1")
                return Response(204)
            case "POST", ["sessions", session_id, "end"]:
                self._sessions.end(session_id)
                return Response(204)
            case "POST", ["reset"]:
                # Jobs, sessions and rules go; tokens stay, so that connected clients stay connected.
                with self._state.store.transaction():
                    self._state.store.change("DELETE FROM jobs")
                    self._state.store.change("DELETE FROM sessions")
                self._state.faults.clear()
                self._state.faults.used.clear()
                self._requests.clear()
                return Response(204)
        return error(404, 1404, f"no address {what}")

    def ledger(self) -> dict[str, object]:
        """Every job with its tags, payload and price; submissions and payments by tag and payload."""
        rows = self._state.store.all("SELECT * FROM jobs ORDER BY number")
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
                    "created": row["created"],
                    "ended": row["ended"],
                }
                for row in rows
            ],
            "sessions": [
                self._sessions.to_json(row)
                for row in self._state.store.all("SELECT * FROM sessions")
            ],
            **groups,
            "charged_seconds": round(self._state.store.charged_seconds(), 3),
            "requests": dict(self._requests),
        }
