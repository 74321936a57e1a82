"""Which part answers which address."""

from __future__ import annotations

import re
import threading
from collections import Counter

from .backends import Backends
from .control import Control
from .device import Device
from .faults import FaultQueue
from .identity import Identity
from .jobs import Jobs
from .messages import Request, Response, error
from .sessions import Sessions
from .settings import Settings
from .state import State
from .store import Store
from .worker import Worker

BASE = "/experimental"
"""The client uses an API address that contains this word unchanged."""


def hidden(path: str) -> str:
    """A path with ids replaced, for the count of requests."""
    path = re.sub(r"/(jobs|sessions)/[^/?]+", r"/\1/{id}", path)
    return re.sub(r"/backends/[^/?]+", "/backends/{name}", path)


class Api:
    """One server, from request to response."""

    def __init__(self, store: Store, settings: Settings) -> None:
        known = store.read_settings()
        if known is not None:
            settings = settings.changed(known)
        devices: dict[str, Device] = {}
        for name in settings.devices:
            device = Device(name)
            devices |= {device.name: device, device.mock_name: device}
        self.faults = FaultQueue()
        self.worker = Worker(store, self.faults, devices)
        state = State(store, settings, self.faults, devices, self.worker)
        state.change(settings)
        self._requests: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._identity = Identity(state)
        self._backends = Backends(state)
        self._sessions = Sessions(state)
        self._jobs = Jobs(state, self._sessions)
        self._control = Control(state, self._sessions, self._requests)

    def count(self, request: Request) -> None:
        """Count a request by method and address."""
        with self._lock:
            self._requests[f"{request.method} {hidden(request.path.removeprefix(BASE))}"] += 1

    def handle(self, request: Request) -> Response:
        """Answer a request."""
        path = request.path
        if path.startswith("/_test/"):
            return self._control.handle(request, path.removeprefix("/_test/"))
        if path == "/iam/identity/token":
            return self._identity.token(request)
        if path.startswith("/search/"):
            return self._identity.search(request)
        if path.startswith("/catalog/"):
            return self._identity.catalog(request)
        if not path.startswith(BASE + "/"):
            return error(404, 1404, f"no address {path}")
        refused = self._identity.refused(request)
        if refused is not None:
            return refused
        match request.method, path.removeprefix(BASE).strip("/").split("/"):
            case "GET", ["backends"]:
                return self._backends.all()
            case "GET", ["backends", name, what]:
                return self._backends.one(name, what)
            case "GET", ["instances", "usage"]:
                return self._backends.usage()
            case "POST", ["jobs"]:
                return self._jobs.create(request)
            case "GET", ["jobs"]:
                return self._jobs.listed(request)
            case method, ["jobs", job_id, *rest]:
                return self._jobs.one(request, method, job_id, rest)
            case "POST", ["sessions"]:
                return self._sessions.create(request)
            case method, ["sessions", session_id, *rest]:
                return self._sessions.one(request, method, session_id, rest)
        return error(404, 1404, f"no address {request.method} {path}")
