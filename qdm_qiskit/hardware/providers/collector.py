"""Look after jobs that were sent: wait for them, fetch their results, learn their costs.

A result that is missing, cut short or of another job is "not there yet": the job keeps its result,
and asking again costs nothing. Nothing here ever sends a job.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, final

import numpy as np

from ...errors import InvalidData, JobFailed, ServiceUnavailable
from ...progress import Message, Progress
from .base import ENDED, JobTimes, Provider
from .counts import checked_counts, checked_estimates
from .failures import CallFailed
from .requests import EstimatorRequest, JobRequest
from .settings import ServiceSettings

__all__ = [
    "MIN_PAUSE_SECONDS",
    "Collector",
    "Ended",
    "Ending",
    "T",
]

T = TypeVar("T")
Ended = Literal["DONE", "ERROR", "CANCELLED"]
MIN_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The end of a job."""

    status: Ended
    reason: str
    """Reason in the provider's words, on one line; empty for DONE."""

    @property
    def sentence(self) -> str:
        """Words that follow "the job": ``was cancelled``, ``failed: ...``."""
        return "was cancelled" if self.cancelled else f"failed: {self.reason}"

    @property
    def cancelled(self) -> bool:
        """True if it was cancelled, by whomever."""
        return self.status == "CANCELLED"


@final
class Collector:
    """Collector of the jobs of one run.

    Args:
        provider: Provider that has the jobs.
        settings: Limits and intervals.
        progress: Receives what happens, in words.
    """

    def __init__(self, provider: Provider, settings: ServiceSettings, progress: Progress) -> None:
        self._provider = provider
        self._settings = settings
        self._progress = progress

    def ending(self, job_id: str, tell: Callable[[str], None]) -> Ending:
        """Wait until a job has ended, however long its queue is.

        Args:
            job_id: The job.
            tell: Receives each change of the job's state, in words.

        Returns:
            The end of the job.
        """
        settings = self._settings
        told, pause = "", min(settings.first_pause_seconds, settings.poll_seconds)
        while True:
            ending, status = self._look(job_id)
            if ending is not None:
                return ending
            if status != told:
                told = status
                tell("waiting in the queue" if status == "queued" else status)
            time.sleep(pause)
            pause = min(settings.poll_seconds, max(1.5 * pause, MIN_PAUSE_SECONDS))

    def ended(self, job_id: str) -> Ending | None:
        """Return the end of a job; None if it has not ended."""
        return self._look(job_id)[0]

    def waits(self, job_id: str) -> bool | None:
        """Return True if a job waits in the queue, False if it runs; None if it has ended."""
        ending, status = self._look(job_id)
        return None if ending is not None else status == "queued"

    def _look(self, job_id: str) -> tuple[Ending | None, str]:
        status = self._ask(job_id, "asking for its state", self._provider.status)
        if status not in ENDED:
            return None, status
        if status == "done":
            return Ending(status="DONE", reason=""), status
        if status == "cancelled":
            return Ending(status="CANCELLED", reason="it was cancelled"), status
        if status == "lost":
            reason = f"{self._provider.title} knows no such job"
        else:
            reason = self._ask(job_id, "asking why it failed", self._provider.reason)
        return Ending(status="ERROR", reason=reason), status

    def counts(self, job_id: str, request: JobRequest) -> list[np.ndarray]:
        """Return the counts of a finished job.

        Args:
            job_id: A job that is done.
            request: What was sent.

        Returns:
            For each circuit int64 counts of shape ``(batch, 2**num_clbits)``.

        Raises:
            JobFailed: If no result that fits what was sent comes, however often it is asked for.
        """
        return self.result(
            job_id, lambda: checked_counts(self._provider.result(job_id, request), request)
        )

    def estimates(self, job_id: str, request: EstimatorRequest) -> list[np.ndarray]:
        """Return the estimates of a finished job of an Estimator.

        Raises:
            JobFailed: As :meth:`counts`.
        """
        return self.result(
            job_id, lambda: checked_estimates(self._provider.estimates(job_id, request), request)
        )

    def result(self, job_id: str, fetch: Callable[[], T]) -> T:
        """Return the result of a finished job; ask for it again while it is refused.

        Args:
            job_id: A job that is done.
            fetch: Asks the provider; raises InvalidData for anything but the result of what was sent.

        Raises:
            JobFailed: If no good result comes, however often it is asked for.
        """
        settings = self._settings
        problem = ""
        for attempt in range(settings.result_attempts):
            if attempt:
                pause = settings.first_pause_seconds * 2 ** (attempt - 1)
                time.sleep(min(settings.longest_pause_seconds, pause))
            try:
                return self._ask(job_id, "fetching its results", lambda _: fetch())
            except InvalidData as error:
                problem = str(error)
                self._progress(Message(f"job {job_id}: {problem}; asking again"))
        raise JobFailed(
            f"Job {job_id} is done and paid, but its results cannot be used: {problem}; "
            "`qdm run resume` fetches them again and sends nothing."
        )

    def seconds(self, job_id: str, wait_seconds: float = 0.0) -> float | None:
        """Return the cost of a finished job; None if it is not known after so long.

        See :meth:`.base.Provider.usage`; a question that fails leaves it unknown.
        """
        settings = self._settings
        end = time.monotonic() + wait_seconds
        pause = settings.first_pause_seconds
        while True:
            try:
                found = self._ask(job_id, "asking for its usage", self._provider.usage)
            except ServiceUnavailable:
                return None
            if found is not None:
                return found
            nap = min(pause, max(self._provider.usage_due(job_id), 0.01))
            if time.monotonic() + nap > end:
                return None
            time.sleep(nap)
            pause = min(settings.longest_pause_seconds, 2 * pause)

    def listed(self, tag: str) -> list[str]:
        """Return the ids of the jobs that the provider lists for a tag.

        Raises:
            ServiceUnavailable: If the provider does not answer.
        """
        try:
            return list(self._provider.find(tag))
        except CallFailed as error:
            raise ServiceUnavailable(f"The jobs of {tag} could not be listed: {error}") from None

    def times(self, job_id: str) -> JobTimes:
        """Return when a job came, ran and ended by the provider's clock; empty if it does not say."""
        try:
            return self._ask(job_id, "asking when it ended", self._provider.times)
        except ServiceUnavailable:
            return JobTimes()

    def cancel(self, job_id: str) -> bool:
        """Cancel a job that waits or runs; return False if it had ended.

        Raises:
            ServiceUnavailable: If the provider does not answer.
        """
        if self.ended(job_id) is not None:
            return False
        try:
            self._ask(job_id, "cancelling it", self._provider.cancel)
        except ServiceUnavailable:
            if self.ended(job_id) is not None:  # it ended before the request arrived
                return False
            raise
        return True

    def _ask(self, job_id: str, what: str, call: Callable[[str], T]) -> T:
        try:
            return call(job_id)
        except CallFailed as error:
            raise ServiceUnavailable(
                f"Job {job_id}: {what} failed ({error}); the job and its results are safe, "
                "`qdm run resume` goes on."
            ) from None
