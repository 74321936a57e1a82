"""Meaning of an exception of IBM's client for a job, told without the token.

The client has no exception of its own for most of this: several outcomes share one class and differ
in the text alone, so the text is read here, in one place.
"""

from __future__ import annotations

import re
from dataclasses import replace
from json import JSONDecodeError

from ..providers.failures import CallFailed, Failure, Kind, size_limit

__all__ = ["JOBS_AT_ONCE", "MISTAKES", "CallFailed", "Failure", "Kind", "redacted", "understand"]

_SECRETS = (
    re.compile(r"(?i)(bearer|apikey)\s+[^\s'\",}]+"),
    re.compile(
        r"(?i)((?:access_|refresh_)?token|api_?key|authorization)(['\"]?\s*[=:]\s*)(['\"]?)[^\s'\",&}]+"
    ),
    re.compile(r"eyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*){1,2}"),
)
_STATUS = re.compile(r"\b([45]\d\d) (?:Client|Server) Error")
_IBM_CODE = re.compile(r'(?:"code":\s*|[Ee]rror code:?\s*)(\d{3,5})')
_PENDING_JOBS = re.compile(r"(?i)(limit|maximum number)\b.{0,20}\b(pending|concurrent) jobs")
_LIFE = re.compile(r"(?i)\bmax_?(ttl|time)\b")
_TIME = re.compile(
    r"(?i)(?<![\w.])(\d{1,9}(?:\.\d{1,9})?)\s?(h|m|s|)(?:ours?|in|inutes?|ec|econds?)?\b"
)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
JOBS_AT_ONCE = {"1012", "3458"}
"""Codes of IBM's registry for as many unfinished jobs as an account may have."""
MISTAKES = (TypeError, AttributeError, LookupError, NameError, AssertionError, NotImplementedError)
"""Exceptions of a mistake in a program, ours or the client's; or of half an answer in the client."""
_IBM_MESSAGE = re.compile(r'"message":\s*"((?:[^"\\]|\\.)*)"')


def redacted(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return a text without tokens: the given ones, and whatever looks like one.

    >>> redacted("401 for Bearer abc.def, apikey=xyz")
    '401 for Bearer ***, apikey=***'
    """
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    text = _SECRETS[0].sub(r"\1 ***", text)
    text = _SECRETS[1].sub(
        lambda m: m.group(0) if m.group(0).endswith("***") else f"{m[1]}{m[2]}{m[3]}***", text
    )
    return _SECRETS[2].sub("***", text)


def understand(
    error: BaseException, *, submitting: bool = False, secrets: tuple[str, ...] = ()
) -> Failure:
    """Return the meaning of an exception of the client.

    Args:
        error: The exception.
        submitting: True if it came out of sending a job. There a bare ``RequestsApiError`` comes
            from the questions that the client asks before it sends.
        secrets: Tokens to keep out of the message.

    Returns:
        Its kind and a line about it.
    """
    from qiskit.providers.exceptions import QiskitBackendNotFoundError
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError
    from qiskit_ibm_runtime.exceptions import (
        IBMError,
        IBMInputValueError,
        IBMNotAuthorizedError,
        RuntimeJobNotFound,
    )
    from requests.exceptions import RequestException

    # The text of IBM's exceptions is their message with quotes around it.
    text = str(getattr(error, "message", None) or error)
    line = _line(redacted(text, secrets)) or type(error).__name__

    status = getattr(error, "status_code", -1)
    found = _STATUS.search(text)
    status = int(found[1]) if status == -1 and found else status
    gone = status == 404 or isinstance(error, RuntimeJobNotFound) or "not found" in text.lower()

    def failure(kind: Kind) -> Failure:
        return Failure(kind, line, type(error).__name__, gone and kind == "refused", status)

    if isinstance(error, IBMNotAuthorizedError):
        return failure("unauthorized")
    if isinstance(error, QiskitBackendNotFoundError):
        # The client says so too when it could not ask for the list of backends.
        return failure("before")
    if isinstance(error, RuntimeJobNotFound | IBMInputValueError):
        return failure("refused")
    if isinstance(error, IBMError):
        codes = set(_IBM_CODE.findall(text))
        if "1217" in codes:
            return failure("session-closed")
        if "1352" in codes:
            return failure("no-session")
        if status == 401:
            return failure("unauthorized")
        if codes & JOBS_AT_ONCE or _PENDING_JOBS.search(text):
            return failure("jobs-at-once")
        if status == 429:
            return failure("rate")
        if "1222" in codes or (400 <= status < 500 and _LIFE.search(text)):
            return replace(failure("session-life"), seconds=_seconds(text))
        if 400 <= status < 500 and status not in (408, 425):
            size = size_limit(_message(text), status) if submitting else None
            return failure("refused") if size is None else replace(failure("job-size"), size=size)
        if submitting and isinstance(error, RequestsApiError):
            return failure("before")
        return failure("network")
    if isinstance(error, UserWarning) and "access token" in text:  # where warnings are errors
        return failure("unauthorized")
    if isinstance(error, MISTAKES) and _is_ours(error):
        return failure("other")
    if isinstance(error, KeyError):
        return replace(failure("network"), odd=True)
    if isinstance(error, RequestException | OSError | JSONDecodeError):
        return failure("network")
    if isinstance(error, ValueError | TypeError | AttributeError) and not submitting:
        # Half of an answer, or one of another form; before a submission it is our own mistake.
        return replace(failure("network"), odd=isinstance(error, MISTAKES))
    return failure("other")


def _is_ours(error: BaseException) -> bool:
    """Return True if an exception was raised by a line of this package, or by what it called wrongly.

    The client itself raises them too, when it takes half of an answer for a whole one.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    name = "" if last is None else str(last.tb_frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] == __name__.partition(".")[0]


def _seconds(text: str) -> tuple[float, ...]:
    """Return the times in the message of a refusal, in seconds; a bare number is one of seconds."""
    return tuple(
        float(number) * _UNITS[unit[:1].lower()] for number, unit in _TIME.findall(_message(text))
    )


def _message(text: str) -> str:
    """Return the message of a refusal, without code and status."""
    messages = _IBM_MESSAGE.findall(text)
    return str(messages[0]) if messages else _STATUS.sub("", _IBM_CODE.sub("", text))


def _line(text: str) -> str:
    """Return the first 300 characters on one line; of IBM's JSON errors, their message."""
    messages = _IBM_MESSAGE.findall(text)
    status = _STATUS.search(text)
    if messages:
        codes = _IBM_CODE.findall(text)
        text = f"{messages[0]} (code {codes[0]})" if codes else messages[0]
        if status:
            text = f"HTTP {status[1]}: {text}"
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:297] + "..."
