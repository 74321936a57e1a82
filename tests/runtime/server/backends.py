"""Backends: the list, configuration, properties, status; what the instance has used."""

from __future__ import annotations

import time

from .messages import Response, error, iso, reply
from .settings import CRN
from .state import State


class Backends:
    """GET /backends..., GET /instances/usage."""

    def __init__(self, state: State) -> None:
        self._state = state

    def _waiting(self, name: str) -> int:
        row = self._state.store.one(
            "SELECT COUNT(*) AS n FROM jobs WHERE backend = ? AND status IN ('Queued', 'Running')",
            name,
        )
        assert row is not None
        return int(row["n"]) + int(self._state.settings.queue_length.get(name, 0))

    def all(self) -> Response:
        devices = []
        for name, device in self._state.devices.items():
            mock = name == device.mock_name
            paused = name in self._state.settings.paused
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

    def one(self, name: str, what: str) -> Response:
        device = self._state.devices.get(name)
        if device is None:
            return error(404, 1202, f"no backend {name}")
        if what == "configuration":
            return reply(device.configuration(name))
        if what == "properties":
            return reply(device.properties(name, self._state.settings.calibrated))
        if what == "status":
            return reply(
                {
                    "state": True,
                    "status": "paused" if name in self._state.settings.paused else "active",
                    "message": "",
                    "length_queue": self._waiting(name),
                    "backend_version": "1.0.0",
                }
            )
        return error(404, 1404, f"no address {what}")

    def usage(self) -> Response:
        used = round(self._state.store.charged_seconds(), 3)
        limit = self._state.settings.limit_seconds
        return reply(
            {
                "instance_id": CRN,
                "plan_id": f"plan-{self._state.settings.plan}",
                "usage_consumed_seconds": used,
                "usage_limit_seconds": limit,
                "usage_period": {"start_time": iso(time.time() - 86400), "end_time": None},
                "usage_limit_reached": used >= limit,
                "usage_remaining_seconds": round(max(limit - used, 0.0), 3),
            }
        )
