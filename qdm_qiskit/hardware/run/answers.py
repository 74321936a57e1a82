"""Answers to the requests of a run's computation: counts that are here, or that jobs bring.

Whether a job may be sent, and whether it is waited for, is decided for all of them at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, final

from ..ledger.run_files import StoredCounts
from ..plan.calls import JobPlan
from ..providers.context import RunContext
from ..providers.jobs import RunJobs
from ..providers.requests import RunRequest
from .calibrations import Record, RunCalibrations, RunRecords
from .job_requests import RunParts
from .parts import Answered, Part, Unanswered
from .refits import RunRefits

if TYPE_CHECKING:
    from .call_chain import CallJob

__all__ = [
    "Answers",
]


@final
class Answers:
    """Counts for the computation of a run, by one process.

    Args:
        run: The run.
        parts: Requests and counts of the run.
        calibrations: Of its readout; None without mitigation.
        refits: To its device; None without.
        jobs: Its jobs.
        detach: True to send the first missing job, and not wait for it.
        send: True if jobs may be sent at all.
    """

    def __init__(
        self,
        run: RunContext,
        parts: RunParts,
        calibrations: RunCalibrations | None,
        refits: RunRefits | None,
        jobs: RunJobs,
        *,
        detach: bool,
        send: bool,
    ) -> None:
        self._run, self._parts, self._jobs = run, parts, jobs
        self._calibrations, self._refits = calibrations, refits
        self._needed = [each for each in (calibrations, refits) if each is not None]
        self._detach, self._send = detach, send
        self.sends = send
        """True if jobs may be sent, and decisions made."""
        self.stopped = False
        """True if a job was left to run behind us, so that its session has to stay open."""

    def of(self, together: Sequence[Part]) -> list[Answered]:
        """Return the counts of parts that do not depend on each other.

        Raises:
            Unanswered: If those of one are not here, and may not be waited for.
        """
        waits = self._send and not self._detach
        if waits and len(together) > 1:
            self._send_all(together)
        found = [self._counts(each, waits) for each in together]
        missing = [part for part, counts in zip(together, found, strict=True) if counts is None]
        if missing:
            self._stop(missing)
        return [
            Answered(
                counts,
                self._record(self._calibrations, part, counts, waits),
                self._record(self._refits, part, counts, waits),
            )
            for part, counts in zip(together, found, strict=True)
            if counts is not None
        ]

    def of_calls(self, jobs: Sequence[CallJob]) -> list[Answered]:
        """Return the counts of jobs of calls that do not depend on each other; see :meth:`of`."""
        return self.of(
            [Part(each.name, each.shapes, partial(self._request, each)) for each in jobs]
        )

    def _request(self, job: CallJob) -> RunRequest:
        plan = self._run.plan
        assert isinstance(job.plan, JobPlan)  # a refit is asked for by what takes it
        if plan.estimator is not None:
            pubs = job.estimator_pubs(self._parts.circuit)
            return self._parts.estimate(job.plan, pubs)
        exact = plan.target.partition(":")[0] == "engine"
        return self._parts.request(
            job.plan.name,
            job.pubs(self._parts.circuit),
            job.plan.shots,
            job.distributions() if exact else None,
            together=job.plan.together,
        )

    def _send_all(self, together: Sequence[Part]) -> None:
        """Send all missing jobs before waiting for any of them."""
        missing = [each for each in together if self._stored(each) is None]
        if not all(self._sent(each) for each in missing):
            for needed in self._needed:
                needed.obtain(self._jobs, None, send=True)
        for each in missing:
            if not self._jobs.start(each.request()):
                return  # the rest is sent one by one, as jobs end

    def _counts(self, part: Part, waits: bool) -> StoredCounts | None:
        stored = self._stored(part)
        if stored is not None:
            return stored
        if not self._sent(part):
            for needed in self._needed:
                # Before the counts, so that it is near in time; one on its way may come first.
                at = None if waits else self._run.ledger.now()
                needed.obtain(self._jobs, at, send=waits)
        return self._jobs.obtain(part.request()) if waits else self._jobs.fetch(part.request())

    def _record(
        self, records: RunRecords[Record] | None, part: Part, stored: StoredCounts, waits: bool
    ) -> Record | None:
        """Return the calibration, or the refit, of counts."""
        if records is None:
            return None
        found = records.obtain(self._jobs, stored.info.ran_at, send=waits)
        if found is None:
            self._stop([part])
        return found

    def _stop(self, missing: Sequence[Part]) -> None:
        """Send the next job unless it was sent, and wait for nothing.

        That is the calibration or the refit where there is none for now, or for the counts if they are
        here; else the parts.
        """
        name = missing[0].name
        if not self._send:
            self._run.tell(f"{name}: not finished yet")
            raise Unanswered
        self.stopped = True
        stored = [self._stored(each) for each in missing]
        at = self._run.ledger.now() if stored[0] is None else stored[0].info.ran_at
        if any(needed.start(self._jobs, at) for needed in self._needed):
            raise Unanswered
        left = [each for each, counts in zip(missing, stored, strict=True) if counts is None]
        if all(self._jobs.start(each.request()) for each in left):
            self._run.tell(f"{name} is sent; `qdm run resume` goes on")
        raise Unanswered

    def _sent(self, part: Part) -> bool:
        """Return True if the job is there: its counts say then which calibration they need.

        Of a job that ran yesterday that is one of yesterday; one of today would be paid in vain.
        """
        intention = self._jobs.latest(part.name)
        return intention is not None and intention.state == "submitted"

    def _stored(self, part: Part) -> StoredCounts | None:
        return self._parts.stored(part.name, part.shapes, self._jobs.settle)
