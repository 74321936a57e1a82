"""Counts of a run's parts: from disk, from a job that has ended, or from one that is sent now.

Whoever computes the run asks for them, in its order, as if they were there; where they are not and
nothing may be waited for, :class:`Unanswered` leads back out of the computation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from ...mitigation.readout import ReadoutCalibration
from ..ledger.run_files import StoredCounts
from ..providers.context import RunContext
from ..providers.jobs import RunJobs
from ..providers.requests import JobRequest
from .calibrations import RunCalibrations
from .job_requests import RunParts

Shape = tuple[int, int]
"""Rows and outcomes of a circuit's counts."""


class Unanswered(BaseException):
    """The counts of a part are not here, and nothing is waited for: the run stops at this place.

    No error, and no ``Exception``: nothing in a model's own code between two calls may hold it up.
    """


@dataclass(frozen=True)
class Part:
    """A job of the run's steps."""

    name: str
    shapes: Sequence[Shape]
    """Of the counts of each circuit."""
    request: Callable[[], JobRequest]
    """Makes what is sent."""


@dataclass(frozen=True)
class Answered:
    """A part's counts, and the calibration that corrects them."""

    stored: StoredCounts
    calibration: ReadoutCalibration | None


@final
class Answers:
    """Counts for the computation of a run, by one process.

    Args:
        run: The run.
        parts: Requests and counts of the run.
        calibrations: Of its readout; None without mitigation.
        jobs: Its jobs.
        detach: Whether the first job that is missing is sent, and not waited for.
        send: Whether jobs may be sent at all.
    """

    def __init__(
        self,
        run: RunContext,
        parts: RunParts,
        calibrations: RunCalibrations | None,
        jobs: RunJobs,
        *,
        detach: bool,
        send: bool,
    ) -> None:
        self._run, self._parts, self._calibrations, self._jobs = run, parts, calibrations, jobs
        self._detach, self._send = detach, send
        self.stopped = False
        """Whether a job was left to run behind us, so that its session has to stay open."""

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
            Answered(counts, self._calibration(part, counts, waits))
            for part, counts in zip(together, found, strict=True)
            if counts is not None
        ]

    def _send_all(self, together: Sequence[Part]) -> None:
        """Send what is missing before any of it is waited for."""
        missing = [each for each in together if self._stored(each) is None]
        if missing and self._calibrations is not None:
            self._calibrations.obtain(self._jobs, None, send=True)
        for each in missing:
            self._jobs.start(each.request())

    def _counts(self, part: Part, waits: bool) -> StoredCounts | None:
        stored = self._stored(part)
        if stored is not None:
            return stored
        if self._calibrations is not None:
            # Before the counts, so that it is near in time; one on its way may come first.
            at = None if waits else self._run.ledger.now()
            self._calibrations.obtain(self._jobs, at, send=waits)
        return self._jobs.obtain(part.request()) if waits else self._jobs.fetch(part.request())

    def _calibration(
        self, part: Part, stored: StoredCounts, waits: bool
    ) -> ReadoutCalibration | None:
        if self._calibrations is None:
            return None
        found = self._calibrations.obtain(self._jobs, stored.info.ran_at, send=waits)
        if found is None:
            self._stop([part])
        return found

    def _stop(self, missing: Sequence[Part]) -> None:
        """Send what comes next unless it was sent, and wait for nothing.

        That is the calibration where there is none for now, or for the counts if they are here; else
        the parts.
        """
        name = missing[0].name
        if not self._send:
            self._run.tell(f"{name}: not finished yet")
            raise Unanswered
        self.stopped = True
        stored = [self._stored(each) for each in missing]
        at = self._run.ledger.now() if stored[0] is None else stored[0].info.ran_at
        if self._calibrations is not None and self._calibrations.start(self._jobs, at):
            self._run.tell("a calibration job is sent; `qdm run resume` goes on")
            raise Unanswered
        for each, counts in zip(missing, stored, strict=True):
            if counts is None:
                self._jobs.start(each.request())
        self._run.tell(f"{name} is sent; `qdm run resume` goes on")
        raise Unanswered

    def _stored(self, part: Part) -> StoredCounts | None:
        return self._parts.stored(part.name, part.shapes, self._jobs.settle)
