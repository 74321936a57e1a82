"""Failures of a call to a provider and their meaning for a job, in one line without secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ...errors import ServiceUnavailable

__all__ = [
    "CallFailed",
    "Failure",
    "JobRefused",
    "Kind",
    "SizeLimit",
    "size_limit",
]

Kind = Literal[
    "unauthorized",  # 401: the token was revoked or could not be renewed; nothing was created
    "rate",  # 429: too fast; nothing was created
    "jobs-at-once",  # as many jobs wait as the plan allows; nothing was created
    "session-life",  # a session may not live so long on this plan; nothing was created
    "job-size",  # a job may not be so large on this plan; nothing was created
    "session-closed",  # 1217: the session takes no jobs; nothing was created
    "no-session",  # 1352: the plan has no sessions; nothing was created
    "refused",  # another 4xx: the same request will be refused again
    "before",  # failed on the way to the submission; nothing was created
    "network",  # no answer, or none that can be read; what was sent may have arrived
    "timeout",  # given up by our own watchdog; what was sent may still arrive
    "other",  # a mistake in what was asked for
]


@dataclass(frozen=True)
class SizeLimit:
    """A limit on the size of a job, as a refusal names it."""

    name: str
    """Field of the options of a plan: ``max_job_executions``, ``..._circuits``, ``..._values``."""
    numbers: tuple[int, ...]
    """Numbers of the refusal, which may be the limit or the job's own size; none of a payload's."""

    def below(self, size: int) -> int:
        """Return the limit for a job that was refused: the largest number below its size, else half.

        >>> SizeLimit("max_job_circuits", (400, 300)).below(400)
        300
        """
        return max((each for each in self.numbers if 1 <= each < size), default=max(1, size // 2))


_LIMIT = re.compile(
    r"(?i)\b(too (many|large|big|long)|exceed\w*|at most|maximum|max|limit(ed)?|allow\w*|up to|"
    r"(higher|more|larger|greater) than)\b"
)
_SIZES = (
    ("max_job_executions", re.compile(r"(?i)\bexecutions\b|\btotal (number of )?shots\b")),
    ("max_job_circuits", re.compile(r"(?i)\b(circuits|experiments)\b")),
    ("max_job_values", re.compile(r"(?i)\bpayload\b|\brequest (entity|body)\b")),
)
_NUMBER = re.compile(
    r"(?i)(?<![\w.])(\d{1,3}(?:,\d{3})+|\d{1,12})(?:\.\d+)?(?:\s?(million|k|m)\b)?(?![\w,]*\d)"
)
_CODE = re.compile(r"(?i)\bcode:?\s*\d{3,5}")
_FACTORS = {"million": 10**6, "m": 10**6, "k": 10**3, "": 1}


def size_limit(text: str, status: int = -1) -> SizeLimit | None:
    """Return the limit on the size of a job that a refusal is about; None if it is about another.

    Args:
        text: The refusal, without codes and statuses.
        status: HTTP status of the answer; 413 is about the payload, whatever it says.

    >>> size_limit("The number of circuits (400) exceeds the maximum of 300.")
    SizeLimit(name='max_job_circuits', numbers=(400, 300))
    >>> size_limit("at most 5 million executions")
    SizeLimit(name='max_job_executions', numbers=(5000000,))
    """
    text = _CODE.sub("", text)
    for name, words in _SIZES:
        if words.search(text) and (_LIMIT.search(text) or status == 413):
            numbers = tuple(
                int(digits.replace(",", "")) * _FACTORS[unit.lower()]
                for digits, unit in _NUMBER.findall(text)
            )
            # A payload is measured in bytes there, and by its values here.
            return SizeLimit(name, () if name == "max_job_values" else numbers)
    return SizeLimit("max_job_values", ()) if status == 413 else None


@dataclass(frozen=True)
class Failure:
    """A call that failed, understood."""

    kind: Kind
    message: str
    """One line, without secrets."""
    name: str
    """Name of the exception's class."""
    gone: bool = False
    """True if the service said 404: there is no such job or session."""
    status: int = -1
    """HTTP status of the service's answer; -1 if it is not known or there was no answer."""
    unsent: bool = False
    """True if a submission ended before its POST had left."""
    seconds: tuple[float, ...] = ()
    """Times that the refusal of a session's life names."""
    size: SizeLimit | None = None
    """Limit that the refusal of a job's size names."""
    odd: bool = False
    """True if it may be a mistake of the client's program as well as half of an answer."""

    @property
    def nothing_created(self) -> bool:
        """True if a submission that ended so has surely created no job."""
        return self.unsent or self.kind not in ("network", "timeout", "other")

    @property
    def passing(self) -> bool:
        """True if the same question may be answered a moment later."""
        return self.kind in ("unauthorized", "rate", "before", "network", "timeout")


class JobRefused(ServiceUnavailable):
    """A provider refuses a job, and would refuse it again; no job exists."""


class CallFailed(ServiceUnavailable):
    """Error of a call to a provider; it holds a :class:`Failure` and no reference to anything else.

    A client's own exceptions may keep the request with its headers, and so the token; they end
    where they are understood.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure
