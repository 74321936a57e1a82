"""What is changed about the HTTP of IBM's client: no POST is repeated, and each goes through a gate.

Requests that create a job are met in the adapter of the client's sessions, the last step before the
wire: payload, address and token are made up by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from .gate import gate_here

if TYPE_CHECKING:
    from types import TracebackType

    from qiskit_ibm_runtime import QiskitRuntimeService
    from requests import PreparedRequest, Response
    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import ConnectionPool


class PostingAdapter(HTTPAdapter):
    """Sends as :mod:`requests` does; a job through the gate of its thread, if there is one."""

    def send(self, request: PreparedRequest, *rest: Any, **more: Any) -> Response:
        """Send one request."""
        gate = gate_here()
        if gate is None or not creates_job(request.method, request.url):
            return super().send(request, *rest, **more)
        gate.ask()
        response = super().send(request, *rest, **more)
        gate.answer = response.status_code
        return response


class OncePosted(Retry):
    """urllib3's rules for repeating a request, for POSTs only where no connection was made.

    urllib3 itself asks for the method where an answer was read, but not where TLS failed while it
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
        """See urllib3; raises the error of a POST that may have arrived."""
        if error is not None and method == "POST" and not self._is_connection_error(error):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


def creates_job(method: str | None, url: str | None) -> bool:
    """Whether a request creates a job.

    >>> creates_job("POST", "https://h/api/v1/jobs")
    True
    >>> creates_job("POST", "https://h/api/v1/jobs/j1/cancel")
    False
    """
    return method == "POST" and urlsplit(url or "").path.rstrip("/").endswith("/jobs")


def watch_posts(service: QiskitRuntimeService) -> None:
    """Let the client's HTTP sessions repeat a question, and never a POST that may have arrived.

    By default the client sends a POST again after a 5xx; if the job was created before the answer
    was lost, that makes a second one, and both are paid. Here a POST is repeated only where no
    connection was made. What to do then is decided by tag, in :mod:`~qdm_qiskit.hardware.submit`.
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
            session.mount(scheme, PostingAdapter(max_retries=retry))
