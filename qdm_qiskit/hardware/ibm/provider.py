"""A QPU of IBM's service as a provider."""

from __future__ import annotations

import math
import time
from typing import final

from ...errors import JobFailed, ServiceUnavailable, SubmissionUncertain
from ..ledger.ledger import Intention, Ledger
from ..ledger.run_files import StoredCounts
from ..plan.run_plan import RunPlan
from ..providers.base import Cancelled, Place, Report
from ..providers.requests import JobRequest
from .account import ServiceHandle, connect
from .client_errors import CallFailed
from .collect import Collector, Ending
from .execution_mode import JobMode, Wanted, close_left_behind
from .settings import ServiceSettings
from .submit import Sender

RUNAWAY_FACTOR, RUNAWAY_SECONDS = 4.0, 30.0
"""A job is stopped by the service beyond this many times its estimate, and this much on top."""


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
