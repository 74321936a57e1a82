"""Expectation values from a QPU: one job of IBM's executor-based Estimator, under a budget.

The same rules as for counts: reserved first, an intention with a tag, looked for before it is sent
again, written to disk when it arrives, settled with the real cost.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidData, JobFailed, ServiceUnavailable, SubmissionUncertain
from ..files import write_bytes
from .collect import Collector
from .jobs import EstimateRequest
from .ledger import Intention, Ledger
from .modes import JobMode
from .service import ServiceHandle
from .submit import Sender


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimates:
    """Expectation values of one job."""

    values: np.ndarray
    """``(rows, observables)`` float64."""
    errors: np.ndarray
    """Standard errors, of the same shape."""
    job_id: str


def estimate(
    handle: ServiceHandle,
    ledger: Ledger,
    request: EstimateRequest,
    *,
    budget: str | None,
    seconds: float,
    folder: Path,
) -> Estimates:
    """Obtain expectation values; called again after a crash it goes on, and pays once.

    Args:
        handle: The account.
        ledger: Where everything is written down.
        request: Circuit, observables, values.
        budget: The budget that pays.
        seconds: Estimated QPU seconds, which are reserved.
        folder: Where ``<part>.npz`` is written.

    Returns:
        The values.

    Raises:
        BudgetExceeded: If the budget does not allow it; nothing is sent then.
        ServiceUnavailable, SubmissionUncertain: See :meth:`.submit.Sender.send`.
        JobFailed: If the job ended without values; called again, it is sent again.
    """
    path = folder / f"{request.part}.npz"
    stored = _read(path, request)
    collector = Collector(handle)
    with ledger.run_lock(request.run_id):
        mode = JobMode(handle, ledger, request.run_id, request.backend, "job")
        sender = Sender(handle, ledger, mode)
        if stored is None:
            ledger.reserve(budget, request.run_id, [(request.part, seconds, 0)])
            intention = _latest(ledger, request)
            if intention is None or intention.state == "intended":
                intention = sender.send(request, intention)
            assert intention.job_id is not None
            ending = collector.ending(intention.job_id, handle.report)
            if ending.status != "DONE":
                ledger.job_failed(intention.tag, ending.reason, cancelled=ending.cancelled)
                _settle(ledger, collector, sender, request, handle.settings.usage_wait_seconds)
                raise JobFailed(
                    f"{request.part} of run {request.run_id} has no values: job "
                    f"{intention.job_id} {ending.sentence}; ask again to send it again."
                )
            values, errors = collector.result(
                intention.job_id, lambda result: checked_estimates(result, request)
            )
            stored = Estimates(values=values, errors=errors, job_id=intention.job_id)
            _write(path, stored)
        intention = _latest(ledger, request)
        if intention is not None and intention.state == "submitted":
            ledger.collected(intention.tag, path.name)
        _settle(ledger, collector, sender, request, handle.settings.usage_wait_seconds)
    return stored


def checked_estimates(result: Any, request: EstimateRequest) -> tuple[np.ndarray, np.ndarray]:
    """Values and standard errors of a result, if it is the result of what was sent.

    Args:
        result: What the client returned.
        request: What was sent.

    Returns:
        Two float64 arrays of the request's shape.

    Raises:
        InvalidData: With what is wrong.
    """
    if result is None or isinstance(result, str | bytes):
        raise InvalidData("the results are not there yet")
    try:
        [part] = list(result)
        values = np.asarray(part.data.evs, dtype=np.float64)
        errors = np.asarray(part.data.stds, dtype=np.float64)
    except (TypeError, ValueError, AttributeError, KeyError):
        raise InvalidData("the results hold no expectation values of one circuit") from None
    if values.shape != request.shape or errors.shape != request.shape:
        raise InvalidData(f"the results have the shape {values.shape}, not {request.shape}")
    if not np.isfinite(values).all():
        raise InvalidData("the results hold values that are not finite")
    return values, errors


def _latest(ledger: Ledger, request: EstimateRequest) -> Intention | None:
    """The last attempt of this part that has not failed."""
    found = [each for each in ledger.intentions(request.run_id) if each.part == request.part]
    last = max(found, key=lambda each: each.attempt, default=None)
    return None if last is None or last.state in ("failed", "dropped") else last


def _settle(
    ledger: Ledger,
    collector: Collector,
    sender: Sender,
    request: EstimateRequest,
    wait_seconds: float,
) -> None:
    for intention in ledger.unsettled(request.run_id):
        if intention.part != request.part or intention.job_id is None:
            continue
        usage = _usage(ledger, collector, sender, intention, wait_seconds)
        if usage is not None:
            ledger.settle(intention.tag, usage, 0)


def _usage(
    ledger: Ledger, collector: Collector, sender: Sender, intention: Intention, wait_seconds: float
) -> dict[str, float] | None:
    """What each job of an intention cost, duplicates included; None while one is not known."""
    usage: dict[str, float] = {}
    try:
        sender.resolve(intention.tag)  # a duplicate may have appeared late
        for row in ledger.jobs(intention.run_id):
            if row["tag"] != intention.tag:
                continue
            job_id = str(row["job_id"])
            if row["role"] == "duplicate" and collector.ended(job_id) is None:
                return None
            seconds = collector.seconds(job_id, wait_seconds)
            if seconds is None:
                return None
            usage[job_id] = seconds
    except (ServiceUnavailable, SubmissionUncertain):
        return None  # asked for again at the next call
    return usage


def _write(path: Path, found: Estimates) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, values=found.values, errors=found.errors, job_id=np.array(found.job_id)
    )
    write_bytes(path, buffer.getvalue())


def _read(path: Path, request: EstimateRequest) -> Estimates | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = Estimates(
                values=arrays["values"], errors=arrays["errors"], job_id=str(arrays["job_id"])
            )
        if found.values.shape != request.shape:
            raise InvalidData(f"shape {found.values.shape}, not {request.shape}")
    except Exception as error:  # zip, numpy and key errors alike
        raise InvalidData(
            f"{path} cannot be used ({error}); move it away and ask again."
        ) from error
    return found
