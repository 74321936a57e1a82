"""Devices that one account feeds with jobs, simulated: who waits for whom?"""

from __future__ import annotations

import heapq

__all__ = ["HOURS", "JOBS_PER_MINUTE", "simulate"]

HOURS = 1_000
JOBS_PER_MINUTE = 5
"""Create-job requests a minute of a user: IBM's REST API, operation `POST /v1/jobs`."""


def simulate(
    job_s: float, devices: int, groups: int, *, hours: float = HOURS, ledger_s: float = 0.0
) -> dict[str, float]:
    """Simulate devices that are fed by one account, until they have worked so many hours in all.

    Args:
        job_s: Seconds of a device for each job.
        devices: Devices, of which each does one job at a time.
        groups: Groups of images; the next job of a group is sent when its last one has ended.
        hours: Device-hours in all.
        ledger_s: Seconds of the sender for each job.

    Returns:
        ``hours`` by the clock, and ``busy``, the part of them that the devices worked.
    """
    jobs = max(1, round(hours * 3600 / job_s))
    gap = 60 / JOBS_PER_MINUTE
    free = [0.0] * devices
    ready = [0.0] * groups
    heapq.heapify(ready)
    sent, last = -gap, 0.0
    for _ in range(jobs):
        sent = max(heapq.heappop(ready) + ledger_s, sent + gap)
        device = heapq.heappop(free)
        end = max(device, sent) + job_s
        heapq.heappush(free, end)
        heapq.heappush(ready, end)
        last = max(last, end)
    return {"hours": last / 3600, "busy": jobs * job_s / (last * devices)}
