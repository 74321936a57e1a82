"""Where the time of a hardware run went, from its journal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import InvalidData

__all__ = ["JobTime", "RunTimes", "run_times"]

_STOPS = ("planned", "interrupted", "run-failed", "run-cancelled", "run-done")
"""Events after which nobody is at work, until the next one."""
_BEGINS = ("reserved", "run-running", "intended", "sending")
"""Events of work; others come of looking, too."""
_OPENS = ("sending", "submitted")
_CLOSES = ("collected", "job-failed", "job-cancelled", "dropped")


@dataclass(frozen=True, kw_only=True)
class JobTime:
    """The time of one job, in seconds."""

    part: str
    """Its name, such as ``step-0010``."""
    turnaround: float
    """From its sending until its counts were on disk, by this machine's clock."""
    queue: float | None
    """From its arrival until it ran, by the provider's clock; None where that does not say."""
    run: float | None
    """From there to its end, by the same clock; by this machine's where it ran here."""
    communication: float | None
    """The rest of the turnaround: sending, asking for its state, fetching, writing."""


@dataclass(frozen=True, kw_only=True)
class RunTimes:
    """The time of a run, in seconds: ``total`` is the sum of the four parts after it."""

    jobs: tuple[JobTime, ...]
    """Jobs whose counts came, in their order."""
    total: float
    """From the first work after planning to the end, or to the last event of an open run."""
    in_jobs: float
    """Part in which a job was out, one or several."""
    preparing: float
    """Part before the sending of a job: loading, transpiling, binding values."""
    post_processing: float
    """Part behind jobs: mitigation, decoding, the next noisy images, records."""
    away: float
    """Part in which no process was at work and no job was out."""

    def sum_of(self, name: str) -> float | None:
        """Return the sum of a field over the jobs; None if there are none, or one does not say."""
        found = [getattr(each, name) for each in self.jobs]
        if not found or any(each is None for each in found):
            return None
        return math.fsum(found)


@dataclass(frozen=True)
class _Event:
    at: float
    kind: str
    part: str | None
    detail: Mapping[str, Any]

    @property
    def stops(self) -> bool:
        stopped = self.kind.startswith("run-") and self.detail.get("reason") is not None
        return self.kind in _STOPS or (stopped and "step" not in self.detail)

    @property
    def starts(self) -> bool:
        return self.kind == "run-running" and "step" not in self.detail and not self.stops


def run_times(journal: Sequence[Mapping[str, Any]], *, in_process: bool) -> RunTimes | None:
    """Read the times of a run from its journal.

    Args:
        journal: Events as a manifest has them, oldest first: ``at`` (ISO 8601), ``kind``, ``part``
            and what belongs to the kind.
        in_process: True if jobs ran in the process that sent them, so that none waited in a queue.

    Returns:
        The times; None if nothing was done since it was planned.

    Raises:
        InvalidData: If an event has no time or no kind.
    """
    events = _until_done([_event(each) for each in journal])
    parts = dict.fromkeys(("in_jobs", "preparing", "post_processing", "away"), 0.0)
    out: dict[str, float] = {}
    jobs: list[JobTime] = []
    begun = False
    for before, event in zip([None, *events], events, strict=False):
        tag = str(event.detail.get("tag", ""))
        if before is not None and begun:
            parts[_part_of(before, event, bool(out))] += max(0.0, event.at - before.at)
        begun = begun or event.kind in _BEGINS
        if event.kind in _OPENS:
            out.setdefault(tag, event.at)
        elif event.kind in _CLOSES and tag in out:
            sent = out.pop(tag)
            if event.kind == "collected":
                jobs.append(_job(event, max(0.0, event.at - sent), in_process))
    if not begun:
        return None
    return RunTimes(jobs=tuple(jobs), total=math.fsum(parts.values()), **parts)


def _event(values: Mapping[str, Any]) -> _Event:
    try:
        at = datetime.fromisoformat(values["at"]).timestamp()
        return _Event(at, str(values["kind"]), values.get("part"), values)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidData(
            f"An event of the journal has no time or no kind ({type(error).__name__})."
        ) from error


def _until_done(events: list[_Event]) -> list[_Event]:
    """Return the events up to the end of the run: what comes later is no work on it."""
    ends = [k for k, each in enumerate(events) if each.kind == "run-done"]
    return events[: ends[-1] + 1] if ends else events


def _part_of(before: _Event, event: _Event, job_out: bool) -> str:
    if job_out:
        return "in_jobs"
    if before.stops or event.starts:
        return "away"
    return "preparing" if event.kind in ("intended", "sending", "submitted") else "post_processing"


def _job(event: _Event, turnaround: float, in_process: bool) -> JobTime:
    queue = run = None
    if in_process:
        queue = 0.0
        run = _seconds(event.detail.get("fetched_in"))
    else:
        service = event.detail.get("service")
        told = service if isinstance(service, Mapping) else {}
        created, started, finished = (
            _seconds(told.get(each)) for each in ("created", "started", "finished")
        )
        if created is not None and started is not None:
            queue = max(0.0, started - created)
        if started is not None and finished is not None:
            run = max(0.0, finished - started)
    rest = None
    if queue is not None and run is not None:
        rest = max(0.0, turnaround - queue - run)  # two clocks, whose rates differ a little
    return JobTime(
        part=str(event.part), turnaround=turnaround, queue=queue, run=run, communication=rest
    )


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
