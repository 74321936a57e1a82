"""Send a job once: the intention first, the id after, and a look by tag whenever in doubt.

A provider has no idempotency key, so each job carries a tag of its own. Before anything is sent
again, and after every sending, the provider is asked which jobs have that tag: the oldest is adopted
and the others are cancelled while they wait.

"Sending" is written down at the last moment; of IBM's client that is when the payload is built, the
client's own questions are answered and only the POST remains
(:mod:`qdm_qiskit.hardware.ibm.post_guard`). A process that died before that has sent nothing, and
the next one sends at once. One that died after it may have sent a job that no list shows yet: it may
still be read by the provider, and lists lag. Then the tag is looked up for the provider's
``lag_seconds`` after the sending; only a tag that has no job by then is sent again. A sending that
the provider refused or that did not reach it needs no such time.
"""

from __future__ import annotations

import time
from typing import final

from ...errors import InvalidOption, ServiceUnavailable, SubmissionUncertain
from ...progress import Message, Progress
from ..ledger.ledger import Intention, Ledger
from .base import Provider
from .failures import CallFailed, Failure, JobRefused
from .requests import Request
from .settings import ServiceSettings

__all__ = [
    "ENDED_WITHOUT",
    "MINUTE_SECONDS",
    "PACED_SECONDS",
    "Sender",
]

MINUTE_SECONDS = 60.0
PACED_SECONDS = 600.0
"""Seconds after a 429 for which jobs are paced; a 429 itself creates no job and costs nothing."""
ENDED_WITHOUT = ("failed", "cancelled", "lost")


@final
class Sender:
    """Sender of the jobs of one run, each once.

    Args:
        provider: Provider that takes the jobs.
        ledger: Record of intentions and ids.
        settings: Limits and intervals.
        progress: Receives what happens, in words.
    """

    def __init__(
        self, provider: Provider, ledger: Ledger, settings: ServiceSettings, progress: Progress
    ) -> None:
        self._provider = provider
        self._ledger = ledger
        self._settings = settings
        self._progress = progress

    @property
    def lag_seconds(self) -> float:
        """Seconds after a sending for which the provider's list may miss its job."""
        lag = self._provider.lag_seconds
        return self._settings.grace_seconds if lag is None else lag

    def send(
        self,
        request: Request,
        intention: Intention | None,
        *,
        max_seconds: int | None = None,
        wait: bool = True,
    ) -> Intention:
        """Send a job unless it was sent already.

        Args:
            request: The work; something must be reserved for its part.
            intention: The ledger's intention for this part, without a job id, if there is one.
            max_seconds: Most QPU seconds of the job, so that the budget holds.
            wait: True to wait where the account has as many unfinished jobs as it may have.

        Returns:
            The intention, with the id of its one job.

        Raises:
            CallFailed: Without ``wait``, if the account has that many; or if the job is larger than the
                provider takes. No job exists then.
            ServiceUnavailable: If the provider refuses it, or does not answer; no job exists then.
            SubmissionUncertain: If a job may exist that cannot be found yet; sending again later
                looks for it first.
        """
        if intention is None:
            intention = self._intend(request)
        found = self._find_before(intention)
        while found is None:
            found = self._send_once(request, intention, max_seconds, wait)
        return self._ledger.intention(intention.tag)

    def _intend(self, request: Request) -> Intention:
        earlier = self._ledger.intentions_of(request.run_id, request.part)
        attempt = 1 + max((each.attempt for each in earlier), default=0)
        return self._ledger.intend(
            tag=request.tag(attempt),
            run_id=request.run_id,
            part=request.part,
            attempt=attempt,
            payload_sha256=request.payload_sha256,
            backend=request.backend,
            instance=self._provider.instance,
            mode=self._provider.mode,
            session_id=self._provider.session_id,
        )

    def _find_before(self, intention: Intention) -> str | None:
        """Find a job of this tag from an earlier process; wait if it may still be on its way."""
        found = self.resolve(intention.tag)
        ago = self._ledger.seconds_in_doubt(intention)
        if found is not None or ago is None:
            return found
        return self._look_for(intention, self.lag_seconds - ago)

    def _send_once(
        self, request: Request, intention: Intention, max_seconds: int | None, wait: bool
    ) -> str | None:
        """Send, and find out the outcome; None if the job is to be sent again."""
        attempts = full = 0
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
                self._say(f"{request.part}: the job was created after all ({found})")
                return found
            if failure.kind == "jobs-at-once":
                if not wait:
                    raise CallFailed(failure)
                attempts, full = 0, full + 1
                self._await_room(request, failure, full)
                continue
            if failure.kind == "job-size":
                raise CallFailed(failure)
            if failure.kind == "refused":
                raise JobRefused(
                    f"{self._provider.title} refuses {request.part} of run {request.run_id}: "
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
        """Send once; return the failure, if there is one."""
        provider = self._provider
        try:
            provider.prepare()
        except CallFailed as error:
            # Nothing of the job has been sent.
            kind = "before" if error.failure.kind in ("network", "timeout") else error.failure.kind
            return Failure(kind, error.failure.message, error.failure.name)
        self._pace()
        mode, session_id = provider.mode, provider.session_id
        try:
            job_id = provider.send(
                request,
                tag=intention.tag,
                max_seconds=max_seconds,
                before=lambda: self._ledger.sending(intention.tag, mode, session_id),
            )
        except CallFailed as error:
            return error.failure
        self._ledger.sent(intention.tag, job_id, how="answered")
        return None

    def _pace(self) -> None:
        """Wait until another job may be created, once the provider has said that they come too fast.

        IBM documents a limit by the minute and the user. A provider that has not complained is not
        waited for.
        """
        limit = self._settings.jobs_per_minute
        while limit and self._ledger.rate_limited_since(self._ledger.now() - PACED_SECONDS):
            now = self._ledger.now()
            recent = self._ledger.sendings_since(now - MINUTE_SECONDS)
            if len(recent) < limit:
                return
            wait = recent[-limit] + MINUTE_SECONDS - now
            self._say(f"waiting {wait:.0f} s: {self._provider.title} takes {limit} jobs a minute")
            time.sleep(max(0.05, wait))

    def _before_again(self, request: Request, failure: Failure, attempts: int) -> None:
        settings = self._settings
        self._say(f"{request.part}: {failure.message}; sending again")
        if failure.kind == "unauthorized":
            self._provider.renew()
            return
        if failure.kind == "session-closed":
            self._provider.session_closed(None)
            return
        first = (
            settings.rate_pause_seconds if failure.kind == "rate" else settings.first_pause_seconds
        )
        longest = max(settings.longest_pause_seconds, settings.rate_pause_seconds)
        time.sleep(min(longest, first * 2 ** (attempts - 1)))

    def _await_room(self, request: Request, failure: Failure, times: int) -> None:
        """Pause until another job may be sent: until one ends, as long as the queue takes."""
        if times == 1:
            self._say(f"{request.part} waits until another job has ended: {failure.message}")
        pause = self._settings.first_pause_seconds * 2 ** min(times, 20)
        time.sleep(min(self._settings.longest_pause_seconds, pause))

    def _given_up(
        self, request: Request, failure: Failure
    ) -> ServiceUnavailable | SubmissionUncertain:
        if failure.nothing_created:
            return ServiceUnavailable(
                f"{self._provider.title} did not take {request.part} of run {request.run_id}: "
                f"{failure.message}; no job was created, `qdm run resume` tries again."
            )
        return SubmissionUncertain(
            f"{request.part} of run {request.run_id} was sent without an answer "
            f"({failure.message}) and is not in the provider's list yet; `qdm run resume "
            f"{request.run_id}` looks for it again before anything is sent."
        )

    # -- by tag -------------------------------------------------------------------------------

    def resolve(self, tag: str) -> str | None:
        """Find the one job of a tag, the oldest; cancel others while they wait, and record them.

        Args:
            tag: The intention's.

        Returns:
            Its id, which is in the ledger then; None if there is no job.

        Raises:
            ServiceUnavailable, SubmissionUncertain: If the provider does not answer.
        """
        intention = self._ledger.intention(tag)
        known = intention.job_id
        try:
            found = list(self._provider.find(tag))
            if not found:
                return known
            many = len(found) > 1
            states = {each: self._provider.status(each) for each in found} if many else {}
            alive = [job_id for job_id in found if states.get(job_id) not in ENDED_WITHOUT]
            main = (alive or found)[0]
            if known is not None and intention.state in ("collected", "failed"):
                main = known  # its outcome is in the record already
            if known != main:
                self._ledger.sent(tag, main, how="found")
            for job_id in found:
                if job_id != main:
                    waits = states[job_id] == "queued"
                    state = self._cancel(job_id) if waits else states[job_id]
                    self._ledger.duplicate(tag, job_id, state)
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
        ago = self._ledger.seconds_in_doubt(intention) or 0.0
        return self._look_for(intention, self.lag_seconds - ago)

    def _look_for(self, intention: Intention, seconds: float) -> str | None:
        """Look for a job, at least so often as there are pauses, and for some seconds."""
        tag = intention.tag
        if self.lag_seconds == 0 and self._provider.lag_seconds == 0:
            return self.resolve(tag)
        pauses = self._settings.lookup_pauses_seconds
        longest = max(seconds, sum(pauses))
        if longest > 1.0:
            self._say(
                f"{intention.part} was sent without an answer: looking for its job, "
                f"{longest:.0f} s at most"
            )
        looks, end = 0, time.monotonic() + seconds
        while looks < len(pauses) or time.monotonic() < end:
            time.sleep(max(0.01, pauses[min(looks, len(pauses) - 1)]))
            found = self.resolve(tag)
            if found is not None:
                return found
            looks += 1
        return None

    def _cancel(self, job_id: str) -> str:
        """Cancel a duplicate; return its state."""
        try:
            self._provider.cancel(job_id)
        except CallFailed:
            return self._provider.status(job_id)  # it has begun, or the provider did not answer
        return "cancelled"

    def _say(self, text: str) -> None:
        self._progress(Message(text))
