"""Failures of a call to a provider and their meaning for a job, in one line without secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...errors import ServiceUnavailable

__all__ = [
    "CallFailed",
    "Failure",
    "Kind",
]

Kind = Literal[
    "unauthorized",  # 401: the token was revoked or could not be renewed; nothing was created
    "rate",  # 429: too fast; nothing was created
    "jobs-at-once",  # as many jobs wait as the plan allows; nothing was created
    "session-life",  # a session may not live so long on this plan; nothing was created
    "session-closed",  # 1217: the session takes no jobs; nothing was created
    "no-session",  # 1352: the plan has no sessions; nothing was created
    "refused",  # another 4xx: the same request will be refused again
    "before",  # failed on the way to the submission; nothing was created
    "network",  # no answer, or none that can be read; what was sent may have arrived
    "timeout",  # given up by our own watchdog; what was sent may still arrive
    "other",  # a mistake in what was asked for
]


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


class CallFailed(ServiceUnavailable):
    """Error of a call to a provider; it holds a :class:`Failure` and no reference to anything else.

    A client's own exceptions may keep the request with its headers, and so the token; they end
    where they are understood.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure
