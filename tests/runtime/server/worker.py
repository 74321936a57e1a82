"""The thread that runs queued jobs, one after another, as a QPU does."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
import traceback

from .device import Device, charge_seconds
from .faults import FaultQueue
from .program import Payload, read_payload, run_payload
from .settings import Settings
from .store import Store

_OVER = "SELECT id FROM sessions WHERE closed IS NULL AND max_ttl > 0 AND created + max_ttl < ?"


class Worker:
    """Takes jobs from the store until `stop`."""

    def __init__(self, store: Store, faults: FaultQueue, devices: dict[str, Device]) -> None:
        self._store = store
        self._faults = faults
        self._devices = devices
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name="qpu", daemon=True)
        self.settings = Settings()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()
        self._thread.join(timeout=10)

    def wake(self) -> None:
        self._wake.set()

    def _loop(self) -> None:
        while not self._stopped:
            if not self._run_next():
                self._wake.wait(timeout=0.02)
                self._wake.clear()

    def _run_next(self) -> bool:
        now = time.time()
        for session in self._store.all(_OVER, now):
            self._store.end_session(session["id"])
        for row in self._store.all(
            "SELECT id, backend, created, tags FROM jobs WHERE status = 'Queued' ORDER BY number"
        ):
            wait = self.settings.queue_seconds + varied(self.settings, json.loads(row["tags"]))
            if row["created"] + wait > now:
                continue
            if row["backend"] in self.settings.paused:
                continue
            taken = self._store.change(
                "UPDATE jobs SET status = 'Running', started = ? WHERE id = ? AND status = 'Queued'",
                now,
                row["id"],
            )
            if taken:
                self._run(row["id"])
                return True
        return False

    def _run(self, job_id: str) -> None:
        row = self._store.one("SELECT * FROM jobs WHERE id = ?", job_id)
        assert row is not None
        device = self._devices[row["backend"]]
        mock = row["backend"] == device.mock_name
        settings = self.settings
        status, reason, code, charged, result = "Completed", None, None, 0.0, ""
        fault = self._faults.for_job(json.loads(row["tags"]))
        try:
            payload = read_payload(row["program"], json.loads(row["params"]))
            price = price_of(payload, device, settings)
            if fault is not None:
                status, reason, code = fault.job, fault.reason, fault.reason_code
                charged = price if fault.charge else 0.0
                result = fault.reason
            elif row["cost"] and price > row["cost"]:
                status, code, charged = "Cancelled", 1305, float(row["cost"])
                reason = result = "the job ran longer than its maximum execution time"
            else:
                result = run_payload(payload, device, settings.noisy, mock, settings.recall)
                charged = 0.0 if mock else price
        except Exception:
            status, code, result = "Failed", 9999, traceback.format_exc()
            reason = result.strip().splitlines()[-1]
        if settings.run_seconds:
            time.sleep(settings.run_seconds)
        # One statement: the counts and their price appear together, and only if the job was not
        # cancelled meanwhile.
        self._store.change(
            "UPDATE jobs SET status = ?, reason = ?, reason_code = ?, charged = ?, result = ?, "
            "ended = ? WHERE id = ? AND status = 'Running'",
            status,
            reason,
            code,
            charged,
            result,
            time.time(),
            job_id,
        )


def varied(settings: Settings, tags: list[str]) -> float:
    """Seconds that a job waits besides, by its tags."""
    seconds = 0.0
    for text, each in settings.queue_varies.items():
        if text == "*":
            drawn = int(hashlib.sha256(" ".join(tags).encode()).hexdigest()[:12], 16) / 16**12
            seconds += -each * math.log1p(-drawn)
        elif any(text in tag for tag in tags):
            seconds += each
    return seconds


def price_of(payload: Payload, device: Device, settings: Settings) -> float:
    """What the job is charged (`device.charge_seconds`); a delay that the job sets counts."""
    return charge_seconds(
        settings.overhead_seconds,
        settings.rep_delay_seconds if payload.rep_delay is None else payload.rep_delay,
        payload.work(device),
        payload.shots,
    )
