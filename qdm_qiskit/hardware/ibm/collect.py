"""Results and costs of jobs as IBM's client gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from qiskit import ClassicalRegister

from ...errors import InvalidData
from ...execution.counts import Pub, counts_from_bits
from ...execution.estimators import estimates_of
from ..providers.base import JobTimes

__all__ = [
    "SESSION_CLOSED",
    "Charge",
    "charge_of",
    "checked_counts",
    "checked_estimates",
    "job_times",
    "never_ran",
    "session_closed",
]

SESSION_CLOSED = "1217"
"""IBM's code for a job whose session was closed before it ran."""


def session_closed(reason: str) -> bool:
    """Return True if a job failed because its session was closed before it ran.

    >>> session_closed("Error code 1217; Session closed")
    True
    """
    return SESSION_CLOSED in reason


@dataclass(frozen=True, kw_only=True)
class Charge:
    """Cost of a job."""

    seconds: float
    """QPU seconds, >= 0."""
    final: bool
    """True if the service says that it counts no more; it may leave that open."""


def charge_of(metrics: object) -> Charge | None:
    """Return the cost of a job by its metrics; None while IBM counts, or says nothing.

    >>> charge_of({"usage": {"status": "complete", "qpu_charge_time_seconds": 3}})
    Charge(seconds=3.0, final=True)
    >>> charge_of({"usage": {"qpu_charge_time_seconds": 3}})
    Charge(seconds=3.0, final=False)
    """
    usage = metrics.get("usage") if isinstance(metrics, dict) else None
    if not isinstance(usage, dict) or usage.get("status") == "pending":
        return None
    seconds = usage.get("qpu_charge_time_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        value = float(seconds)
    except OverflowError:  # JSON has integers of any length
        return None
    if not math.isfinite(value):
        return None
    return Charge(seconds=max(0.0, value), final=usage.get("status") is not None)


def never_ran(metrics: object) -> bool:
    """Return True if a job has ended and was never running, by its metrics."""
    times = metrics.get("timestamps") if isinstance(metrics, dict) else None
    return (
        isinstance(times, dict)
        and bool(times.get("finished"))
        and times.get("running", "not said") is None
    )


def job_times(metrics: object) -> JobTimes:
    """Return when a job came, ran and ended, by its metrics; what they do not say is None.

    >>> job_times({"timestamps": {"created": "1970-01-01T00:00:01Z", "running": None}})
    JobTimes(created=1.0, started=None, finished=None)
    """
    times = metrics.get("timestamps") if isinstance(metrics, dict) else None
    if not isinstance(times, dict):
        return JobTimes()
    return JobTimes(
        created=_since_1970(times.get("created")),
        started=_since_1970(times.get("running")),
        finished=_since_1970(times.get("finished")),
    )


def _since_1970(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None


def checked_counts(
    result: Any, pubs: Sequence[Pub], shots: int, *, twirled: bool
) -> list[np.ndarray]:
    """Return the counts of a result, if it is the result of what was sent.

    Args:
        result: What the client returned: its result, None, a text, or something else.
        pubs: What was sent.
        shots: Shots of each row.
        twirled: Whether more shots than asked for are possible.

    Returns:
        For each register of each pub int64 counts of shape ``(batch, 2**bits)``.

    Raises:
        InvalidData: If it is not, with the fault.
    """
    if result is None:
        raise InvalidData("the results are not there yet")
    if isinstance(result, str | bytes):
        raise InvalidData(f"the results are a text of {len(result)} characters, not counts")
    try:
        parts = list(result)
    except TypeError:
        raise InvalidData(f"the results are {type(result).__name__}, not counts") from None
    if len(parts) != len(pubs):
        raise InvalidData(f"the results hold {len(parts)} circuits, {len(pubs)} were sent")
    found = []
    for part, (circuit, values) in zip(parts, pubs, strict=True):
        for register in circuit.cregs:
            counts, taken = _register_counts(part, register, len(values))
            if taken != shots and not (twirled and taken > shots):
                raise InvalidData(f"the results have {taken} shots a row, {shots} were sent")
            if (counts.sum(axis=1) != taken).any():
                raise InvalidData("the results' counts do not add up to the shots")
            found.append(counts)
    return found


def _register_counts(part: Any, register: ClassicalRegister, rows: int) -> tuple[np.ndarray, int]:
    """Return the counts of a register, ``(rows, 2**size)``, and the shots of a row."""
    try:
        bits = part.data[register.name]
        width, taken = int(bits.num_bits), int(bits.num_shots)
        counts = counts_from_bits(bits)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InvalidData(
            f"the results have no register '{register.name}' of counts ({type(error).__name__})"
        ) from None
    if width != register.size or len(counts) != rows:
        raise InvalidData(
            f"the results have {len(counts)} rows of {width} bits, {rows} rows of "
            f"{register.size} bits were sent"
        )
    return counts, taken


def checked_estimates(result: Any, shapes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Return the values and errors of an Estimator's result.

    Args:
        result: What the client returned.
        shapes: Rows and observables of each PUB that was sent.

    Returns:
        For each PUB ``(2, rows, observables)`` float64.

    Raises:
        InvalidData: If it is not the result of what was sent, with the fault.
    """
    if result is None or isinstance(result, str | bytes):
        raise InvalidData("the results are not there yet")
    try:
        parts = list(result)
        if len(parts) != len(shapes):
            raise InvalidData(f"the results hold {len(parts)} circuits, {len(shapes)} were sent")
        return [
            np.stack(estimates_of(part, shape)) for part, shape in zip(parts, shapes, strict=True)
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidData(
            f"the results hold no expectation values ({type(error).__name__})"
        ) from None
