"""Guard of the HTTP of IBM's client: no POST is repeated, and each goes through a gate.

Requests that create a job are met in the adapter of the client's sessions, the last step before the
wire: payload, address and token are made up by then.

A gate between two threads: a job leaves only after it is written down that it does.

IBM's client builds the payload and asks three or four questions before it sends a job. All that may
take long, and nothing of it creates a job. So "sending" is written down between these and the POST
itself: a process that dies earlier has sent nothing for sure, and the next one need not wait for a
job that may still appear. The call has a thread of its own, and the ledger belongs to the thread
that waits for it; hence the gate.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, Self, final
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from ...clocks import uptime

if TYPE_CHECKING:
    from types import TracebackType

    from qiskit_ibm_runtime import QiskitRuntimeService
    from requests import PreparedRequest, Response
    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import ConnectionPool

__all__ = [
    "Gate",
    "NotSent",
    "OncePosted",
    "PostingAdapter",
    "ServiceClock",
    "Sign",
    "creates_job",
    "gate_here",
    "through",
    "watch_posts",
]

Sign = Literal["asked", "ended"]


class NotSent(Exception):
    """A POST was held back: nobody waits for it any more, or it could not be written down."""


@final
class Gate:
    """Gate at which the thread of a call stops with a job, until the waiting thread lets it go.

    A gate that is closed stays closed: a call that was given up before its job had left never
    sends it.
    """

    def __init__(self) -> None:
        self.passed = False
        """True if a POST was let go: from there on a job may exist."""
        self.answer: int | None = None
        """HTTP status of the answer to the last POST; None without an answer."""
        self._signs: SimpleQueue[Sign] = SimpleQueue()
        self._changed = threading.Condition()
        self._granted = 0
        self._closed = False

    @property
    def in_doubt(self) -> bool:
        """True if a job may exist: a POST has left, and the service has not refused it."""
        refused = self.answer is not None and 400 <= self.answer < 500
        return self.passed and (not refused or self.answer in (408, 425))

    # -- the thread of the call ---------------------------------------------------------------

    def ask(self) -> None:
        """Stop here until the POST may go.

        Raises:
            NotSent: If it may not.
        """
        with self._changed:
            self._signs.put("asked")
            self._changed.wait_for(lambda: self._granted or self._closed)
            if self._closed:
                raise NotSent("the call was given up before its job was sent")
            self._granted -= 1

    def end(self) -> None:
        """Note that the call has ended, in one way or another."""
        self._signs.put("ended")

    # -- the thread that waits ----------------------------------------------------------------

    def sign(self, seconds: float) -> Sign | None:
        """Return the next sign of the call; None if it takes longer."""
        try:
            return self._signs.get(timeout=max(0.0, seconds))
        except Empty:
            return None

    def let_go(self) -> None:
        """Let the POST go that has asked."""
        with self._changed:
            self.passed = True
            self._granted += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Close the gate: no POST goes any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


_here = threading.local()


@contextmanager
def through(gate: Gate) -> Iterator[None]:
    """Send the jobs of this thread through a gate, within the block."""
    _here.gate = gate
    try:
        yield
    finally:
        _here.gate = None


def gate_here() -> Gate | None:
    """Return the gate of this thread, if it has one."""
    found: Gate | None = getattr(_here, "gate", None)
    return found


@final
class ServiceClock:
    """Clock of the service: the ``Date`` of its last answer, and the time since that came."""

    def __init__(self) -> None:
        self._seen: tuple[float, float] | None = None

    def see(self, date: str | None) -> None:
        """Take the time of an answer; one without a date, or with half of one, is passed over."""
        try:
            found = parsedate_to_datetime(date or "").timestamp()
        except (TypeError, ValueError, OverflowError):
            return
        self._seen = (found, uptime())

    def now(self) -> float | None:
        """Return the time, seconds since 1970; None before the first answer with a date."""
        seen = self._seen
        return None if seen is None else seen[0] + uptime() - seen[1]


class PostingAdapter(HTTPAdapter):
    """Adapter that sends as :mod:`requests` does; a job through the gate of its thread, if any.

    Args:
        clock: Is told the date of each answer.
    """

    def __init__(self, *rest: Any, clock: ServiceClock | None = None, **more: Any) -> None:
        self._clock = clock
        super().__init__(*rest, **more)

    def send(self, request: PreparedRequest, *rest: Any, **more: Any) -> Response:
        """Send one request."""
        gate = gate_here()
        through_gate = gate is not None and creates_job(request.method, request.url)
        if gate is not None and through_gate:
            gate.ask()
        response = super().send(request, *rest, **more)
        if gate is not None and through_gate:
            gate.answer = response.status_code
        if self._clock is not None:
            self._clock.see(response.headers.get("Date"))
        return response


class OncePosted(Retry):
    """Rules of urllib3 for repeating a request; POSTs only where no connection was made.

    urllib3 itself checks the method where an answer was read, but not where TLS failed while it
    was: by then the service may have the job.
    """

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """Count an attempt, as urllib3 does; raise the error of a POST that may have arrived."""
        if error is not None and method == "POST" and not self._is_connection_error(error):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


def creates_job(method: str | None, url: str | None) -> bool:
    """Return True if a request creates a job.

    >>> creates_job("POST", "https://h/api/v1/jobs")
    True
    >>> creates_job("POST", "https://h/api/v1/jobs/j1/cancel")
    False
    """
    return method == "POST" and urlsplit(url or "").path.rstrip("/").endswith("/jobs")


def watch_posts(service: QiskitRuntimeService, clock: ServiceClock | None = None) -> None:
    """Let the client's HTTP sessions repeat a question, and never a POST that may have arrived.

    By default the client sends a POST again after a 5xx; if the job was created before the answer
    was lost, that makes a second one, and both are paid. Here a POST is repeated only where no
    connection was made. What to do then is decided by tag, in
    :mod:`~qdm_qiskit.hardware.providers.sender`.

    Args:
        service: The client.
        clock: Is told the date of each answer.
    """
    for client in service._get_api_clients().values():
        session = client._session
        old = session.get_adapter("https://").max_retries
        retry = OncePosted(
            total=old.total,
            connect=old.connect,
            backoff_factor=old.backoff_factor,
            status_forcelist=old.status_forcelist,
            allowed_methods=frozenset({"GET", "PUT", "DELETE"}),
        )
        for scheme in ("https://", "http://"):
            session.mount(scheme, PostingAdapter(max_retries=retry, clock=clock))
