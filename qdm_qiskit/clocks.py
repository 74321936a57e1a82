"""Time that no wall clock decides: of this boot of the machine, and of the service.

A wall clock may be a day ahead when a job is sent and right when the next process looks for it. So
what has to be waited for rests on the time since the machine was booted, which nobody sets, and
across boots and machines on the clock of the service, which is in the ``Date`` of its answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, final

__all__ = [
    "LARGEST_DIFFERENCE",
    "LedgerClock",
    "boot_id",
    "seconds_between",
    "uptime",
    "wall",
]

LARGEST_DIFFERENCE = 5.0
"""Seconds by which the wall clock may differ from the service's and is still taken: a ``Date`` has
whole seconds, and an answer takes its time."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot_id() -> str | None:
    """Return the id of this boot of the machine; None where the system has none."""
    try:
        return _BOOT_ID.read_text().strip() or None
    except (OSError, ValueError):
        return None


def uptime() -> float:
    """Return the seconds since the machine was booted, or since another fixed moment.

    A machine that sleeps goes on counting, where the system can.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def wall() -> float:
    """Return the time of this machine's clock, seconds since 1970."""
    return time.time()


def seconds_between(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> float | None:
    """Return the seconds between two stamps (:meth:`LedgerClock.stamp`).

    Args:
        then: The earlier stamp; None of a ledger that has none.
        now: The later one.

    Returns:
        The seconds; None if they were made on other boots, and the service's time is not known of
        both.

    >>> seconds_between({"boot": "a", "uptime": 5.0}, {"boot": "a", "uptime": 7.5})
    2.5
    >>> seconds_between({"boot": "a", "uptime": 5.0}, {"boot": "b", "uptime": 7.5}) is None
    True
    """
    if then is None:
        return None
    for same, clock in (("boot", "uptime"), (None, "service")):
        if same is not None and (then.get(same) is None or then.get(same) != now.get(same)):
            continue
        first, last = then.get(clock), now.get(clock)
        if isinstance(first, int | float) and isinstance(last, int | float) and last >= first:
            return float(last - first)
    return None


@final
class LedgerClock:
    """The clock of a ledger: the service's while one is followed, else the machine's.

    Args:
        own: The machine's, in seconds since 1970.
    """

    def __init__(self, own: Callable[[], float] = wall) -> None:
        self._own = own
        self._service: Callable[[], float | None] | None = None

    def follow(self, service: Callable[[], float | None]) -> None:
        """Take the time of a service from now on, once it is known."""
        self._service = service

    def __call__(self) -> float:
        """Return the time, seconds since 1970."""
        own, service = self._own(), self.service_time()
        if service is None or abs(own - service) <= LARGEST_DIFFERENCE:
            return own
        return service

    def service_time(self) -> float | None:
        """Return the service's time, seconds since 1970; None if it is not known."""
        return None if self._service is None else self._service()

    def error(self) -> float | None:
        """Return by how much the machine's clock is ahead of the service's, if it matters."""
        service = self.service_time()
        found = None if service is None else self._own() - service
        return None if found is None or abs(found) <= LARGEST_DIFFERENCE else found

    def stamp(self) -> dict[str, str | float | None]:
        """Return this moment by all clocks that a wrong wall clock does not change."""
        service = self.service_time()
        return {"boot": boot_id(), "uptime": round(uptime(), 3), "service": service}
