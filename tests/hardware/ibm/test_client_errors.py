"""What the client's exceptions mean, and that no token comes out with them."""

import json

import pytest
import requests
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMInputValueError,
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeJobNotFound,
)

from qdm_qiskit.hardware.ibm.client_errors import MISTAKES, redacted, understand

TOKEN = "api-key-of-nobody-1234567890"  # noqa: S105 (nobody's)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpYW0iOiJ4In0.c2lnbmF0dXJl"


def http(code: int, ibm: int = 0, what: str = "Client") -> str:
    body = json.dumps({"errors": [{"code": ibm, "message": "as it is"}]})
    return f"Failed to run program: '{code} {what} Error: x for url: http://h/jobs. {body}'"


CASES = [
    (IBMNotAuthorizedError("401 Client Error"), "unauthorized", True),
    (IBMRuntimeError(http(429)), "rate", True),
    (RequestsApiError("429 Client Error", 429), "rate", True),
    (IBMRuntimeError(http(400, 1217)), "session-closed", True),
    (RequestsApiError(http(400, 1352), 400), "no-session", True),
    (IBMRuntimeError(http(413)), "job-size", True),
    (IBMRuntimeError(http(409)), "refused", True),
    (IBMInputValueError("no such thing"), "refused", True),
    (RuntimeJobNotFound("Job not found: j"), "refused", True),
    (QiskitBackendNotFoundError("No backend matches the criteria."), "before", True),
    (RequestsApiError("500", 500), "before", True),  # a question asked before the POST
    (RequestsApiError("Max retries exceeded"), "before", True),
    (IBMRuntimeError(http(502, what="Server")), "network", False),
    (IBMRuntimeError("Failed to run program: 'Connection aborted.'"), "network", False),
    (requests.exceptions.JSONDecodeError("x", "y", 0), "network", False),
    (json.JSONDecodeError("x", "y", 0), "network", False),
    (KeyError("id"), "network", False),
    (ConnectionResetError(), "network", False),
    (TypeError("our own mistake"), "other", False),
    (ValueError("our own mistake"), "other", False),
]


@pytest.mark.parametrize(("error", "kind", "nothing"), CASES)
def test_an_exception_out_of_a_submission(error, kind, nothing):
    failure = understand(error, submitting=True)
    assert failure.kind == kind
    assert failure.nothing_created is nothing
    assert failure.message
    assert "\n" not in failure.message


@pytest.mark.parametrize(
    "error",
    [
        RequestsApiError("gone", 500),
        TypeError("string indices must be integers"),
        ValueError("pydantic"),
        requests.exceptions.ConnectionError("x"),
        KeyError("state"),
        AttributeError("x"),
    ],
)
def test_half_an_answer_to_a_question_may_pass(error):
    failure = understand(error)
    assert failure.kind == "network"
    assert failure.passing


def raised(error: Exception, module: str) -> Exception:
    """An exception as a line of a module raises it."""
    names: dict[str, object] = {"__name__": module, "error": error}
    exec("def fail():\n    raise error", names)  # noqa: S102 (two lines of our own)
    try:
        names["fail"]()  # type: ignore[operator]
    except Exception as found:
        return found
    raise AssertionError


@pytest.mark.parametrize("kind", MISTAKES)
@pytest.mark.parametrize("submitting", [True, False])
def test_a_mistake_of_our_own_is_not_asked_again(kind, submitting):
    ours = understand(raised(kind("x"), "qdm_qiskit.hardware.ibm.x"), submitting=submitting)
    assert ours.kind == "other"
    assert not ours.passing


def test_a_mistake_elsewhere_may_be_half_an_answer_and_is_asked_a_few_times():
    with pytest.raises(TypeError) as caught:
        understand(None, nonsense=True)  # type: ignore[call-arg,arg-type]
    theirs = understand(caught.value)
    assert (theirs.kind, theirs.odd) == ("network", True)


def test_what_is_refused_does_not_pass_and_what_is_missing_is_gone():
    assert not understand(RequestsApiError("403 Client Error", 403)).passing
    missing = understand(RequestsApiError("404 Client Error", 404))
    assert missing.gone
    assert not understand(RequestsApiError("403 Client Error", 403)).gone


def test_ibms_message_is_taken_out_of_its_json():
    found = understand(IBMRuntimeError(http(409, 3458)), submitting=True)
    assert found.message == "HTTP 409: as it is (code 3458)"


@pytest.mark.parametrize(
    "text",
    [
        f"401 for url x with Bearer {JWT}",
        f"header {{'Authorization': 'Bearer {JWT}'}}",
        f"Authorization: apikey {TOKEN}",
        f"POST apikey={TOKEN}&grant_type=x",
        f'{{"access_token": "{JWT}", "refresh_token": "{TOKEN}"}}',
        f"the key {TOKEN} is wrong",
        f"raw {JWT} here",
        f"token: '{TOKEN}'",
    ],
)
def test_no_token_is_left_in_a_text(text):
    found = redacted(text, (TOKEN,))
    assert TOKEN not in found
    assert JWT not in found
    assert "eyJ" not in found
    assert "***" in found


def test_ordinary_words_stay():
    text = "401: the token is not valid; bearer of news"
    assert redacted(text).startswith("401: the token is not valid")


def test_long_texts_become_one_short_line():
    found = understand(IBMRuntimeError("x\n" * 5000))
    assert len(found.message) <= 300
    assert "\n" not in found.message
