"""A job leaves after it was written down, and never once nobody waits for it."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from requests import Session
from urllib3.exceptions import NewConnectionError, ProtocolError, SSLError

from qdm_qiskit.hardware.ibm.account import ServiceHandle, silent
from qdm_qiskit.hardware.ibm.client_errors import CallFailed
from qdm_qiskit.hardware.ibm.post_guard import (
    Gate,
    NotSent,
    OncePosted,
    PostingAdapter,
    creates_job,
    gate_here,
    through,
    watch_posts,
)
from qdm_qiskit.hardware.providers.settings import ServiceSettings


def handle(**settings: float) -> ServiceHandle:
    made = ServiceHandle("crn:1", ServiceSettings(**settings), silent)  # type: ignore[arg-type]
    made._service = SimpleNamespace()  # type: ignore[assignment]
    return made


class Wire:
    """A call that asks its questions, posts, and waits for the answer."""

    def __init__(self, *, before: float = 0.0, after: float = 0.0) -> None:
        self.before, self.after = before, after
        self.happened: list[str] = []
        self.over = threading.Event()

    def __call__(self, _: object) -> str:
        try:
            time.sleep(self.before)
            self.happened.append("asked")
            gate = gate_here()
            assert gate is not None
            gate.ask()
            self.happened.append("posted")
            time.sleep(self.after)
            return "job1"
        finally:
            self.over.set()


def test_it_is_written_down_between_the_questions_and_the_post():
    wire = Wire()
    here = threading.get_ident()
    threads: list[int] = []

    def before_post() -> None:
        threads.append(threading.get_ident())
        time.sleep(0.05)  # the POST waits for it
        wire.happened.append("written")

    found = handle().once("sending", wire, submitting=True, before_post=before_post)
    assert found == "job1"
    assert wire.happened == ["asked", "written", "posted"]
    assert threads == [here]  # the ledger belongs to this thread


def test_a_call_given_up_before_its_post_never_posts():
    wire = Wire(before=0.3)
    with pytest.raises(CallFailed) as told:
        handle(submit_seconds=0.1).once(
            "sending", wire, submitting=True, before_post=lambda: wire.happened.append("written")
        )
    assert (told.value.failure.kind, told.value.failure.unsent) == ("timeout", True)
    assert told.value.failure.nothing_created
    assert wire.over.wait(5)
    assert wire.happened == ["asked"]


def test_a_call_given_up_after_its_post_may_have_made_a_job():
    wire = Wire(after=0.4)
    with pytest.raises(CallFailed) as told:
        handle(submit_seconds=0.1).once("sending", wire, submitting=True, before_post=lambda: None)
    assert told.value.failure.kind == "timeout"
    assert not told.value.failure.nothing_created


@pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt()])
def test_what_cannot_be_written_down_is_not_sent(error):
    wire = Wire()

    def before_post() -> None:
        raise error

    with pytest.raises(type(error)):
        handle().once("sending", wire, submitting=True, before_post=before_post)
    assert wire.over.wait(5)
    assert wire.happened == ["asked"]


def test_an_exception_before_the_post_says_that_nothing_was_sent():
    def fails(_: object) -> None:
        raise ConnectionResetError("a question failed")

    for before_post, unsent in ((lambda: None, True), (None, False)):
        with pytest.raises(CallFailed) as told:
            handle().once("sending", fails, submitting=True, before_post=before_post)
        assert told.value.failure.kind == "network"
        assert told.value.failure.unsent == told.value.failure.nothing_created == unsent


def test_a_post_that_nobody_wants_to_know_of_is_let_go():
    assert handle().once("a dry run", Wire(), submitting=True) == "job1"


def test_a_closed_gate_stays_closed():
    gate = Gate()
    gate.close()
    for _ in range(2):
        with pytest.raises(NotSent):
            gate.ask()
    with through(gate):
        assert gate_here() is gate
    assert gate_here() is None


@pytest.mark.parametrize(
    ("method", "url", "creates"),
    [
        ("POST", "https://quantum.cloud.ibm.com/api/v1/jobs", True),
        ("POST", "http://127.0.0.1:80/experimental/jobs/", True),
        ("POST", "https://h/jobs?x=1", True),
        ("GET", "https://h/jobs", False),
        ("POST", "https://h/jobs/j1/cancel", False),
        ("POST", "https://h/sessions", False),
        ("PUT", "https://h/jobs", False),
        (None, None, False),
    ],
)
def test_which_request_creates_a_job(method, url, creates):
    assert creates_job(method, url) is creates


def test_every_session_of_the_client_is_watched():
    clients = {crn: SimpleNamespace(_session=Session()) for crn in ("crn:1", "crn:2")}
    watch_posts(SimpleNamespace(_get_api_clients=lambda: clients))  # type: ignore[arg-type]
    for client in clients.values():
        for scheme in ("http://h/jobs", "https://h/jobs"):
            adapter = client._session.get_adapter(scheme)
            assert isinstance(adapter, PostingAdapter)
            assert adapter.max_retries.is_retry("GET", 503) is False  # Session's own list is empty
            assert "POST" not in adapter.max_retries.allowed_methods


def test_a_post_is_repeated_only_where_no_connection_was_made():
    retry = OncePosted(
        total=5, connect=3, status_forcelist={500}, allowed_methods=frozenset({"GET"})
    )
    for error in (SSLError("bad record"), ProtocolError("closed"), OSError("reset")):
        with pytest.raises(type(error)):
            retry.increment("POST", "/jobs", error=error)
    # Questions are asked again.
    assert retry.increment("GET", "/jobs", error=SSLError("bad record")).total == 4
    refused = NewConnectionError(SimpleNamespace(host="h"), "refused")  # type: ignore[arg-type]
    assert retry.increment("POST", "/jobs", error=refused).connect == 2
    assert not retry.is_retry("POST", 500)


@pytest.mark.parametrize(
    ("answer", "doubt"),
    [(None, True), (200, True), (500, True), (408, True), (401, False), (409, False), (429, False)],
)
def test_only_a_refusal_of_the_post_itself_proves_that_nothing_was_created(answer, doubt):
    """Whatever the client then trips over, here a backend that it does not find."""

    def call(_: object) -> str:
        gate = gate_here()
        assert gate is not None
        gate.ask()
        gate.answer = answer
        raise QiskitBackendNotFoundError("No backend matches the criteria.")

    with pytest.raises(CallFailed) as caught:
        handle().once("sending", call, submitting=True, before_post=lambda: None)
    assert caught.value.failure.nothing_created is not doubt
