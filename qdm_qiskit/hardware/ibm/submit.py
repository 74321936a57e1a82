"""Send a job once: the intention first, the id after, and a look by tag whenever in doubt.

IBM's client has no idempotency key, so each job carries a tag of its own. Before anything is sent
again, and after every sending, the service is asked which jobs have that tag: the oldest is adopted
and the others are cancelled while they wait.

"Sending" is written down at the last moment, when the payload is built, the client's own questions
are answered and only the POST remains (:mod:`.post_guard`). A process that died before
that has sent nothing, and the next one sends at once. One that died after it may have sent a job
that no list shows yet: its POST may still be read by the service, and lists lag. Then the tag is
looked up until ``grace_seconds`` after the sending; only a tag that has no job by then is sent again.
A sending that the service refused (a 4xx) or that did not reach it needs no such time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, final

from ...errors import InvalidOption, ServiceUnavailable, SubmissionUncertain
from ..ledger.ledger import Intention, Ledger
from ..providers.requests import Request
from .account import ServiceHandle
from .client_errors import CallFailed, Failure
from .execution_mode import JobMode
from .sampler import send_job

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

MINUTE_SECONDS = 60.0
PACED_SECONDS = 600.0
"""For so long after a 429 jobs are paced; a 429 itself creates no job and costs nothing."""
WAITING = ("INITIALIZING", "QUEUED")
ENDED_WITHOUT = ("ERROR", "CANCELLED")


@final
class Sender:
    """Sends the jobs of one run.

    Args:
        handle: The service.
        ledger: Where intentions and ids are written down.
        mode: Job, batch or session.
    """

    def __init__(self, handle: ServiceHandle, ledger: Ledger, mode: JobMode) -> None:
        self._handle = handle
        self._ledger = ledger
        self._mode = mode
        self._settings = handle.settings

    def send(
        self, request: Request, intention: Intention | None, *, max_seconds: int | None = None
    ) -> Intention:
        """Send a job unless it was sent already.

        Args:
            request: The work; something must be reserved for its part.
            intention: What is in the ledger for this part already, without a job id.
            max_seconds: What the job may take at most, so that the budget holds.

        Returns:
            The intention, with the id of its one job.

        Raises:
            ServiceUnavailable: If the service refuses it, or does not answer; no job exists then.
            SubmissionUncertain: If a job may exist that cannot be found yet; sending again later
                looks for it first.
        """
        if intention is None:
            intention = self._intend(request)
        found = self._find_before(intention)
        while found is None:
            found = self._send_once(request, intention, max_seconds)
        return self._ledger.intention(intention.tag)

    def _intend(self, request: Request) -> Intention:
        earlier = [
            each for each in self._ledger.intentions(request.run_id) if each.part == request.part
        ]
        attempt = 1 + max((each.attempt for each in earlier), default=0)
        return self._ledger.intend(
            tag=request.tag(attempt),
            run_id=request.run_id,
            part=request.part,
            attempt=attempt,
            payload_sha256=request.payload_sha256,
            backend=request.backend,
            instance=self._handle.instance,
            mode=self._mode.mode,
            session_id=self._mode.session_id,
        )

    def _find_before(self, intention: Intention) -> str | None:
        """A job of this tag from an earlier process; waits if it may still be on its way."""
        found = self.resolve(intention.tag)
        last = self._ledger.last_sending(intention)
        if found is not None or last is None:
            return found
        return self._look_until(intention.tag, last + self._settings.grace_seconds)

    def _send_once(
        self, request: Request, intention: Intention, max_seconds: int | None
    ) -> str | None:
        """Send, and find out what became of it; None if it is to be sent again."""
        attempts = 0
        while True:
            attempts += 1
            failure = self._post(request, intention, max_seconds)
            if failure is None:
                return self.resolve(intention.tag)
            self._ledger.send_failed(
                intention.tag,
                failure.kind,
                failure.message,
                nothing_created=failure.nothing_created,
            )
            found = self._look_after(intention, failure)
            if found is not None:
                self._handle.report(f"{request.part}: the job was created after all ({found})")
                return found
            if failure.kind == "refused":
                raise ServiceUnavailable(
                    f"IBM Quantum refuses {request.part} of run {request.run_id}: "
                    f"{failure.message}; no job was created and nothing is charged."
                )
            if failure.kind == "other":
                raise InvalidOption(
                    f"{request.part} of run {request.run_id} cannot be sent: {failure.message}; no "
                    "job was created."
                )
            if failure.kind == "timeout" or attempts >= self._settings.submit_attempts:
                raise self._given_up(request, failure)
            self._before_again(request, failure, attempts)

    def _post(
        self, request: Request, intention: Intention, max_seconds: int | None
    ) -> Failure | None:
        """One call of IBM's Sampler; what went wrong, if anything."""
        try:
            target = self._mode.target()
        except CallFailed as error:
            # Nothing of the job has been sent.
            kind = "before" if error.failure.kind in ("network", "timeout") else error.failure.kind
            return Failure(kind, error.failure.message, error.failure.name)
        self._pace()
        mode, session_id = self._mode.mode, self._mode.session_id

        def run(_: object) -> str:
            job = send_job(request, target, tag=intention.tag, max_seconds=max_seconds)
            job_id = job.job_id()
            if not isinstance(job_id, str) or not job_id:
                raise RuntimeError("the service answered without the job's id")
            return job_id

        try:
            job_id = self._handle.once(
                f"sending {request.part}",
                run,
                submitting=True,
                before_post=lambda: self._ledger.sending(intention.tag, mode, session_id),
            )
        except CallFailed as error:
            return error.failure
        self._ledger.sent(intention.tag, job_id, how="answered")
        return None

    def _pace(self) -> None:
        """Wait until another job may be created, once the service has said that they come too fast.

        IBM documents a limit by the minute and the user. A service that has not complained is not
        waited for.
        """
        limit = self._settings.jobs_per_minute
        while limit and self._ledger.rate_limited_since(self._ledger.now() - PACED_SECONDS):
            now = self._ledger.now()
            recent = self._ledger.sendings_since(now - MINUTE_SECONDS)
            if len(recent) < limit:
                return
            wait = recent[-limit] + MINUTE_SECONDS - now
            self._handle.report(f"waiting {wait:.0f} s: IBM takes {limit} jobs a minute")
            time.sleep(max(0.05, wait))

    def _before_again(self, request: Request, failure: Failure, attempts: int) -> None:
        settings = self._settings
        self._handle.report(f"{request.part}: {failure.message}; sending again")
        if failure.kind == "unauthorized":
            self._handle.rebuild()
            return
        if failure.kind == "session-closed":
            self._mode.expired()
            return
        first = (
            settings.rate_pause_seconds if failure.kind == "rate" else settings.first_pause_seconds
        )
        longest = max(settings.longest_pause_seconds, settings.rate_pause_seconds)
        time.sleep(min(longest, first * 2 ** (attempts - 1)))

    def _given_up(
        self, request: Request, failure: Failure
    ) -> ServiceUnavailable | SubmissionUncertain:
        if failure.nothing_created:
            return ServiceUnavailable(
                f"IBM Quantum did not take {request.part} of run {request.run_id}: "
                f"{failure.message}; no job was created, `qdm run resume` tries again."
            )
        return SubmissionUncertain(
            f"{request.part} of run {request.run_id} was sent without an answer "
            f"({failure.message}) and is not in the service's list yet; `qdm run resume "
            f"{request.run_id}` looks for it again before anything is sent."
        )

    # -- by tag -------------------------------------------------------------------------------

    def resolve(self, tag: str) -> str | None:
        """The one job of a tag: the oldest; others are cancelled while they wait, and recorded.

        Args:
            tag: The intention's.

        Returns:
            Its id, which is in the ledger then; None if there is no job.

        Raises:
            ServiceUnavailable, SubmissionUncertain: If the service does not answer.
        """
        intention = self._ledger.intention(tag)
        known = intention.job_id
        try:
            found = self._handle.ask("looking for a job by its tag", lambda s: _with_tag(s, tag))
            if not found:
                return known
            states = {job_id: self._status(job_id) for job_id in found} if len(found) > 1 else {}
            alive = [job_id for job_id in found if states.get(job_id) not in ENDED_WITHOUT]
            main = (alive or found)[0]
            if known is not None and intention.state in ("collected", "failed"):
                main = known  # its outcome is in the record already
            if known != main:
                self._ledger.sent(tag, main, how="found")
            for job_id in found:
                if job_id != main:
                    waits = states[job_id] in WAITING
                    state = self._cancel(job_id) if waits else states[job_id]
                    self._ledger.duplicate(tag, job_id, state.lower())
        except CallFailed as error:
            if known is not None:
                return known
            raise SubmissionUncertain(
                f"Whether the job {tag} exists cannot be found out now ({error}); `qdm run resume` "
                "looks for it again before anything is sent."
            ) from None
        return main

    def _look_after(self, intention: Intention, failure: Failure) -> str | None:
        """Look for a job whose sending ended in an exception: for long, if it may be late."""
        if failure.nothing_created or failure.kind == "other":
            return self.resolve(intention.tag)
        last = self._ledger.last_sending(intention) or self._ledger.now()
        return self._look_until(intention.tag, last + self._settings.grace_seconds)

    def _look_until(self, tag: str, end: float) -> str | None:
        """Look for a job, at least so often as there are pauses, and until a time of the clock."""
        pauses = self._settings.lookup_pauses_seconds
        looks = 0
        while looks < len(pauses) or self._ledger.now() < end:
            time.sleep(max(0.01, pauses[min(looks, len(pauses) - 1)]))
            found = self.resolve(tag)
            if found is not None:
                return found
            looks += 1
        return None

    def _status(self, job_id: str) -> str:
        return str(self._handle.ask("asking for a job's state", lambda s: s.job(job_id).status()))

    def _cancel(self, job_id: str) -> str:
        try:
            self._handle.once("cancelling a duplicate", lambda s: s.job(job_id).cancel())
        except CallFailed:
            return self._status(job_id)  # it has begun, or the service did not answer
        return "CANCELLED"


def _with_tag(service: QiskitRuntimeService, tag: str) -> list[str]:
    """Ids of the jobs of a tag in the active instance, oldest first."""
    jobs = [job for job in service.jobs(job_tags=[tag], limit=None) if tag in (job.tags or [])]
    return [j.job_id() for j in sorted(jobs, key=lambda j: (str(j.creation_date), j.job_id()))]
