"""A QPU of IBM's service as a provider: sessions and batches, and a job's POST at the last moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, final

import numpy as np

from ...errors import InvalidData, ServiceUnavailable
from ..providers.base import AccountJob, JobTimes, Provider, Status
from ..providers.failures import CallFailed
from ..providers.joint import counts_of_tiles, joint_pubs
from ..providers.requests import EstimatorRequest, JobRequest, Request
from .account import ServiceHandle, connect
from .collect import (
    charge_of,
    checked_counts,
    checked_estimates,
    job_times,
    never_ran,
    session_closed,
)
from .execution_mode import JobMode, close_left_behind
from .sampler import send_job

if TYPE_CHECKING:
    from qiskit.providers import BackendV2
    from qiskit_ibm_runtime import QiskitRuntimeService, RuntimeJobV2

    from ..providers.context import RunContext

__all__ = [
    "STATES",
    "IBMProvider",
    "T",
]

T = TypeVar("T")
STATES: dict[str, Status] = {
    "INITIALIZING": "queued",
    "QUEUED": "queued",
    "DONE": "done",
    "ERROR": "failed",
    "CANCELLED": "cancelled",
}
"""IBM's states in the words of the contract; any other is ``running``."""


@final
class IBMProvider(Provider):
    """A QPU of IBM's service.

    Args:
        device: Name of the QPU.
        handle: The account; :meth:`begin` connects if there is none yet.
        job_mode: The mode of its jobs; chosen by the plan in :meth:`begin`.
    """

    name = "ibm"

    def __init__(
        self,
        device: str,
        *,
        handle: ServiceHandle | None = None,
        job_mode: JobMode | None = None,
    ) -> None:
        self.device = device
        self._connected = handle
        self._chosen_mode = job_mode
        self._jobs: dict[str, tuple[object, RuntimeJobV2]] = {}
        self._unmarked: dict[str, tuple[float, float]] = {}
        """Usage of each job that has no status, and since when it has been that."""

    @property
    def title(self) -> str:
        """Name of the provider in messages."""
        return "IBM Quantum"

    @property
    def handle(self) -> ServiceHandle:
        """Account at IBM."""
        assert self._connected is not None  # begin()
        return self._connected

    @property
    def instance(self) -> str:  # type: ignore[override]
        """CRN of the instance that pays."""
        return self.handle.instance

    @property
    def mode(self) -> str:  # type: ignore[override]
        """Mode in use: job, batch or session."""
        return self._job_mode.mode

    @property
    def session_id(self) -> str | None:  # type: ignore[override]
        """Id of the open session or batch."""
        return self._job_mode.session_id

    @property
    def _job_mode(self) -> JobMode:
        assert self._chosen_mode is not None  # begin()
        return self._chosen_mode

    # -- a run --------------------------------------------------------------------------------

    def begin(self, run: RunContext, *, detach: bool) -> None:
        """Connect with the instance of the run, and close sessions that were left behind.

        Raises:
            ServiceUnavailable: If the account cannot be used.
        """
        plan, ledger = run.plan, run.ledger
        sent = [each.instance for each in ledger.intentions(plan.run_id)]
        # Jobs of another instance are "not found": a run stays with the one it began with.
        self._connected = connect(
            instance=sent[-1] if sent else None, settings=run.settings, progress=run.progress
        )
        try:
            self._connected.learn_time()
        except CallFailed as error:
            raise ServiceUnavailable(f"IBM Quantum does not answer: {error}") from None
        # A session that nobody feeds would cost time, or be closed.
        wanted = "job" if detach and plan.mode == "auto" else plan.mode
        self._chosen_mode = JobMode(self.handle, ledger, plan.run_id, plan.backend, wanted)
        try:
            close_left_behind(self.handle, ledger, plan.run_id)
        except CallFailed as error:
            run.tell(f"sessions left behind could not be looked at: {error}")

    def close(self, *, keep: bool = False) -> None:
        """Close the session, or keep it; never raises but for Ctrl-C."""
        if self._chosen_mode is None:
            return
        if keep:
            self._job_mode.keep()
        else:
            self._job_mode.close()

    def seconds_left(self) -> float | None:
        """Return the QPU seconds that IBM says the instance has left; None without a limit."""
        try:
            usage = self.handle.usage()
        except CallFailed as error:
            raise ServiceUnavailable(f"IBM Quantum does not say what is left: {error}") from None
        return 0.0 if usage.limit_reached else usage.remaining_seconds

    def service_time(self) -> float | None:
        """Return the time by the ``Date`` of IBM's last answer."""
        return None if self._connected is None else self._connected.clock.now()

    def backend(self) -> BackendV2:
        """Return IBM's object of the QPU."""
        return self.handle.backend(self.device)

    # -- sending ------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Open the session that the next job goes to, if it goes to one."""
        self._job_mode.target()

    def renew(self) -> None:
        """Get a new token."""
        self.handle.rebuild()

    def session_closed(self, reason: str | None) -> None:
        """Open another session for the next job if IBM has closed this one."""
        if reason is None or session_closed(reason):
            self._job_mode.expired(sure=reason is None)

    def submit(self, request: Request, *, tag: str, max_seconds: int | None) -> str:
        """Send a job through IBM's client."""
        return self.send(request, tag=tag, max_seconds=max_seconds, before=lambda: None)

    def send(
        self, request: Request, *, tag: str, max_seconds: int | None, before: Callable[[], None]
    ) -> str:
        """Send a job through IBM's client; ``before`` is called when only its POST remains.

        Raises:
            CallFailed: If anything goes wrong; it says whether a job may exist.
        """
        target = self._job_mode.target()

        def run(_: object) -> str:
            job = send_job(request, target, tag=tag, max_seconds=max_seconds)
            job_id = job.job_id()
            if not isinstance(job_id, str) or not job_id:
                raise RuntimeError("the service answered without the job's id")
            return job_id

        return self.handle.once(f"sending {request.part}", run, submitting=True, before_post=before)

    # -- one job ------------------------------------------------------------------------------

    def status(self, job_id: str) -> Status:
        """Return the state of a job."""
        found = self._ask(job_id, "asking for its state", lambda job: str(job.status()))
        return STATES.get(found, "running")

    def reason(self, job_id: str) -> str:
        """Return IBM's reason with its code; the public text leaves the code out in some cases."""

        def read(job: RuntimeJobV2) -> str:
            return str(getattr(job, "_reason", None) or "no reason given")

        return self.handle.one_line(self._ask(job_id, "asking why it failed", read))

    def result(self, job_id: str, request: JobRequest) -> Sequence[np.ndarray]:
        """Return the counts of a job that is done.

        Raises:
            InvalidData: If the result is not that of what was sent.
        """
        options = request.options
        twirled = options.twirl_gates or options.twirl_measure
        pubs = joint_pubs(request)
        counts = self.read_result(
            job_id, lambda found: checked_counts(found, pubs, request.shots, twirled=twirled)
        )
        return counts_of_tiles(request, counts)

    def estimates(self, job_id: str, request: EstimatorRequest) -> Sequence[np.ndarray]:
        """Return what a job of IBM's Estimator found.

        Raises:
            InvalidData: If the result is not that of what was sent.
        """
        return self.read_result(job_id, lambda found: checked_estimates(found, request.shapes))

    def read_result(self, job_id: str, check: Callable[[Any], T]) -> T:
        """Return IBM's result after a check; the job is asked for anew after a bad one.

        Raises:
            InvalidData: From the check.
        """
        result = self._ask(job_id, "fetching its results", lambda job: job.result())
        try:
            return check(result)
        except InvalidData:
            self._jobs.pop(job_id, None)
            raise

    def usage(self, job_id: str) -> float | None:
        """Return the cost of a finished job; None if it is not known yet.

        The number of a service that does not say whether it is final is believed once the number
        has stayed the same for ``unmarked_usage_seconds``. A 0 is not: it may as well mean
        that the service has not counted yet; only a job cancelled before it ran has surely cost
        nothing then. So a 0 for a job that failed is always one that the service calls final.
        """
        metrics = self._ask(job_id, "asking for its usage", lambda job: job.metrics())
        found = charge_of(metrics)
        if found is None:
            return None
        if found.final:
            return found.seconds
        if found.seconds == 0 and not self._cancelled_unrun(job_id, metrics):
            return None
        seen = self._unmarked.get(job_id)
        if seen is None or seen[0] != found.seconds:
            self._unmarked[job_id] = (found.seconds, time.monotonic())
        return found.seconds if self.usage_due(job_id) <= 0 else None

    def usage_due(self, job_id: str) -> float:
        """Return the seconds until an unmarked usage has stayed the same for long enough."""
        seen = self._unmarked.get(job_id)
        if seen is None:
            return math.inf
        return seen[1] + self.handle.settings.unmarked_usage_seconds - time.monotonic()

    def finished_at(self, job_id: str) -> float | None:
        """Return the end of a job by IBM's clock."""
        return self.times(job_id).finished

    def times(self, job_id: str) -> JobTimes:
        """Return when a job came, ran and ended, by IBM's clock, from one answer."""
        return job_times(self._ask(job_id, "asking when it ended", lambda job: job.metrics()))

    def cancel(self, job_id: str) -> None:
        """Cancel a job that waits or runs."""
        try:
            self._ask(job_id, "cancelling it", lambda job: job.cancel())
        finally:
            self._jobs.pop(job_id, None)

    def find(self, tag: str) -> list[str]:
        """Return the ids of the jobs of a tag in the active instance, oldest first."""
        return self.handle.ask("looking for a job by its tag", lambda s: _with_tag(s, tag))

    def listed(self, since: float) -> list[AccountJob]:
        """Return the jobs of the QPU in the active instance, oldest first."""
        return self.handle.ask(
            "listing the jobs of the account", lambda s: _since(s, self.device, since)
        )

    def _cancelled_unrun(self, job_id: str, metrics: object) -> bool:
        if not never_ran(metrics):
            return False
        try:
            return self.status(job_id) == "cancelled"
        except ServiceUnavailable:
            return False

    def _ask(self, job_id: str, what: str, use: Callable[[RuntimeJobV2], T]) -> T:
        """Ask IBM about a job, through an object with the present token."""

        def call(service: QiskitRuntimeService) -> T:
            known = self._jobs.get(job_id)
            if known is None or known[0] is not service:
                known = (service, service.job(job_id))
                self._jobs[job_id] = known
            return use(known[1])

        return self.handle.ask(f"job {job_id}: {what}", call)


def _with_tag(service: QiskitRuntimeService, tag: str) -> list[str]:
    """Return the ids of the jobs of a tag in the active instance, oldest first."""
    jobs = [job for job in service.jobs(job_tags=[tag], limit=None) if tag in (job.tags or [])]
    return [j.job_id() for j in sorted(jobs, key=lambda j: (str(j.creation_date), j.job_id()))]


def _since(service: QiskitRuntimeService, device: str, since: float) -> list[AccountJob]:
    """Return the jobs of a QPU in the active instance after a time, oldest first."""
    after = datetime.fromtimestamp(
        since, UTC
    )  # findings/runtime_aware_times_are_taken_for_local.sh
    found = []
    for job in service.jobs(backend_name=device, created_after=after, limit=None):
        created = job.creation_date
        if created is None:
            raise ValueError("a job without the time of its creation")
        tags = tuple(str(each) for each in job.tags or ())
        found.append(AccountJob(job_id=job.job_id(), tags=tags, created_at=created.timestamp()))
    return sorted(found, key=lambda each: (each.created_at, each.job_id))
