"""Requests and responses, apart from sockets."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit


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
