"""Fetch the counts of a job: wait, decode, check, and learn what it cost.

``None``, a text, half a result and an answer that is no JSON are all "not there yet": the job keeps
its result, and asking again costs nothing. Nothing here ever sends a job.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, final

import numpy as np

from ...errors import InvalidData, JobFailed, ServiceUnavailable
from ...execution.counts import Pub, counts_from_bits
from .account import ServiceHandle
from .client_errors import CallFailed
from .submit import WAITING

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService, RuntimeJobV2

T = TypeVar("T")
Ended = Literal["DONE", "ERROR", "CANCELLED"]
MIN_PAUSE_SECONDS = 0.1
SESSION_CLOSED = "1217"
"""IBM's code for a job whose session was closed before it ran."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a job ended."""

    status: Ended
    reason: str
    """IBM's words on one line; empty for DONE."""

    @property
    def sentence(self) -> str:
        """What follows "the job": ``was cancelled``, ``failed: ...``."""
        return "was cancelled" if self.cancelled else f"failed: {self.reason}"

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled, by whomever."""
        return self.status == "CANCELLED"

    @property
    def session_closed(self) -> bool:
        """Whether it never ran because its session was closed."""
        return self.status == "ERROR" and SESSION_CLOSED in self.reason


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What a job cost."""

    seconds: float
    """QPU seconds, >= 0."""
    final: bool
    """Whether the service says that it counts no more; it may leave that open."""


def charge_of(metrics: object) -> Charge | None:
    """What the metrics of a job say that it cost; None while the service counts, or says nothing.

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
    """Whether the metrics of a job say that it has ended and was never running."""
    times = metrics.get("timestamps") if isinstance(metrics, dict) else None
    return (
        isinstance(times, dict)
        and bool(times.get("finished"))
        and times.get("running", "not said") is None
    )


@final
class Collector:
    """Looks after the jobs of one run."""

    def __init__(self, handle: ServiceHandle) -> None:
        self._handle = handle
        self._jobs: dict[str, tuple[object, RuntimeJobV2]] = {}
        self._unmarked: dict[str, tuple[float, float]] = {}
        """A job's usage that has no status, and since when it has been that."""

    def ending(self, job_id: str, say: Callable[[str], None]) -> Ending:
        """Wait until a job has ended, however long its queue is.

        Args:
            job_id: The job.
            say: Is told when the job's state changes.

        Returns:
            How it ended.
        """
        settings = self._handle.settings
        told, pause = "", min(settings.first_pause_seconds, settings.poll_seconds)
        while True:
            ending, status = self._look(job_id)
            if ending is not None:
                return ending
            if status != told:
                told = status
                say("waiting in the queue" if status in WAITING else status.lower())
            time.sleep(pause)
            pause = min(settings.poll_seconds, max(1.5 * pause, MIN_PAUSE_SECONDS))

    def ended(self, job_id: str) -> Ending | None:
        """How a job ended; None if it has not."""
        return self._look(job_id)[0]

    def _look(self, job_id: str) -> tuple[Ending | None, str]:
        def look(job: RuntimeJobV2) -> tuple[str, str]:
            status = str(job.status())
            # The reason with its code; the public text leaves the code out in some cases.
            return status, str(getattr(job, "_reason", None) or "no reason given")

        status, reason = self._ask(job_id, "asking for its state", look)
        if status == "DONE":
            return Ending(status="DONE", reason=""), status
        if status == "ERROR":
            return Ending(status="ERROR", reason=self._handle.one_line(reason)), status
        if status == "CANCELLED":
            return Ending(status="CANCELLED", reason="it was cancelled"), status
        return None, status

    def counts(
        self, job_id: str, pubs: Sequence[Pub], shots: int, *, twirled: bool
    ) -> list[np.ndarray]:
        """The counts of a finished job of the Sampler.

        Args:
            job_id: A job that is DONE.
            pubs: What was sent.
            shots: Shots of each row.
            twirled: Whether IBM may have rounded the shots up to whole randomizations.

        Returns:
            For each pub int64 counts of shape ``(batch, 2**num_clbits)``.

        Raises:
            JobFailed: If no result that fits what was sent comes, however often it is asked for.
        """
        return self.result(job_id, lambda r: checked_counts(r, pubs, shots, twirled=twirled))

    def result(self, job_id: str, check: Callable[[Any], T]) -> T:
        """What a check makes of a finished job's result; asked for again while it refuses it.

        Args:
            job_id: A job that is DONE.
            check: Raises InvalidData for anything but the result of what was sent.

        Raises:
            JobFailed: If no good result comes, however often it is asked for.
        """
        settings = self._handle.settings
        problem = ""
        for attempt in range(settings.result_attempts):
            if attempt:
                pause = settings.first_pause_seconds * 2 ** (attempt - 1)
                time.sleep(min(settings.longest_pause_seconds, pause))
            result = self._ask(job_id, "fetching its results", lambda job: job.result())
            try:
                return check(result)
            except InvalidData as error:
                problem = str(error)
                self._handle.report(f"job {job_id}: {problem}; asking again")
                del self._jobs[job_id]
        raise JobFailed(
            f"Job {job_id} is done and paid, but its results cannot be used: {problem}; "
            "`qdm run resume` fetches them again and sends nothing."
        )

    def seconds(self, job_id: str, wait_seconds: float = 0.0) -> float | None:
        """What a finished job cost; None if it is not known after so long.

        A service that does not say whether its number is final is taken at its word once the number
        has stayed the same for ``unmarked_usage_seconds``. But not for 0, which may as well mean
        that it has not counted yet: only a job that was cancelled before it ran has surely cost
        nothing then. So 0 for a job that failed is always what the service calls final.
        """
        settings = self._handle.settings
        end = time.monotonic() + wait_seconds
        pause = settings.first_pause_seconds
        while True:
            try:
                metrics = self._ask(job_id, "asking for its usage", lambda job: job.metrics())
            except ServiceUnavailable:
                return None
            now, sure_in = time.monotonic(), math.inf
            found = charge_of(metrics)
            if found is not None and found.final:
                return found.seconds
            if found is not None and (found.seconds > 0 or self._cancelled_unrun(job_id, metrics)):
                seen = self._unmarked.get(job_id)
                if seen is None or seen[0] != found.seconds:
                    seen = self._unmarked[job_id] = (found.seconds, now)
                sure_in = seen[1] + settings.unmarked_usage_seconds - now
                if sure_in <= 0:
                    return found.seconds
            nap = min(pause, max(sure_in, 0.01))
            if now + nap > end:
                return None
            time.sleep(nap)
            pause = min(settings.longest_pause_seconds, 2 * pause)

    def _cancelled_unrun(self, job_id: str, metrics: object) -> bool:
        if not never_ran(metrics):
            return False
        try:
            ending = self.ended(job_id)
        except ServiceUnavailable:
            return False
        return ending is not None and ending.status == "CANCELLED"

    def listed(self, tag: str) -> list[str]:
        """Ids of the jobs that the service lists for a tag.

        Raises:
            ServiceUnavailable: If the service does not answer.
        """

        def look(service: QiskitRuntimeService) -> list[str]:
            jobs = service.jobs(job_tags=[tag], limit=None)
            return [job.job_id() for job in jobs if tag in (job.tags or [])]

        try:
            return self._handle.ask("looking for jobs by their tag", look)
        except CallFailed as error:
            raise ServiceUnavailable(f"The jobs of {tag} could not be listed: {error}") from None

    def finished_at(self, job_id: str) -> float | None:
        """When a job ended by the service's clock, since 1970; None if it does not say."""
        try:
            metrics = self._ask(job_id, "asking when it ended", lambda job: job.metrics())
            text = metrics["timestamps"]["finished"]
            found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        except (ServiceUnavailable, KeyError, TypeError, ValueError):
            return None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()

    def cancel(self, job_id: str) -> bool:
        """Cancel a job that waits or runs; False if it had ended.

        Raises:
            ServiceUnavailable: If the service does not answer.
        """
        if self.ended(job_id) is not None:
            return False
        try:
            self._ask(job_id, "cancelling it", lambda job: job.cancel())
        except ServiceUnavailable:
            self._jobs.pop(job_id, None)
            if self.ended(job_id) is not None:  # it ended before the request arrived
                return False
            raise
        self._jobs.pop(job_id, None)
        return True

    def _ask(self, job_id: str, what: str, use: Callable[[RuntimeJobV2], T]) -> T:
        """Ask something about a job, of an object with the present token."""

        def call(service: QiskitRuntimeService) -> T:
            known = self._jobs.get(job_id)
            if known is None or known[0] is not service:
                known = (service, service.job(job_id))
                self._jobs[job_id] = known
            return use(known[1])

        try:
            return self._handle.ask(f"job {job_id}: {what}", call)
        except CallFailed as error:
            raise ServiceUnavailable(
                f"Job {job_id}: {what} failed ({error}); the job and its results are safe, "
                "`qdm run resume` goes on."
            ) from None


def checked_counts(
    result: Any, pubs: Sequence[Pub], shots: int, *, twirled: bool
) -> list[np.ndarray]:
    """Counts of a result, if it is the result of what was sent.

    Args:
        result: What the client returned: its result, None, a text, or something else.
        pubs: What was sent.
        shots: Shots of each row.
        twirled: Whether more shots than asked for are possible.

    Returns:
        For each pub int64 counts of shape ``(batch, 2**num_clbits)``.

    Raises:
        InvalidData: With what is wrong.
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
        register = circuit.cregs[0].name
        try:
            bits = part.data[register]
            width, taken = int(bits.num_bits), int(bits.num_shots)
            counts = counts_from_bits(bits)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise InvalidData(
                f"the results have no register '{register}' of counts ({type(error).__name__})"
            ) from None
        if width != circuit.num_clbits or len(counts) != len(values):
            raise InvalidData(
                f"the results have {len(counts)} rows of {width} bits, {len(values)} rows of "
                f"{circuit.num_clbits} bits were sent"
            )
        if taken != shots and not (twirled and taken > shots):
            raise InvalidData(f"the results have {taken} shots a row, {shots} were sent")
        if (counts.sum(axis=1) != taken).any():
            raise InvalidData("the results' counts do not add up to the shots")
        found.append(counts)
    return found
