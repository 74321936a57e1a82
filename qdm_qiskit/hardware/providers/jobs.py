"""Jobs of a run at a provider: each sent once, waited for, written down, settled, cancelled.

The same rules for every provider: something is reserved first, an intention with a tag is written
down, the job is looked for by its tag before it is sent again, its counts are stored when they
arrive, and its real cost takes the place of the reservation. Another process may ask for the same
job again after a crash: the ledger says how far the last one came.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import final

import numpy as np

from ...errors import JobFailed, ServiceUnavailable, SubmissionUncertain
from ..ledger.budget import is_rehearsal
from ..ledger.ledger import Intention
from ..ledger.run_files import CountsInfo, StoredCounts, counts_path, write_counts
from ..ledger.stored_files import file_sha256
from ..plan.job_limits import command_again
from .base import JobTimes, Provider
from .collector import Collector, Ending
from .context import RunContext
from .failures import CallFailed, SizeLimit, size_limit
from .requests import EstimatorRequest, RunRequest
from .sender import Sender
from .settlement import Settlement

__all__ = [
    "Cancelled",
    "RunJobs",
]


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """Result of a cancelling."""

    jobs: tuple[str, ...] = ()
    """Ids of the jobs that it stopped."""
    finished: tuple[str, ...] = ()
    """Ids of the jobs that had run already: their counts are there, and are not fetched yet."""
    in_doubt: tuple[str, ...] = ()
    """Tags with which a job may exist that the provider could not be asked for."""


@final
class RunJobs:
    """The jobs of a run.

    Args:
        run: The run.
        provider: Takes the jobs; it was told of the run (:meth:`.base.Provider.begin`).
    """

    def __init__(self, run: RunContext, provider: Provider) -> None:
        self.run = run
        self.provider = provider
        self.ledger = run.ledger
        self._settings = run.settings
        self._sender = Sender(provider, run.ledger, run.settings, run.progress)
        self._collector = Collector(provider, run.settings, run.progress)
        self._settlement = Settlement(
            run.run_id,
            run.ledger,
            self._sender,
            self._collector,
            charges=provider.charges,
            progress=run.progress,
            rehearsed=is_rehearsal(run.budget),
        )

    def start(self, request: RunRequest) -> bool:
        """Send a job unless it was sent, and return without waiting for it.

        One that runs in this process is run: nothing goes on without it.

        Returns:
            False if it was not sent, because the account has as many unfinished jobs as it may have.
        """
        if self.provider.in_process:
            self.obtain(request)
            return True
        try:
            self._send(request, wait=False)
        except CallFailed as error:
            if error.failure.kind != "jobs-at-once":
                raise
            self.run.tell(f"{request.part} is not sent yet: {error.failure.message}")
            return False
        return True

    def _send(self, request: RunRequest, *, wait: bool = True) -> None:
        intention = self.latest(request.part)
        if intention is None or intention.state in ("failed", "dropped"):
            intention = None
        if intention is None or intention.state == "intended":
            most = self._settlement.most_seconds(self.run.budget, request.part)
            try:
                self._sender.send(request, intention, max_seconds=most, wait=wait)
            except CallFailed as error:
                size = error.failure.size
                if size is None:
                    raise
                again = self._smaller(request, size)
                raise ServiceUnavailable(
                    f"{self.provider.title} refuses {request.part} of run {self.run.run_id}: "
                    f"{error.failure.message}; no job was created and nothing is charged. {again}"
                ) from None

    def _smaller(self, request: RunRequest, size: SizeLimit) -> str:
        """Write down that a job was too large, and return how its run is planned with smaller ones.

        A plan fixes its jobs, so nothing of it is sent any more, and what it had reserved for jobs
        that were not sent is free again.
        """
        run = self.run
        sizes = request.sizes
        most = size.below(sizes[size.name])
        self.ledger.refused_size(
            run.run_id, request.part, backend=run.plan.backend, name=size.name, most=most
        )
        intention = self.latest(request.part)
        if intention is not None and intention.state == "intended":
            self.ledger.dropped(intention.tag, "the job is larger than its provider takes")
        self.ledger.release(run.run_id)
        again = command_again(self.ledger, run.run_id, {size.name: most}, run.ledger.root)
        return f"The plan fixes its jobs; {again} plans smaller ones."

    def obtain(self, request: RunRequest) -> StoredCounts:
        """Send a job unless it was sent, wait for it, and write its counts down.

        Raises:
            JobFailed: If the job failed at a cost, or again and again, or was cancelled.
            ServiceUnavailable, SubmissionUncertain: See :meth:`.sender.Sender.send`.
        """
        part, failures = request.part, 0
        while True:
            self._send(request)
            intention = self.latest(part)
            assert intention is not None
            assert intention.job_id is not None
            job_id = intention.job_id
            ending = self._ending(part, job_id)
            if ending.status == "DONE":
                return self._take(request, intention)
            charged = self._failed(intention, ending)
            failures += 1
            size = None if ending.cancelled or charged else size_limit(ending.reason)
            if size is not None:
                text = self._failure(part, job_id, ending, charged).partition("; `qdm run")[0]
                raise JobFailed(f"{text}. {self._smaller(request, size)}")
            if not self._again(ending, charged, failures):
                text = self._failure(part, job_id, ending, charged)
                raise JobFailed(text, cancelled=ending.cancelled)
            self.run.tell(
                f"{part}: job {job_id} failed at no cost ({ending.reason}); sending again"
            )
            seconds = self._settlement.reserved_seconds(intention)
            self.reserve([(part, seconds, request.executions)])

    def fetch(self, request: RunRequest) -> StoredCounts | None:
        """Return the counts of a job that was sent, if it has ended; send nothing."""
        intention = self.latest(request.part)
        if intention is None or intention.state in ("failed", "dropped"):
            return None
        if intention.job_id is None:
            if self._sender.resolve(intention.tag) is None:
                return None
            intention = self.ledger.intention(intention.tag)
        assert intention.job_id is not None
        ending = self._collector.ended(intention.job_id)
        if ending is None:
            return None
        if ending.status == "DONE":
            return self._take(request, intention)
        charged = self._failed(intention, ending)
        text = self._failure(request.part, intention.job_id, ending, charged)
        size = None if ending.cancelled or charged else size_limit(ending.reason)
        if size is not None:
            text = f"{text.partition('; `qdm run')[0]}. {self._smaller(request, size)}"
        raise JobFailed(text, cancelled=ending.cancelled)

    def still_waiting(self, job_id: str) -> bool | None:
        """Return True if a job waits in the queue, False if it runs; None if it has ended.

        Raises:
            ServiceUnavailable: If the provider does not answer.
        """
        return self._collector.waits(job_id)

    def settle(self, *, wait: bool = False) -> None:
        """Put the real costs of jobs that have ended in the place of their reservations.

        Args:
            wait: True to wait a while for costs that the provider still counts.
        """
        self._settlement.settle(self._settings.usage_wait_seconds if wait else None)

    def cancel(self) -> Cancelled:
        """Cancel jobs that wait or run; wait for one that may be on its way, after all others.

        Raises:
            ServiceUnavailable: If the provider does not answer; called again, it goes on.
        """
        cancelled: list[str] = []
        finished: list[str] = []
        in_doubt: list[str] = []
        intentions = self.ledger.intentions(self.run.run_id)
        for intention in sorted(intentions, key=lambda each: each.state == "intended"):
            if intention.state == "intended":
                if not self._cleared_up(intention):
                    in_doubt.append(intention.tag)
                intention = self.ledger.intention(intention.tag)
            job_id = intention.job_id
            if intention.state != "submitted" or job_id is None:
                continue
            if self._collector.cancel(job_id):
                cancelled.append(job_id)
            ending = self._collector.ended(job_id)
            if ending is None:
                self.run.tell(
                    f"{intention.part}: job {job_id} is being cancelled; its cost stays reserved"
                )
            elif ending.status == "DONE":
                finished.append(job_id)
            else:
                self._failed(intention, ending)
        return Cancelled(
            jobs=tuple(each for each in cancelled if each not in finished),
            finished=tuple(finished),
            in_doubt=tuple(in_doubt),
        )

    def close(self, *, keep: bool = False) -> None:
        """Let go of the provider; ``keep`` leaves a session open for a later process."""
        self.provider.close(keep=keep)

    def latest(self, part: str) -> Intention | None:
        """Return the last attempt of a part."""
        found = self.ledger.intentions_of(self.run.run_id, part)
        return max(found, key=lambda each: each.attempt, default=None)

    def store(
        self,
        intention: Intention,
        counts: list[np.ndarray],
        shots: int,
        at: float,
        *,
        estimates: Sequence[np.ndarray] = (),
        times: JobTimes | None = None,
        took: float | None = None,
    ) -> StoredCounts:
        """Write counts, or estimates, to disk, then record in the ledger that they are there.

        Args:
            intention: What they answer.
            counts: Counts of each circuit.
            shots: Shots of each row.
            at: End of the job, since 1970.
            estimates: What an Estimator gave in place of counts.
            times: When the job came, ran and ended by its provider's clock, for the journal.
            took: Seconds until its result was here, once it was asked for.
        """
        assert intention.job_id is not None
        info = CountsInfo(job_id=intention.job_id, tag=intention.tag, shots=shots, ran_at=at)
        stored = StoredCounts(counts=tuple(counts), info=info, estimates=tuple(estimates))
        path = counts_path(self.run.plan.folder, intention.part)
        write_counts(path, stored)
        name = str(path.relative_to(self.run.plan.folder))
        service = None if times is None else asdict(times)
        self.ledger.collected(
            intention.tag, name, file_sha256(path), service=service, fetched_in=took
        )
        return stored

    def reserve(self, parts: list[tuple[str, float, int]]) -> None:
        """Reserve seconds and shots for each part that has no reservation."""
        self.ledger.reserve(self.run.budget, self.run.run_id, parts)

    def _cleared_up(self, intention: Intention) -> bool:
        """Return True if a sending's outcome is known; look for its job until the grace is over.

        A job that is found is in the ledger then; where there is none, nothing was created.
        """
        part, tag, grace = intention.part, intention.tag, self._sender.lag_seconds
        ago = self.ledger.seconds_in_doubt(intention)
        left = 0.0 if ago is None else grace - ago
        end = time.monotonic() + left
        if left > 0:
            self.run.tell(
                f"{part} was sent without an answer: looking for its job, {left:.0f} s at most"
            )
        looks, pauses = 0, self._settings.lookup_pauses_seconds
        while True:
            over = time.monotonic() >= end
            try:
                if self._sender.resolve(tag) is not None:
                    return True
            except SubmissionUncertain as error:
                self.run.tell(f"{part}: {error}")
                return False
            if over:
                break
            pause = max(0.05, pauses[min(looks, len(pauses) - 1)])
            time.sleep(max(0.0, min(pause, end - time.monotonic())))
            looks += 1
        reason = "the run was cancelled before it was sent"
        if ago is not None:
            reason = f"the run was cancelled; no job is listed {grace:g} s after the sending"
            self.run.tell(f"{part}: {reason}, so none was created")
        self.ledger.dropped(tag, reason)
        return True

    def _ending(self, part: str, job_id: str) -> Ending:
        """Wait until a job has ended; one that runs in this process has its result when asked."""
        if self.provider.in_process:
            return Ending(status="DONE", reason="")
        return self._collector.ending(job_id, lambda text: self.run.tell(f"{part}: {text}"))

    def _take(self, request: RunRequest, intention: Intention) -> StoredCounts:
        """Fetch counts, write them down at once, then ask for their cost."""
        assert intention.job_id is not None
        # Before them, so that nothing is asked between their arrival and their file.
        times = self._collector.times(intention.job_id)
        at, asked = times.finished, time.monotonic()
        if isinstance(request, EstimatorRequest):
            found = self._collector.estimates(intention.job_id, request)
            ended = self.ledger.now() if at is None else at
            took = time.monotonic() - asked
            stored = self.store(
                intention, [], request.shots, ended, estimates=found, times=times, took=took
            )
        else:
            counts = self._collector.counts(intention.job_id, request)
            ended = self.ledger.now() if at is None else at
            took = time.monotonic() - asked
            stored = self.store(intention, counts, request.shots, ended, times=times, took=took)
        self._settlement.settle_one(self.ledger.intention(intention.tag), 0.0)
        return stored

    def _failed(self, intention: Intention, ending: Ending) -> float | None:
        """Write down that a job ended without counts; return its cost, None if not known yet."""
        self.ledger.job_failed(intention.tag, ending.reason, cancelled=ending.cancelled)
        if not ending.cancelled:
            self.provider.session_closed(ending.reason)
        return self._settlement.settle_one(
            self.ledger.intention(intention.tag), self._settings.usage_wait_seconds
        )

    def _again(self, ending: Ending, charged: float | None, failures: int) -> bool:
        """Return True if a failed job is sent again: if it surely cost nothing, a few times.

        A cost of 0 that the provider does not call final is None here (:meth:`Collector.seconds`).
        """
        return (
            ending.status == "ERROR" and charged == 0.0 and failures < self._settings.job_attempts
        )

    def _failure(self, part: str, job_id: str, ending: Ending, charged: float | None) -> str:
        cost = "its cost is not known yet" if charged is None else f"charged {charged:g} s"
        return (
            f"{part} of run {self.run.run_id} has no counts: job {job_id} on {self.run.plan.backend} "
            f"{ending.sentence} ({cost}); `qdm run resume` sends it again, within the budget."
        )
