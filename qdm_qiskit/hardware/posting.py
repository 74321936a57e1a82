"""What is changed about the HTTP of IBM's client: no POST is repeated, and each goes through a gate.

Requests that create a job are met in the adapter of the client's sessions, the last step before the
wire: payload, address and token are made up by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from .gate import gate_here

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService
    from requests import PreparedRequest, Response


class PostingAdapter(HTTPAdapter):
    """Sends as :mod:`requests` does; a job through the gate of its thread, if there is one."""

    def send(self, request: PreparedRequest, *rest: Any, **more: Any) -> Response:
        """Send one request."""
        gate = gate_here()
        if gate is not None and creates_job(request.method, request.url):
            gate.ask()
        return super().send(request, *rest, **more)


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
        retry = Retry(
            total=old.total,
            connect=old.connect,
            backoff_factor=old.backoff_factor,
            status_forcelist=old.status_forcelist,
            allowed_methods=frozenset({"GET", "PUT", "DELETE"}),
        )
        for scheme in ("https://", "http://"):
            session.mount(scheme, PostingAdapter(max_retries=retry))
