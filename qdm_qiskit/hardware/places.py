"""Where the jobs of a run go: IBM's service, or this machine; one face for both.

A place obtains the counts of a part of a run. It may be asked for the same part again, by another
process after a crash: it finds out from the ledger how far the last one came.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from ..errors import JobFailed, ServiceUnavailable, SubmissionUncertain
from ..execution.counts import Pub
from ..execution.runner import CircuitRunner
from ..rng import derived_seed
from .collect import Collector, Ending
from .failures import CallFailed
from .ledger import Intention, Ledger
from .modes import JobMode, Wanted, close_left_behind
from .plan import RunPlan
from .record import CountsInfo, StoredCounts, counts_path, write_counts
from .service import Report, ServiceHandle, connect
from .settings import ServiceSettings
from .submit import JobRequest, Sender

LOCAL_INSTANCE = ""
RUNAWAY_FACTOR, RUNAWAY_SECONDS = 4.0, 30.0
"""A job is stopped by the service beyond this many times its estimate, and this much on top."""


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """What a cancelling came to."""

    jobs: tuple[str, ...] = ()
    """Ids of the jobs that it stopped."""
    finished: tuple[str, ...] = ()
    """Ids of the jobs that had run already: their counts are there, and are not fetched yet."""
    in_doubt: tuple[str, ...] = ()
    """Tags with which a job may exist that the service could not be asked for."""


class Place(ABC):
    """Obtains counts for a run."""

    def __init__(self, plan: RunPlan, ledger: Ledger, report: Report) -> None:
        self.plan = plan
        self.ledger = ledger
        self.report = report

    @abstractmethod
    def start(self, request: JobRequest) -> None:
        """Send a job unless it was sent, and return without waiting for it."""

    @abstractmethod
    def obtain(self, request: JobRequest) -> StoredCounts:
        """Send a job unless it was sent, wait for it, and write its counts down."""

    @abstractmethod
    def fetch(self, request: JobRequest) -> StoredCounts | None:
        """The counts of a job that was sent, if it has ended; sends nothing."""

    @abstractmethod
    def settle(self, *, wait: bool = False) -> None:
        """Put the real costs of jobs that have ended in the place of their reservations.

        Args:
            wait: Whether to wait a while for costs that the service still counts.
        """

    @abstractmethod
    def cancel(self) -> Cancelled:
        """Cancel what waits or runs, and what may be on its way."""

    @abstractmethod
    def close(self, *, keep: bool = False) -> None:
        """Let go of it; ``keep`` leaves a session open for a later process."""

    def latest(self, part: str) -> Intention | None:
        """The last attempt of a part."""
        found = [each for each in self.ledger.intentions(self.plan.run_id) if each.part == part]
        return max(found, key=lambda each: each.attempt, default=None)

    def store(
        self, intention: Intention, counts: list[np.ndarray], shots: int, at: float
    ) -> StoredCounts:
        """Write counts to disk, then into the ledger that they are there."""
        assert intention.job_id is not None
        info = CountsInfo(job_id=intention.job_id, tag=intention.tag, shots=shots, ran_at=at)
        stored = StoredCounts(counts=tuple(counts), info=info)
        path = counts_path(self.plan.folder, intention.part)
        write_counts(path, stored)
        self.ledger.collected(intention.tag, str(path.relative_to(self.plan.folder)))
        return stored

    def reserve(self, parts: list[tuple[str, float, int]]) -> None:
        """Reserve for parts that nothing is reserved for; seconds and shots of each."""
        budget = self.plan.budget if self.plan.is_qpu else None
        self.ledger.reserve(budget, self.plan.run_id, parts)


@final
class ServicePlace(Place):
    """A QPU of IBM's service.

    Args:
        plan: The run.
        ledger: Where everything is written down.
        settings: Limits and intervals.
        report: Is told in words what happens.
        wanted: Job, batch or session.

    Raises:
        ServiceUnavailable: If the account cannot be used.
    """

    def __init__(
        self,
        plan: RunPlan,
        ledger: Ledger,
        settings: ServiceSettings,
        report: Report,
        wanted: Wanted,
    ) -> None:
        super().__init__(plan, ledger, report)
        sent = [each.instance for each in ledger.intentions(plan.run_id)]
        # Jobs of another instance are "not found": a run stays with the one it began with.
        self.handle: ServiceHandle = connect(
            instance=sent[-1] if sent else None, settings=settings, report=report
        )
        self._settings = settings
        self._mode = JobMode(self.handle, ledger, plan.run_id, plan.backend, wanted)
        self._sender = Sender(self.handle, ledger, self._mode)
        self._collector = Collector(self.handle)
        try:
            close_left_behind(self.handle, ledger, plan.run_id)
        except CallFailed as error:
            report(f"sessions left behind could not be looked at: {error}")

    def seconds_left(self) -> float | None:
        """QPU seconds that IBM says the instance has left; None without a limit."""
        try:
            usage = self.handle.usage()
        except CallFailed as error:
            raise ServiceUnavailable(f"IBM Quantum does not say what is left: {error}") from None
        return 0.0 if usage.limit_reached else usage.remaining_seconds

    def start(self, request: JobRequest) -> None:
        """See :meth:`Place.start`."""
        intention = self.latest(request.part)
        if intention is None or intention.state in ("failed", "dropped"):
            intention = None
        if intention is None or intention.state == "intended":
            self._sender.send(request, intention, max_seconds=self._most_seconds(request.part))

    def obtain(self, request: JobRequest) -> StoredCounts:
        """See :meth:`Place.obtain`.

        Raises:
            JobFailed: If the job failed at a cost, or again and again, or was cancelled.
            ServiceUnavailable, SubmissionUncertain: See :meth:`.submit.Sender.send`.
        """
        part, failures = request.part, 0
        while True:
            self.start(request)
            intention = self.latest(part)
            assert intention is not None
            assert intention.job_id is not None
            job_id = intention.job_id
            ending = self._collector.ending(job_id, lambda text: self.report(f"{part}: {text}"))
            if ending.status == "DONE":
                return self._take(request, intention)
            charged = self._failed(intention, ending)
            failures += 1
            if not self._again(ending, charged, failures):
                text = self._failure(part, job_id, ending, charged)
                raise JobFailed(text, cancelled=ending.cancelled)
            self.report(f"{part}: job {job_id} failed at no cost ({ending.reason}); sending again")
            executions = request.rows * request.shots
            self.reserve([(part, self._reserved_seconds(intention), executions)])

    def fetch(self, request: JobRequest) -> StoredCounts | None:
        """See :meth:`Place.fetch`."""
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
        raise JobFailed(text, cancelled=ending.cancelled)

    def settle(self, *, wait: bool = False) -> None:
        """See :meth:`Place.settle`; what the service still counts stays reserved.

        A job that was created twice on the way to the service may be listed only after the first
        one is settled. So the jobs of each intention are listed once more, at the start of the
        next command (``wait`` is False) for which ``grace_seconds`` have passed since its job
        became known, and what the settlement left out is cancelled while it waits, or charged.
        """
        end = time.monotonic() + (self._settings.usage_wait_seconds if wait else 0.0)
        for intention in self.ledger.unsettled(self.plan.run_id):
            if self._settle(intention, end - time.monotonic()) is None and wait:
                self.report(f"{intention.part}: its cost is not known yet and stays reserved")
        if wait:
            return
        known_before = self.ledger.now() - self._settings.grace_seconds
        for intention in self.ledger.to_look_again(self.plan.run_id, known_before):
            self._look_again(intention, end - time.monotonic())

    def cancel(self) -> Cancelled:
        """See :meth:`Place.cancel`; a job that may be on its way is waited for, after all others.

        Raises:
            ServiceUnavailable: If the service does not answer; called again, it goes on.
        """
        cancelled: list[str] = []
        finished: list[str] = []
        in_doubt: list[str] = []
        intentions = self.ledger.intentions(self.plan.run_id)
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
                self.report(
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
        """See :meth:`Place.close`; never raises but for Ctrl-C."""
        if keep:
            self._mode.keep()
        else:
            self._mode.close()

    def _cleared_up(self, intention: Intention) -> bool:
        """Whether it is known what a sending led to; its job is looked for until the grace is over.

        A job that is found is in the ledger then; where there is none, nothing was created.
        """
        part, tag, grace = intention.part, intention.tag, self._settings.grace_seconds
        last = self.ledger.last_sending(intention)
        left = 0.0 if last is None else min(grace, last + grace - self.ledger.now())
        end = time.monotonic() + left
        if left > 0:
            self.report(
                f"{part} was sent without an answer: looking for its job, {left:.0f} s at most"
            )
        looks, pauses = 0, self._settings.lookup_pauses_seconds
        while True:
            over = time.monotonic() >= end
            try:
                if self._sender.resolve(tag) is not None:
                    return True
            except SubmissionUncertain as error:
                self.report(f"{part}: {error}")
                return False
            if over:
                break
            pause = max(0.05, pauses[min(looks, len(pauses) - 1)])
            time.sleep(max(0.0, min(pause, end - time.monotonic())))
            looks += 1
        reason = "the run was cancelled before it was sent"
        if last is not None:
            reason = f"the run was cancelled; no job is listed {grace:g} s after the sending"
            self.report(f"{part}: {reason}, so none was created")
        self.ledger.dropped(tag, reason)
        return True

    def _take(self, request: JobRequest, intention: Intention) -> StoredCounts:
        """Fetch counts, write them down at once, then ask what they cost."""
        assert intention.job_id is not None
        options = request.options
        # Before them, so that nothing is asked between their arrival and their file.
        at = self._collector.finished_at(intention.job_id)
        counts = self._collector.counts(
            intention.job_id,
            request.pubs,
            request.shots,
            twirled=options.twirl_gates or options.twirl_measure,
        )
        stored = self.store(
            intention, counts, request.shots, self.ledger.now() if at is None else at
        )
        self._settle(self.ledger.intention(intention.tag), 0.0)
        return stored

    def _failed(self, intention: Intention, ending: Ending) -> float | None:
        """Write down that a job ended without counts; what it cost, None if not known yet."""
        self.ledger.job_failed(intention.tag, ending.reason, cancelled=ending.cancelled)
        if ending.session_closed:
            self._mode.expired()
        return self._settle(self.ledger.intention(intention.tag), self._settings.usage_wait_seconds)

    def _settle(self, intention: Intention, wait_seconds: float) -> float | None:
        """The cost of an intention's jobs, duplicates included; None while one is not known."""
        try:
            self._sender.resolve(intention.tag)  # a duplicate may have appeared late
            usage: dict[str, float] = {}
            for row in self.ledger.jobs(self.plan.run_id):
                if row["tag"] != intention.tag:
                    continue
                job_id = str(row["job_id"])
                if row["role"] == "duplicate" and self._collector.ended(job_id) is None:
                    return None
                seconds = self._collector.seconds(job_id, wait_seconds)
                if seconds is None:
                    return None
                usage[job_id] = seconds
        except (ServiceUnavailable, SubmissionUncertain) as error:
            self.report(f"{intention.part}: its cost is asked for later ({error})")
            return None
        shots = self._executions(intention) if intention.state == "collected" else 0
        self.ledger.settle(intention.tag, usage, shots)
        return math.fsum(usage.values())

    def _look_again(self, intention: Intention, wait_seconds: float) -> None:
        """List the jobs of a settled intention once more; settle it anew if one was left out."""
        try:
            listed = set(self._collector.listed(intention.tag))
            if not listed <= self._known_jobs(intention):
                self._sender.resolve(intention.tag)
        except (ServiceUnavailable, SubmissionUncertain) as error:
            self.report(f"{intention.part}: a second job of it is looked for later ({error})")
            return
        if not listed <= self._known_jobs(intention):
            return  # the service did not say what became of it; the next command looks again
        if self.ledger.looked_again(intention.tag):
            self.report(f"{intention.part}: a second job was found after the first was settled")
            if self._settle(intention, wait_seconds) is None:
                self.report(f"{intention.part}: its cost is not known yet and is reserved again")

    def _known_jobs(self, intention: Intention) -> set[str]:
        rows = self.ledger.jobs(self.plan.run_id)
        return {str(row["job_id"]) for row in rows if row["tag"] == intention.tag}

    def _executions(self, intention: Intention) -> int:
        rows = self.ledger.reservations(self.plan.run_id)
        found = [row["shots"] for row in rows if row["id"] == intention.reservation]
        return int(found[0] or 0) if found else 0

    def _reserved_seconds(self, intention: Intention) -> float:
        rows = self.ledger.reservations(self.plan.run_id)
        found = [row["seconds"] for row in rows if row["id"] == intention.reservation]
        return float(found[0] or 0.0) if found else 0.0

    def _most_seconds(self, part: str) -> int | None:
        """What a job may take at most: far more than estimated, and never more than the budget.

        The service stops a job there. Without it, one job whose estimate is wrong by a factor of a
        hundred would eat the budget of the month.
        """
        if self.plan.budget is None:
            return None
        left = self.ledger.budget(self.plan.budget).remaining_seconds
        if left is None:
            return None
        held = [
            float(row["seconds"] or 0.0)
            for row in self.ledger.reservations(self.plan.run_id)
            if row["part"] == part and row["state"] == "held"
        ]
        own = held[-1] if held else 0.0
        generous = RUNAWAY_FACTOR * own + RUNAWAY_SECONDS
        return max(1, math.ceil(own), math.floor(min(own + left, generous)))

    def _again(self, ending: Ending, charged: float | None, failures: int) -> bool:
        """Whether a failed job is sent again: only what surely cost nothing, and a few times.

        A cost of 0 that the service does not call final is None here (:meth:`Collector.seconds`).
        """
        return (
            ending.status == "ERROR" and charged == 0.0 and failures < self._settings.job_attempts
        )

    def _failure(self, part: str, job_id: str, ending: Ending, charged: float | None) -> str:
        cost = "its cost is not known yet" if charged is None else f"charged {charged:g} s"
        return (
            f"{part} of run {self.plan.run_id} has no counts: job {job_id} on {self.plan.backend} "
            f"{ending.sentence} ({cost}); `qdm run resume` sends it again, within the budget."
        )


@final
class LocalPlace(Place):
    """This machine: the same path with a simulator at its end, free of charge.

    Args:
        plan: The run.
        ledger: Where everything is written down.
        report: Is told in words what happens.
        exact_counts: Draws a step's counts for target ``engine``, which takes no circuits.
    """

    def __init__(
        self,
        plan: RunPlan,
        ledger: Ledger,
        report: Report,
        exact_counts: Callable[[JobRequest], np.ndarray],
    ) -> None:
        super().__init__(plan, ledger, report)
        self._exact_counts = exact_counts
        self._runner: CircuitRunner | None = None

    def start(self, request: JobRequest) -> None:
        """Runs it: nothing goes on here without a process."""
        self.obtain(request)

    def obtain(self, request: JobRequest) -> StoredCounts:
        """See :meth:`Place.obtain`."""
        intention = self.latest(request.part)
        if intention is None or intention.state in ("failed", "dropped"):
            attempt = 1 if intention is None else intention.attempt + 1
            intention = self.ledger.intend(
                tag=request.tag(attempt),
                run_id=request.run_id,
                part=request.part,
                attempt=attempt,
                payload_sha256=request.payload_sha256,
                backend=request.backend,
                instance=LOCAL_INSTANCE,
                mode="job",
                session_id=None,
            )
        if intention.state == "intended":
            job_id = intention.tag.replace("qdm-", "local-", 1)
            self.ledger.sent(intention.tag, job_id, how="answered")
            intention = self.ledger.intention(intention.tag)
        counts = self._run(request)
        stored = self.store(intention, counts, request.shots, time.time())
        self.settle()
        return stored

    def fetch(self, request: JobRequest) -> StoredCounts | None:
        """Nothing runs here while nobody waits for it."""
        return None

    def settle(self, *, wait: bool = False) -> None:
        """See :meth:`Place.settle`: nothing is charged."""
        for intention in self.ledger.unsettled(self.plan.run_id):
            assert intention.job_id is not None
            self.ledger.settle(intention.tag, {intention.job_id: 0.0}, 0)

    def cancel(self) -> Cancelled:
        """Nothing waits; what was begun is given up."""
        for intention in self.ledger.intentions(self.plan.run_id):
            if intention.state in ("intended", "submitted"):
                self.ledger.dropped(intention.tag, "the run was cancelled")
        return Cancelled()

    def close(self, *, keep: bool = False) -> None:
        """Nothing is open."""

    def _run(self, request: JobRequest) -> list[np.ndarray]:
        if self.plan.target.partition(":")[0] == "engine":
            return [self._exact_counts(request)]
        if self._runner is None:  # once: a device's noise model takes longer than a step
            from ..execution.factory import make_runner

            self._runner = make_runner(self.plan.target, seed=self.plan.seed)
        # One stream a part: a run that is taken up again draws the same shots.
        number = int(request.part.rpartition("-")[2])
        name = "shots" if request.part.startswith("step-") else "calibration"
        seed = derived_seed(derived_seed(self.plan.seed, name, number), "shots", 0)
        pubs: list[Pub] = list(request.pubs)
        return self._runner.run(pubs, shots=request.shots, seed=seed)
