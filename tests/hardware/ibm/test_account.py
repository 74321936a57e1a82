"""Calls that hang, tokens that are revoked, accounts that are not there: without a service."""

from __future__ import annotations

import threading
import time
import traceback
from types import SimpleNamespace

import pytest
import qiskit_ibm_runtime
from ibm_cloud_sdk_core import ApiException
from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError, InvalidAccountError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError

from qdm_qiskit.errors import (
    InvalidData,
    InvalidOption,
    ServiceUnavailable,
    TargetUnavailable,
    UnknownName,
)
from qdm_qiskit.execution.targets import parse_target
from qdm_qiskit.hardware.ibm.account import ODD_ATTEMPTS, connect, look
from qdm_qiskit.hardware.ibm.client_errors import CallFailed
from qdm_qiskit.hardware.ibm.provider import _since
from qdm_qiskit.hardware.providers.settings import ServiceSettings, read_settings

TOKEN = "api-key-of-nobody-1234567890"  # noqa: S105 (nobody's)
FAST = ServiceSettings(
    call_seconds=2, retry_seconds=0.6, first_pause_seconds=0.01, longest_pause_seconds=0.02
)


class Account:
    """What the fake service answers."""

    def __init__(self) -> None:
        self.problem: list[Exception] = []
        self.instances = [{"crn": "crn:1", "name": "one", "plan": "open"}]
        self.instance: str | None = "crn:1"
        self.devices = [
            {"name": "ibm_a", "status": {"name": "online"}, "queue_length": 5},
            {"name": "ibm_b", "status": {"name": "online"}, "queue_length": 2},
            {"name": "ibm_c", "status": {"name": "paused"}, "queue_length": 0},
            {"name": "mock_b", "status": {"name": "online"}, "queue_length": 0, "class": "mock"},
        ]
        self.built: list[object] = []
        self.list_failures: list[Exception] = []


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    state = Account()

    class Service:
        def __init__(self, instance: str | None = None) -> None:
            if state.problem:
                raise state.problem.pop(0)
            state.built.append(self)
            self.given = instance or state.instance

        def active_account(self) -> dict:
            return {"token": TOKEN, "instance": self.given}

        def instances(self) -> list:
            return state.instances

        def _get_api_clients(self) -> dict:
            return {}

        def _get_api_client(self, instance: str) -> SimpleNamespace:
            def list_backends(include_mocks: bool = False) -> list:
                if state.list_failures:
                    raise state.list_failures.pop(0)
                return state.devices

            return SimpleNamespace(list_backends=list_backends)

        def backend(self, name: str, instance: str) -> SimpleNamespace:
            if name not in [each["name"] for each in state.devices]:
                raise RequestsApiError("No backend matches")
            status = SimpleNamespace(operational=True, status_msg="active")
            if name == "ibm_c":
                status = SimpleNamespace(operational=True, status_msg="paused")
            return SimpleNamespace(name=name, status=lambda: status)

        def usage(self) -> dict:
            return {
                "usage_consumed_seconds": 20,
                "usage_limit_seconds": 600,
                "usage_remaining_seconds": 580,
            }

    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", Service)
    return state


def test_it_binds_the_accounts_instance(account):
    handle = connect(settings=FAST)
    assert (handle.instance, handle.generation) == ("crn:1", 1)
    assert handle.plan_type() == "open"
    usage = handle.usage()
    assert (usage.consumed_seconds, usage.remaining_seconds) == (20.0, 580)


def test_without_an_instance_the_only_one_is_taken_and_several_are_refused(account):
    account.instance = None
    handle = connect(settings=FAST)
    assert handle.instance == "crn:1"
    account.instances.append({"crn": "crn:2", "name": "two", "plan": "open"})
    with pytest.raises(ServiceUnavailable, match=r"2 \(one, two\); set QISKIT_IBM_INSTANCE"):
        connect(settings=FAST)


def test_no_account_says_how_to_get_one(account):
    account.problem = [AccountNotFoundError("Unable to find account.")] * 5
    with pytest.raises(ServiceUnavailable, match="There is no IBM Quantum account here; set"):
        connect(settings=FAST)


def test_a_service_away_for_a_moment_is_waited_for(account):
    account.problem = [InvalidAccountError("Unable to retrieve instances.")] * 2
    assert connect(settings=FAST).generation == 1


def test_a_service_that_stays_away_is_one_line(account):
    account.problem = [InvalidAccountError(f"Unable, key {TOKEN}\nline two")] * 1000
    with pytest.raises(ServiceUnavailable, match="cannot be reached, or it refuses") as caught:
        connect(settings=FAST)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("status", "refused"), [(400, True), (401, True), (503, False)])
def test_a_wrong_key_is_said_at_once(account, status, refused):
    error = InvalidAccountError("Unable to retrieve instances.")
    error.__cause__ = ApiException(status, message="Provided API key could not be found.")
    account.problem = [error]
    if not refused:
        assert connect(settings=FAST).generation == 1
        return
    with pytest.raises(ServiceUnavailable, match=rf"refuses the API key \(HTTP {status}\); set"):
        connect(settings=FAST)


def test_a_call_that_hangs_is_given_up(account):
    handle = connect(settings=ServiceSettings(call_seconds=0.2, retry_seconds=0))
    end = threading.Event()
    start = time.monotonic()
    with pytest.raises(CallFailed, match=r"no answer within 0\.2 s") as caught:
        handle.ask("waiting", lambda _: end.wait(20))
    assert caught.value.failure.kind == "timeout"
    assert time.monotonic() - start < 5
    end.set()


def test_a_revoked_token_makes_a_new_service(account):
    handle = connect(settings=FAST)
    old = account.built[0]

    def call(service: object) -> str:
        if service is old:
            raise IBMNotAuthorizedError("401 Client Error")
        return "answer"

    assert handle.ask("asking", call) == "answer"
    assert handle.generation == 2


def test_a_refused_account_is_not_asked_for_ever(account):
    handle = connect(settings=ServiceSettings(first_pause_seconds=0, longest_pause_seconds=0))

    def call(_: object) -> None:
        raise IBMNotAuthorizedError("401 Client Error")

    with pytest.raises(ServiceUnavailable, match="again and again"):
        handle.ask("asking", call)
    assert handle.generation <= 5


def test_a_passing_failure_is_asked_again_and_a_final_one_is_not(account):
    handle = connect(settings=FAST)
    answers: list[Exception] = [RequestsApiError("500", 500), RequestsApiError("429", 429)]
    calls = []

    def call(_: object) -> str:
        calls.append(1)
        if answers:
            raise answers.pop(0)
        return "answer"

    assert handle.ask("asking", call) == "answer"
    assert len(calls) == 3
    answers.append(RequestsApiError("403 Client Error", 403))
    with pytest.raises(CallFailed, match="403"):
        handle.ask("asking", call)
    assert len(calls) == 4


def test_no_token_and_no_client_exception_leaves_a_call(account):
    handle = connect(settings=FAST)

    def call(_: object) -> None:
        try:
            raise ConnectionError(f"header Authorization: Bearer {TOKEN}")
        except ConnectionError as error:
            raise RequestsApiError(f"403 Client Error: apikey {TOKEN} key={TOKEN}", 403) from error

    with pytest.raises(CallFailed) as caught:
        handle.ask("asking", call)
    text = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in text
    assert "***" in text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_backends_by_name_and_by_queue(account):
    handle = connect(settings=FAST)
    assert handle.backend("ibm_a").name == "ibm_a"
    assert handle.least_busy().name == "ibm_b"  # neither the paused nor the mock one
    assert handle.queue("ibm_a") == 5
    with pytest.raises(UnknownName, match="no backend of this account 'ibm_x'"):
        handle.backend("ibm_x")
    account.devices = account.devices[2:]
    with pytest.raises(TargetUnavailable, match="No QPU of the account is online"):
        handle.least_busy()


def test_a_list_that_does_not_come_is_no_missing_backend(account):
    handle = connect(settings=FAST)
    account.list_failures = [RequestsApiError("500", 500)] * 2
    assert handle.backend("ibm_a").name == "ibm_a"


def test_looking_at_a_target(account):
    see = look(FAST)
    assert account.built == []  # nothing is asked before it is needed
    sight = see(parse_target("ibm:least_busy"))
    assert (sight.backend.name, sight.queue, sight.seconds_left) == ("ibm_b", 2, 580)
    with pytest.raises(TargetUnavailable, match="ibm_c takes no jobs now: paused"):
        see(parse_target("ibm:ibm_c"))
    assert len(account.built) == 1


def test_settings_of_a_root(tmp_path):
    assert read_settings(tmp_path) == ServiceSettings()
    file = tmp_path / "service.json"
    file.write_text('{"poll_seconds": 0.5, "lookup_pauses_seconds": [0, 2]}')
    found = read_settings(tmp_path)
    assert (found.poll_seconds, found.lookup_pauses_seconds) == (0.5, (0.0, 2.0))
    for text, error in (
        ('{"pol_seconds": 1}', InvalidOption),
        ('{"poll_seconds": -1}', InvalidOption),
        ('{"submit_attempts": 0}', InvalidOption),
        ('{"lookup_pauses_seconds": []}', InvalidOption),
        ("[]", InvalidData),
        ("{", InvalidData),
    ):
        file.write_text(text)
        with pytest.raises(error):
            read_settings(tmp_path)


def test_a_mistake_in_a_program_is_not_asked_again_like_a_failure_of_the_network(account):
    """Ours never, the client's a few times: half of an answer looks the same there."""
    handle = connect(settings=FAST)
    asked: list[object] = []

    def theirs(service: object) -> None:
        asked.append(service)
        {}["state"]

    with pytest.raises(CallFailed, match="state"):
        handle.ask("asking", theirs)
    assert len(asked) == ODD_ATTEMPTS
    ours: list[object] = []
    with pytest.raises(CallFailed, match="has no attribute 'jobs'"):
        handle.ask("asking", lambda service: ours.append(service) or _since(service, "ibm_a", 1.0))
    assert len(ours) == 1
    lost: list[object] = []

    def network(service: object) -> None:
        lost.append(service)
        raise ConnectionResetError

    with pytest.raises(CallFailed):
        handle.ask("asking", network)
    assert len(lost) > ODD_ATTEMPTS
