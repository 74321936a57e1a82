"""Contract of a provider: a service that runs circuits, be it IBM's, this machine, or one's own.

A provider answers a few plain questions. The code around it (:mod:`.jobs`) reserves, writes an
intention down before anything is sent, looks for a job by its tag before it is sent again, settles
what jobs really cost, and goes on after a crash at any point.

An installed package brings a provider by an entry point of the group ``qdm_qiskit.provider``, whose
value is called with the text after ``NAME:`` of a target; ``NAME:DEVICE`` is then a target of
``qdm run``. From Python a provider object needs no registration.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ...arguments import of_kind
from ...errors import InvalidOption, TargetUnavailable
from ...execution.provider_names import BUILT_IN, note_provider
from ..plan.types import Availability, ProviderRecord
from .requests import EstimatorRequest, JobRequest, Request

if TYPE_CHECKING:
    from qiskit.providers import BackendV2

    from .context import RunContext

__all__ = [
    "DEVICE",
    "ENDED",
    "NAME",
    "AccountJob",
    "Counts",
    "JobTimes",
    "NotSubmitted",
    "Provider",
    "Status",
    "checked_provider",
]

Status = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
"""State of a job; ``lost`` is one that the provider does not know."""
ENDED = ("done", "failed", "cancelled", "lost")
Counts: TypeAlias = np.ndarray | Sequence[Mapping[int | str, int]]
"""Counts of one circuit: integers of shape ``(rows, 2**bits)``, bit 0 the least significant of the
second index; or one mapping a row, from the outcome (an integer, or its bits as Qiskit writes them,
bit 0 last) to how often it came."""
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class AccountJob:
    """A job in the list of an account, whoever sent it."""

    job_id: str
    tags: tuple[str, ...]
    created_at: float
    """Seconds since 1970, by the provider's clock."""


@dataclass(frozen=True, kw_only=True)
class JobTimes:
    """When a job came, ran and ended, by the provider's clock, in seconds since 1970.

    Their differences are the queue's and the device's times; None where the provider does not say.
    """

    created: float | None = None
    started: float | None = None
    finished: float | None = None


class NotSubmitted(Exception):
    """A job was not taken, for sure: none was created, and nothing is charged.

    Args:
        message: Reason, on one line.
        again: True if the same job may be taken a moment later; it is sent again then.
    """

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


class Provider(ABC):
    """A service that runs circuits; six calls, none of which need remember anything.

    Errors: ``ConnectionError`` and ``TimeoutError`` say that a question may be answered a moment
    later; it is asked again. Anything else ends the command with one line, and the run can be
    resumed. After an error of :meth:`submit` other than :class:`NotSubmitted` the job is looked
    for by its tag.

    docs/extending/provider.md has a whole one; this one's qubits are always 0:

    >>> class Zeros(Provider):
    ...     name, device = "zeros", "chip-1"
    ...     def __init__(self):
    ...         self.sent = {}
    ...     def submit(self, request, *, tag, max_seconds):
    ...         self.sent[tag] = request
    ...         return tag
    ...     def status(self, job_id):
    ...         return "done" if job_id in self.sent else "lost"
    ...     def result(self, job_id, request):
    ...         return [[{0: request.shots}] * len(rows) for _, rows in request.pubs]
    ...     def usage(self, job_id):
    ...         return 2.0
    ...     def cancel(self, job_id):
    ...         return None
    ...     def find(self, tag):
    ...         return [tag] if tag in self.sent else []
    >>> Zeros().target
    'zeros:chip-1'
    """

    name: str
    """First word of its targets: letters, digits, ``-`` and ``_``."""
    device: str
    """Name of the device: what stands after ``NAME:``."""
    charges: bool = True
    """True if jobs cost QPU seconds, which a budget pays."""
    in_process: bool = False
    """True if a job runs in this process, when its result is asked for: no other waits for it."""
    lag_seconds: float | None = None
    """Seconds after a submission for which :meth:`find` may miss its job: so long a tag is looked
    up before a job that may have been sent is sent again. None takes ``grace_seconds`` of the
    settings; 0 is for a service that lists a job once its submission has returned or failed."""
    job_seconds: float | None = None
    """QPU seconds that each job costs besides its shots, in the estimate of a plan; None takes the
    2 s of IBM's formula."""
    shot_seconds: float | None = None
    """QPU seconds of one shot of one circuit, in the same estimate; None takes IBM's formula."""
    most_shots: int | None = None
    """Largest number of shots of a circuit."""
    most_executions: int | None = None
    """Largest number of circuits times shots of a job."""

    # -- the contract -------------------------------------------------------------------------

    @abstractmethod
    def submit(self, request: JobRequest, *, tag: str, max_seconds: int | None) -> str:
        """Send a job and return its id.

        Args:
            request: Circuits (``request.pubs``, each with its rows of values in radians) and
                ``request.shots`` of each row.
            tag: Text that :meth:`find` finds the job by: at most 128 of ``A-Za-z0-9_.-``.
            max_seconds: The job should be stopped after so many QPU seconds; None sets no limit.

        Raises:
            NotSubmitted: If no job was created, for sure.
        """

    @abstractmethod
    def status(self, job_id: str) -> Status:
        """Return the state of a job."""

    @abstractmethod
    def result(self, job_id: str, request: JobRequest) -> Sequence[Counts]:
        """Return the counts of a job that is done, for each circuit of what was sent."""

    @abstractmethod
    def usage(self, job_id: str) -> float | None:
        """Return the QPU seconds that a job which has ended cost; None while they are not final."""

    @abstractmethod
    def cancel(self, job_id: str) -> None:
        """Cancel a job that waits or runs; one that has ended is left alone."""

    @abstractmethod
    def find(self, tag: str) -> Sequence[str]:
        """Return the ids of all jobs with a tag, oldest first, in whatever state."""

    # -- what may be added --------------------------------------------------------------------

    def reason(self, job_id: str) -> str:
        """Return the reason for which a job failed, on one line."""
        return "no reason given"

    def finished_at(self, job_id: str) -> float | None:
        """Return the end of a job, in seconds since 1970; None if it is not known."""
        return None

    def times(self, job_id: str) -> JobTimes:
        """Return when a job came, ran and ended; what is not known is left out."""
        return JobTimes(finished=self.finished_at(job_id))

    def backend(self) -> BackendV2 | None:
        """Return the device, for which circuits are transpiled; None takes them as they are."""
        return None

    def seconds_left(self) -> float | None:
        """Return the QPU seconds that the account may still use; None without a limit."""
        return None

    def queue(self) -> int | None:
        """Return the number of jobs that wait before the next one; None where it is not known."""
        return None

    def begin(self, run: RunContext, *, detach: bool) -> None:
        """Prepare for a run; called once, before all other calls.

        Args:
            run: The run.
            detach: True if nobody waits for its jobs.
        """
        return

    def close(self, *, keep: bool = False) -> None:
        """Let go of what is open; ``keep`` leaves it for a later process."""
        return

    def listed(self, since: float) -> Sequence[AccountJob] | None:
        """Return all jobs of the account on the device after a time, whoever sent them.

        Args:
            since: Seconds since 1970.

        Returns:
            The jobs, oldest first; None where the account has no list.
        """
        return None

    # -- what IBM needs besides ---------------------------------------------------------------

    instance: str = ""
    """Account that pays; jobs of a run stay with the one that it began with."""
    mode: str = "job"
    """Mode in which jobs are sent, for the record."""
    session_id: str | None = None

    @property
    def title(self) -> str:
        """Name of the provider in messages, at the start of a sentence."""
        return f"Provider '{self.name}'"

    def service_time(self) -> float | None:
        """Return the time of the provider's clock, since 1970; None if it is not known.

        It is asked without a call to the provider: of what the last answers have said.
        """
        return None

    def prepare(self) -> None:
        """Open what the next job needs, without creating a job."""
        return

    def send(
        self, request: Request, *, tag: str, max_seconds: int | None, before: Callable[[], None]
    ) -> str:
        """Send a job, and call ``before`` at the last moment at which none can exist."""
        if not isinstance(request, JobRequest):
            raise NotSubmitted("expectation values are measured by IBM's provider only")
        before()
        return self.submit(request, tag=tag, max_seconds=max_seconds)

    def estimates(self, job_id: str, request: EstimatorRequest) -> Sequence[np.ndarray]:
        """Return what an Estimator's job found: ``(2, rows, observables)`` of each PUB.

        Planning sends such jobs to IBM and to this machine only.
        """
        raise InvalidOption(f"{self.title} has no Estimator; plan with primitive 'sampler'.")

    def usage_due(self, job_id: str) -> float:
        """Return the seconds after which a usage that is not final is worth asking for again."""
        return float("inf")

    def renew(self) -> None:
        """Log in again, after the provider refused the account."""
        return

    def session_closed(self, reason: str | None) -> None:
        """Open another session for the next job if the provider closed it; None says it did."""
        return

    # -- for the code around it ---------------------------------------------------------------

    @property
    def target(self) -> str:
        """Target of the provider, ``NAME:DEVICE``."""
        return f"{self.name}:{self.device}"

    def offered(self, record: ProviderRecord | None = None) -> Availability:
        """Return the state of the provider, as planning needs it.

        Args:
            record: Origin of the provider; by default its class.

        Raises:
            InvalidOption: If its name or device cannot stand in a target.
            TargetUnavailable: If the provider does not answer.
        """
        checked_provider(self)
        kind = type(self)
        try:
            return Availability(
                backend=self.backend(),
                queue=self.queue(),
                seconds_left=self.seconds_left(),
                provider=record
                or ProviderRecord(
                    name=self.name,
                    package="",
                    version="",
                    module=f"{kind.__module__}:{kind.__qualname__}"[:128],
                    charges=self.charges,
                ),
                job_seconds=self.job_seconds,
                shot_seconds=self.shot_seconds,
                most_shots=self.most_shots,
                most_executions=self.most_executions,
            )
        except Exception as error:  # whatever another package raises
            raise TargetUnavailable(
                f"Provider '{self.target}' cannot be used now: {type(error).__name__}: "
                f"{' '.join(str(error).split())}"
            ) from error


def checked_provider(provider: Any) -> Provider:
    """Return a provider object whose name and device can stand in a target.

    Its name stands for a provider from now on in this process.

    Raises:
        InvalidArgument: If it is no provider.
        InvalidOption: If its name or device cannot stand in a target.
    """
    of_kind(provider, Provider, "provider", "subclass qdm_qiskit.hardware.providers.base.Provider")
    for word, pattern, example in (("name", NAME, "acme"), ("device", DEVICE, "chip-1")):
        text = getattr(provider, word, None)
        if not isinstance(text, str) or not pattern.fullmatch(text):
            raise InvalidOption(f"provider.{word} is a name such as '{example}', got {text!r:.80}.")
    if provider.name in BUILT_IN:
        raise InvalidOption(
            f"provider.name is a name of its own, got '{provider.name}', which is this package's."
        )
    note_provider(provider.name)
    return provider
