"""Another package's provider, spoken to with patience: limits, repeated questions, checked answers.

A call runs in a thread and is given up after a limit. A question that fails by ``ConnectionError`` or
``TimeoutError`` is asked again for a while. Whatever else comes ends in one line that names the
provider and the call.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, final, get_args

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_exponential,
)

from ...errors import QdmError
from .base import AccountJob, Counts, JobTimes, NotSubmitted, Provider, Status
from .failures import CallFailed, Failure, Kind
from .requests import JobRequest
from .settings import ServiceSettings

if TYPE_CHECKING:
    from qiskit.providers import BackendV2

    from .context import RunContext

__all__ = [
    "PatientProvider",
    "T",
]

T = TypeVar("T")


@final
class PatientProvider(Provider):
    """A provider with limits and checks around each call.

    Args:
        inner: Another package's provider, or a user's own.
        settings: Limits and intervals.
    """

    def __init__(self, inner: Provider, settings: ServiceSettings) -> None:
        self._inner = inner
        self._settings = settings
        self._tell: Callable[[str], None] = lambda text: None
        self.name, self.device = inner.name, inner.device
        self.charges, self.lag_seconds = inner.charges, inner.lag_seconds

    def submit(self, request: JobRequest, *, tag: str, max_seconds: int | None) -> str:
        """Send a job once.

        Raises:
            CallFailed: With kind ``refused`` or ``rate`` if no job exists, else ``timeout``: the job
                is looked for by its tag then, and not sent again by this process.
        """
        limit = self._settings.submit_seconds

        def call() -> str:
            return self._inner.submit(request, tag=tag, max_seconds=max_seconds)

        def understood(error: Exception) -> Kind:
            if isinstance(error, NotSubmitted):
                return "rate" if error.again else "refused"
            return "network" if _may_pass(error) else "timeout"

        return self._checked("submit", self._once("submit", call, limit, understood), _job_id)

    def status(self, job_id: str) -> Status:
        """Return the state of a job."""
        return self._ask("status", lambda: self._inner.status(job_id), _status)

    def result(self, job_id: str, request: JobRequest) -> Sequence[Counts]:
        """Return the counts of a job, unchecked (:func:`.counts.checked_counts`)."""
        return self._ask("result", lambda: self._inner.result(job_id, request), lambda found: found)

    def usage(self, job_id: str) -> float | None:
        """Return the QPU seconds of a job that has ended."""
        return self._ask("usage", lambda: self._inner.usage(job_id), _seconds)

    def cancel(self, job_id: str) -> None:
        """Cancel a job."""
        self._ask("cancel", lambda: self._inner.cancel(job_id), lambda _: None)

    def find(self, tag: str) -> Sequence[str]:
        """Return the ids of the jobs of a tag."""
        return self._ask("find", lambda: self._inner.find(tag), _job_ids)

    def reason(self, job_id: str) -> str:
        """Return the reason for which a job failed, on one line."""
        return self._ask("reason", lambda: self._inner.reason(job_id), _line)

    def finished_at(self, job_id: str) -> float | None:
        """Return the end of a job."""
        return self._ask("finished_at", lambda: self._inner.finished_at(job_id), _seconds)

    def times(self, job_id: str) -> JobTimes:
        """Return when a job came, ran and ended."""
        return self._ask("times", lambda: self._inner.times(job_id), _times)

    def backend(self) -> BackendV2 | None:
        """Return the device's description."""
        return self._ask("backend", self._inner.backend, lambda found: found)

    def seconds_left(self) -> float | None:
        """Return the QPU seconds that the account may still use."""
        return self._ask("seconds_left", self._inner.seconds_left, _seconds)

    def listed(self, since: float) -> Sequence[AccountJob] | None:
        """Return the jobs of the account."""
        return self._ask("listed", lambda: self._inner.listed(since), _account_jobs)

    def begin(self, run: RunContext, *, detach: bool) -> None:
        """Prepare for a run, which is told from here on what is waited for."""
        self._tell = run.tell
        self._ask("begin", lambda: self._inner.begin(run, detach=detach), lambda _: None)

    def close(self, *, keep: bool = False) -> None:
        """Let go of what is open; pass over a failure, which is not worth an error of its own."""
        try:
            self._ask("close", lambda: self._inner.close(keep=keep), lambda _: None, again=False)
        except CallFailed:
            return

    def _ask(
        self, what: str, call: Callable[[], Any], check: Callable[[Any], T], *, again: bool = True
    ) -> T:
        """Ask, and ask again while the answer may come a moment later."""
        settings = self._settings
        retrying = Retrying(
            retry=retry_if_exception(
                lambda error: again and isinstance(error, CallFailed) and error.failure.passing
            ),
            wait=wait_exponential(
                multiplier=settings.first_pause_seconds, max=settings.longest_pause_seconds
            ),
            stop=stop_after_delay(settings.retry_seconds),
            before_sleep=self._before_retry,
            reraise=True,
        )
        for attempt in retrying:
            with attempt:
                found = self._once(
                    what,
                    call,
                    settings.call_seconds,
                    lambda error: "network" if _may_pass(error) else "other",
                )
        return self._checked(what, found, check)

    def _before_retry(self, state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            most = self._settings.retry_seconds
            self._tell(f"{state.outcome.exception()}; asking again for {most:g} s at most")

    def _once(
        self,
        what: str,
        call: Callable[[], Any],
        seconds: float,
        understood: Callable[[Exception], Kind],
    ) -> Any:
        """Call in a thread and give up after a while; any exception becomes one line."""
        answers: list[Any] = []
        failures: list[Failure] = []

        def work() -> None:
            try:
                answers.append(call())
            except Exception as error:
                failures.append(self._failure(what, error, understood(error)))

        thread = threading.Thread(target=work, name=f"qdm: {self.name} {what}", daemon=True)
        thread.start()
        thread.join(seconds)
        if failures:
            raise CallFailed(failures[0])
        if not answers:
            text = f"{self.title}: {what} gave no answer within {seconds:g} s"
            raise CallFailed(Failure("timeout", text, "TimeoutError"))
        return answers[0]

    def _failure(self, what: str, error: Exception, kind: Kind) -> Failure:
        plain = isinstance(error, NotSubmitted | QdmError)
        shown = str(error) if plain else f"{type(error).__name__}: {error}"
        return Failure(kind, f"{self.title}: {what} failed, {_line(shown)}", type(error).__name__)

    def _checked(self, what: str, found: Any, check: Callable[[Any], T]) -> T:
        try:
            return check(found)
        except ValueError as error:
            kind: Kind = "timeout" if what == "submit" else "other"  # a job may exist all the same
            text = f"{self.title}: {what} returned {_line(repr(found))}, {error}"
            raise CallFailed(Failure(kind, text, "ValueError")) from None


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ConnectionError | TimeoutError)


def _line(text: Any) -> str:
    found = " ".join(str(text).split()).rstrip(".")
    return found if len(found) <= 200 else found[:197] + "..."


def _job_id(found: Any) -> str:
    if not isinstance(found, str) or not found.isprintable() or not 0 < len(found) <= 200:
        raise ValueError("and a job's id is a text of 1 to 200 characters")
    return found


def _job_ids(found: Any) -> list[str]:
    if isinstance(found, str) or not isinstance(found, Sequence):
        raise ValueError("and not a list of ids")
    return [_job_id(each) for each in found]


def _status(found: Any) -> Status:
    if not isinstance(found, str) or found not in get_args(Status):
        raise ValueError(f"and a status is one of {', '.join(get_args(Status))}")
    return found  # type: ignore[return-value]


def _account_jobs(found: Any) -> list[AccountJob] | None:
    if found is None:
        return None
    if not isinstance(found, Sequence) or not all(isinstance(e, AccountJob) for e in found):
        raise ValueError("and not a list of AccountJob or None")
    return list(found)


def _times(found: Any) -> JobTimes:
    if not isinstance(found, JobTimes):
        raise ValueError("and no JobTimes")
    for each in (found.created, found.started, found.finished):
        _seconds(each)
    return found


def _seconds(found: Any) -> float | None:
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError("and not seconds or None")
    seconds = float(found)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError("and seconds are finite and at least 0")
    return seconds
