"""Faults to order, taken from a queue of rules by the requests that match them."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import asdict, dataclass, field, replace

ANSWERS = (
    "normal",  # the API's own answer (with `delay`: late)
    "status",  # `code`, `headers`, `body` instead of it
    "html",  # 200 with a page, as a proxy's login does
    "empty",  # 204 without a body
    "truncate",  # half of the body in a valid message
    "cut",  # half of the body, then the connection is closed
    "reset",  # the connection is reset, nothing is sent
    "reset_mid",  # half of the body, then a reset
)
JOB_OUTCOMES = ("Failed", "Cancelled")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One rule. The first rule of the queue that matches a request is used up by it once."""

    method: str = ""
    """Method; empty for any."""
    path: str = ""
    """Regular expression, searched in path and query without the base; empty for any."""
    times: int = 1
    """How many requests get it."""
    skip: int = 0
    """How many matching requests pass first."""
    answer: str = "normal"
    """One of `ANSWERS`."""
    act: bool = True
    """Whether the request is carried out (a job created, a session closed) before the answer."""
    twice: bool = False
    """Carried out a second time, as when something on the way repeats it; answered once."""
    code: int = 503
    """Status of `answer="status"`."""
    headers: dict[str, str] = field(default_factory=dict)
    """More headers of `answer="status"`."""
    body: str = ""
    """Body of `answer="status"`; empty: an error in IBM's form."""
    delay: float = 0.0
    """Seconds before the request is carried out."""
    after: str = ""
    """Regular expression of a later request, with its method: carried out `delay` after that comes."""
    delay_answer: float = 0.0
    """Seconds between carrying it out and the answer."""
    job: str = ""
    """For jobs instead of requests: `Failed` or `Cancelled`, when a job would run."""
    reason_code: int = 9999
    """Reason code of such a job."""
    reason: str = "an error ordered by the test"
    """Its reason."""
    charge: bool = False
    """Whether such a job is charged."""

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            raise ValueError(f"answer is one of {ANSWERS}, got {self.answer!r}")
        if self.job and self.job not in JOB_OUTCOMES:
            raise ValueError(f"job is one of {JOB_OUTCOMES}, got {self.job!r}")
        re.compile(self.path)

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    def matches(self, method: str, path: str) -> bool:
        return (
            not self.job
            and self.method.upper() in ("", method.upper())
            and re.search(self.path, path) is not None
        )


class FaultQueue:
    """The rules still to be used up, in order; safe for threads."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._lock = threading.Lock()
        self.used: list[dict[str, object]] = []
        self._seen: list[str] = []

    def wait_for(self, fault: Fault) -> None:
        """Wait until a request comes that the rule names; for a minute at most."""
        first, end = len(self._seen), time.monotonic() + 60.0
        while fault.after and time.monotonic() < end:
            if any(re.search(fault.after, each) for each in self._seen[first:]):
                return
            time.sleep(0.01)

    def add(self, *rules: Fault) -> None:
        with self._lock:
            self._rules.extend(rules)

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def left(self) -> list[Fault]:
        with self._lock:
            return list(self._rules)

    def for_request(self, method: str, path: str) -> Fault | None:
        """The rule for this request, used up by one; None if none applies."""
        self._seen.append(f"{method} {path}")
        return self._take(lambda rule: rule.matches(method, path), f"{method} {path}")

    def for_job(self, tags: list[str]) -> Fault | None:
        """The rule for a job about to run (`path` is searched in its tags)."""
        text = " ".join(tags)
        return self._take(
            lambda rule: bool(rule.job) and re.search(rule.path, text) is not None, f"job {text}"
        )

    def _take(self, applies, what: str) -> Fault | None:
        with self._lock:
            for place, rule in enumerate(self._rules):
                if not applies(rule):
                    continue
                if rule.skip > 0:
                    self._rules[place] = replace(rule, skip=rule.skip - 1)
                    continue  # a later rule may still apply to this request
                if rule.times > 1:
                    self._rules[place] = replace(rule, times=rule.times - 1)
                else:
                    del self._rules[place]
                self.used.append({"what": what, **rule.to_dict()})
                return rule
        return None
