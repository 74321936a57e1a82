"""The account at IBM Quantum: every call to the service goes through here.

A call runs in a thread and is given up after a limit, because IBM's client waits without one. Its
exceptions are understood (:mod:`.client_errors`) and end here, with the tokens that
they carry. After a 401, also the one that a failed renewal of the token ends in, the service object
is built again: the client never drops a token that it has.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, final

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    stop_any,
    wait_exponential,
    wait_random,
)
from tenacity.stop import stop_base

from ...errors import ServiceUnavailable, TargetUnavailable, unknown_name
from ...progress import Message, Progress, silent
from ..providers.settings import ServiceSettings
from .client_errors import CallFailed, Failure, redacted, understand
from .post_guard import Gate, ServiceClock, through

if TYPE_CHECKING:
    from qiskit.providers import BackendV2
    from qiskit_ibm_runtime import QiskitRuntimeService

    from ...execution.targets import Target
    from ..plan.types import Availability

__all__ = [
    "ACCOUNT_HELP",
    "ODD_ATTEMPTS",
    "REFUSED",
    "InstanceUsage",
    "ServiceHandle",
    "T",
    "connect",
    "look",
]

T = TypeVar("T")

ACCOUNT_HELP = (
    "set QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE, or save an account with "
    "QiskitRuntimeService.save_account"
)
ODD_ATTEMPTS = 4
"""Most attempts of a question whose failure may be a mistake of the client's program."""
REFUSED = (400, 401, 403)
"""HTTP statuses with which IBM answers a wrong API key."""


@dataclass(frozen=True, kw_only=True)
class InstanceUsage:
    """QPU seconds that the instance may use and has used, as IBM counts them."""

    consumed_seconds: float
    limit_seconds: float | None
    remaining_seconds: float | None
    limit_reached: bool


@final
class ServiceHandle:
    """One instance of one account; made by :func:`connect`."""

    def __init__(self, instance: str | None, settings: ServiceSettings, progress: Progress) -> None:
        self.instance = instance or ""
        """CRN of the instance that pays, and in which jobs are looked for."""
        self.settings = settings
        self.progress = progress
        self.generation = 0
        """Number of times that the service was built; objects of an older one hold an old token."""
        self.clock = ServiceClock()
        """Clock of the service, by its answers."""
        self._secrets: tuple[str, ...] = ()
        self._service: QiskitRuntimeService | None = None
        self._backends: dict[str, tuple[int, BackendV2]] = {}

    def tell(self, text: str) -> None:
        """Tell the progress what happens."""
        self.progress(Message(text))

    # -- calls --------------------------------------------------------------------------------

    def once(
        self,
        what: str,
        call: Callable[[QiskitRuntimeService], T],
        *,
        submitting: bool = False,
        before_post: Callable[[], None] | None = None,
    ) -> T:
        """Make one call, and give it up after the limit.

        Args:
            what: In words, for messages: ``"sending the job"``.
            call: Gets the service.
            submitting: True if the call may create a job.
            before_post: Called, in this thread, when all that precedes a job's POST is done;
                the POST waits for it, and never leaves if it raises or the call is given up.

        Returns:
            What the call returns.

        Raises:
            CallFailed: If anything goes wrong; with ``before_post`` it says whether a job had left.
        """
        service = self._service
        assert service is not None
        limit = self.settings.submit_seconds if submitting else self.settings.call_seconds
        return self._watched(what, lambda: call(service), limit, submitting, before_post)

    def ask(self, what: str, call: Callable[[QiskitRuntimeService], T]) -> T:
        """Make a call that changes nothing, again and again while the service fails to answer.

        Args:
            what: In words, for messages.
            call: Gets the service; after a 401 a new one.

        Returns:
            What the call returns.

        Raises:
            CallFailed: If the answer is final, or none comes within ``retry_seconds``.
            ServiceUnavailable: If a 401 stays after the service was built again.
        """
        for attempt in self.retrying():
            with attempt:
                return self.once(what, call)
        raise AssertionError("unreachable: tenacity reraises")

    def retrying(self, seconds: float | None = None) -> Retrying:
        """Return Tenacity's loop for repeatable calls; a 401 builds the service anew."""
        settings = self.settings
        return Retrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_exponential(
                multiplier=settings.first_pause_seconds, max=settings.longest_pause_seconds
            )
            + wait_random(0, settings.first_pause_seconds),
            stop=stop_any(
                stop_after_delay(settings.retry_seconds if seconds is None else seconds),
                _OddTooOften(),
            ),
            before_sleep=self._before_retry,
            sleep=time.sleep,
            reraise=True,
        )

    def _before_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        assert isinstance(error, CallFailed)
        if state.attempt_number == 1:
            self.tell(f"IBM Quantum: {error.failure.message}; trying again")
        if error.failure.kind == "unauthorized":
            if state.attempt_number > 3:
                raise ServiceUnavailable(
                    f"IBM Quantum refuses the account again and again: {error.failure.message} "
                    f"Check the token: {ACCOUNT_HELP}."
                ) from None
            self.rebuild()

    def _watched(
        self,
        what: str,
        call: Callable[[], T],
        seconds: float,
        submitting: bool,
        before_post: Callable[[], None] | None = None,
    ) -> T:
        """Run a call in a thread, where its exception is understood and goes no further."""
        values: list[T] = []
        failures: list[Failure] = []
        gate = Gate()

        def work() -> None:
            try:
                with through(gate):
                    values.append(call())
            except BaseException as error:
                failures.append(understand(error, submitting=submitting, secrets=self._secrets))
            finally:
                gate.end()

        end = time.monotonic() + seconds
        threading.Thread(target=work, name=f"qdm: {what}", daemon=True).start()
        try:
            while gate.sign(end - time.monotonic()) == "asked":
                if before_post is not None:
                    before_post()
                gate.let_go()
        finally:
            gate.close()
        if values:
            return values[0]
        unsent = before_post is not None and not gate.passed
        if failures:
            failure = replace(failures[0], unsent=unsent)
            if before_post is not None and gate.in_doubt and failure.kind != "timeout":
                # Whatever went wrong after it, only a refusal of the POST itself proves anything.
                failure = replace(failure, kind="network", gone=False)
            raise CallFailed(failure)
        text = f"{what}: no answer within {seconds:g} s"
        raise CallFailed(Failure("timeout", text, "TimeoutError", unsent=unsent))

    # -- the service --------------------------------------------------------------------------

    def rebuild(self) -> None:
        """Build the service object again, with a new token; tried again while IBM is away.

        Raises:
            ServiceUnavailable: If there is no account, or it cannot be used.
        """
        for attempt in self.retrying(min(self.settings.retry_seconds, 120.0)):
            with attempt:
                self._build()

    def _build(self) -> None:
        from qiskit_ibm_runtime import QiskitRuntimeService
        from qiskit_ibm_runtime.accounts.exceptions import (
            AccountNotFoundError,
            InvalidAccountError,
        )
        from qiskit_ibm_runtime.exceptions import IBMInputValueError

        from .post_guard import watch_posts

        problem: list[str] = []

        def construct() -> QiskitRuntimeService | None:
            try:
                return QiskitRuntimeService(instance=self.instance or None)
            except AccountNotFoundError:
                problem.append(f"There is no IBM Quantum account here; {ACCOUNT_HELP}.")
            except InvalidAccountError as error:
                # Its text is the same when IBM is away; what the network said stands behind it.
                status = getattr(error.__cause__, "status_code", None)
                if status not in REFUSED:
                    raise
                problem.append(f"IBM Quantum refuses the API key (HTTP {status}); {ACCOUNT_HELP}.")
            except IBMInputValueError as error:
                text = redacted(" ".join(str(error).split()), self._secrets)
                problem.append(f"The account cannot use this instance: {text}")
            return None

        try:
            service = self._watched("connecting", construct, self.settings.call_seconds, False)
        except CallFailed as error:
            if error.failure.name == "InvalidAccountError":
                # One text for a wrong key, IAM away and search away; so it may pass.
                raise CallFailed(
                    Failure(
                        "network",
                        "IBM Quantum cannot be reached, or it refuses the API key: "
                        f"{error.failure.message}",
                        error.failure.name,
                    )
                ) from None
            raise
        if service is None:
            raise ServiceUnavailable(problem[0])
        account = service.active_account() or {}
        self._secrets = tuple(str(account[k]) for k in ("token",) if account.get(k))
        watch_posts(service, self.clock)
        self._service = service
        self.generation += 1
        if not self.instance:
            self._bind(service, account.get("instance"))

    def _bind(self, service: QiskitRuntimeService, given: str | None) -> None:
        """Choose one instance: the account's own, or the only one that there is."""
        if given:
            self.instance = str(given)
            return
        instances = self._watched(
            "listing instances", service.instances, self.settings.call_seconds, False
        )
        if len(instances) != 1:
            names = ", ".join(sorted(str(each.get("name")) for each in instances)) or "none"
            raise ServiceUnavailable(
                "A run is bound to one instance, and the account names none of its "
                f"{len(instances)} ({names}); set QISKIT_IBM_INSTANCE."
            )
        self.instance = str(instances[0]["crn"])
        self._build()

    # -- questions ----------------------------------------------------------------------------

    def backend(self, name: str) -> BackendV2:
        """Return a backend by name, of the present service.

        Raises:
            UnknownName: If the account has no such backend.
            ServiceUnavailable: If the service does not answer.
        """
        known = self._backends.get(name)
        if known is not None and known[0] == self.generation:
            return known[1]
        names: list[str] = []

        def find(service: QiskitRuntimeService) -> BackendV2:
            # The list first: the client says "no backend matches" also when it got no list.
            names[:] = [each["name"] for each in self._listing(service)]
            return service.backend(name, instance=self.instance)

        for attempt in self.retrying():
            with attempt:
                try:
                    backend = self.once(f"looking for {name}", find)
                except CallFailed:
                    if names and name not in names:
                        raise unknown_name("backend of this account", name, names) from None
                    raise
        self._backends[name] = (self.generation, backend)
        return backend

    def least_busy(self) -> BackendV2:
        """Return the backend with the fewest waiting jobs.

        Raises:
            TargetUnavailable: If none is online.
        """
        rows = self.ask("listing backends", self._listing)
        online = [
            each
            for each in rows
            if each.get("status", {}).get("name") == "online" and each.get("class") != "mock"
        ]
        if not online:
            raise TargetUnavailable("No QPU of the account is online now; try again later.")
        return self.backend(min(online, key=lambda each: each["queue_length"])["name"])

    def queue(self, name: str) -> int | None:
        """Return the number of jobs that wait for a backend; None if the service does not say."""
        rows = self.ask("listing backends", self._listing)
        found = [each.get("queue_length") for each in rows if each["name"] == name]
        return int(found[0]) if found and found[0] is not None else None

    def _listing(self, service: QiskitRuntimeService) -> list[dict[str, Any]]:
        """GET /backends; the client has no public method that fails when this fails."""
        found = _list_backends(service, self.instance)
        if not isinstance(found, list) or not all(
            isinstance(each, dict) and isinstance(each.get("name"), str) for each in found
        ):
            raise ValueError("no list of backends")
        return found

    def learn_time(self) -> None:
        """Ask something small unless the service has answered, and so said its time, already.

        What the client asks while it connects is not seen here, so without this a wrong clock of the
        machine would decide until the first question: a calibration that looks too old is paid again.

        Raises:
            CallFailed: If the service does not answer; one that answers without a date is enough.
        """
        if self.clock.now() is not None:
            return
        for attempt in self.retrying():
            with attempt:
                try:
                    self.once("listing backends", self._listing)
                except CallFailed:
                    if self.clock.now() is None:  # an error has a date as well
                        raise

    def usage(self) -> InstanceUsage:
        """Return the use and the limits of the instance, as IBM gives them.

        Raises:
            CallFailed: If the service does not answer.
        """
        found = self.ask("asking for the instance's usage", lambda service: service.usage())
        limit = found.get("usage_limit_seconds") or found.get("usage_allocation_seconds")
        return InstanceUsage(
            consumed_seconds=float(found.get("usage_consumed_seconds") or 0.0),
            limit_seconds=None if limit is None else float(limit),
            remaining_seconds=found.get("usage_remaining_seconds"),
            limit_reached=bool(found.get("usage_limit_reached")),
        )

    def plan_type(self) -> str:
        """Plan of the instance in lower case, such as ``open``; ``unknown`` if IBM does not say."""
        rows = self.ask("asking for the plan", lambda service: list(service.instances()))
        plans = [str(each.get("plan", "")).lower() for each in rows if each["crn"] == self.instance]
        return plans[0] if plans and plans[0] else "unknown"

    def one_line(self, text: str) -> str:
        """Return a text of the service on one line, without this account's token."""
        text = " ".join(redacted(text, self._secrets).split())
        return text if len(text) <= 300 else text[:297] + "..."


def connect(
    *,
    instance: str | None = None,
    settings: ServiceSettings | None = None,
    progress: Progress = silent,
) -> ServiceHandle:
    """Connect with the account of the environment, or the saved one.

    Args:
        instance: The CRN of a run that was sent already; by default the account's own.
        settings: Limits and intervals.
        progress: Receives what happens, in words.

    Returns:
        The handle, bound to one instance.

    Raises:
        ServiceUnavailable: If there is no account, it is refused, or IBM cannot be reached.
    """
    handle = ServiceHandle(instance, settings or ServiceSettings(), progress)
    try:
        handle.rebuild()
    except CallFailed as error:
        text = error.failure.message.rstrip(".")
        raise ServiceUnavailable(f"{text}; check the network, or {ACCOUNT_HELP}.") from None
    return handle


def look(settings: ServiceSettings | None = None) -> Callable[[Target], Availability]:
    """Return a function that looks at ``ibm:`` targets; it connects once, at the first look.

    Raises:
        ServiceUnavailable: From that function, if there is no account or no answer.
    """
    handles: list[ServiceHandle] = []

    def see(target: Target) -> Availability:
        from ..plan.types import Availability

        if not handles:
            handles.append(connect(settings=settings))
        handle = handles[0]
        assert target.backend is not None  # parse_target
        try:
            least = target.backend == "least_busy"
            backend = handle.least_busy() if least else handle.backend(target.backend)
            status = handle.ask("asking for the status", lambda _: backend.status())
            if not status.operational or status.status_msg != "active":
                raise TargetUnavailable(
                    f"Backend {backend.name} takes no jobs now: {status.status_msg or 'paused'}."
                )
            return Availability(
                backend=backend,
                queue=handle.queue(backend.name),
                seconds_left=handle.usage().remaining_seconds,
            )
        except CallFailed as error:
            raise ServiceUnavailable(f"IBM Quantum does not answer: {error}") from None

    return see


def _list_backends(service: QiskitRuntimeService, instance: str) -> Any:
    """Return what GET /backends says, mocks included; version 0.50 of the client has no choice."""
    ask = service._get_api_client(instance).list_backends
    if "include_mocks" in inspect.signature(ask).parameters:
        return ask(include_mocks=True)
    return ask()


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, CallFailed) and error.failure.passing


class _OddTooOften(stop_base):
    """Stop of a question whose failure may be a mistake of the client's program."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        odd = isinstance(error, CallFailed) and error.failure.odd
        return odd and retry_state.attempt_number >= ODD_ATTEMPTS
