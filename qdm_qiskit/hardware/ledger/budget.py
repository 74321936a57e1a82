"""Budgets of QPU seconds and shots: limits per period, reservations and spendings.

Values and arithmetic; :mod:`qdm_qiskit.hardware.ledger.ledger` keeps them. A reservation counts
until it is settled or released, however old it is; a spending counts from the moment that it was
settled, as long as that lies within the period.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from ...errors import BudgetExceeded, InvalidOption
from ...notebook import card, table

__all__ = [
    "DAY_SECONDS",
    "MAX_DAYS",
    "MAX_SECONDS",
    "MAX_SHOTS",
    "OPEN_PLAN",
    "OPEN_PLAN_DAYS",
    "OPEN_PLAN_SECONDS",
    "REHEARSAL",
    "BudgetLimits",
    "BudgetState",
    "Window",
    "is_rehearsal",
]

Window = Literal["rolling", "calendar"]
"""``rolling``: the last ``period_days``. ``calendar``: blocks of ``period_days`` one after the other,
counted from ``starts_at``."""

REHEARSAL = "rehearsal"
"""Beginning of the names of budgets that pay for rehearsals, and for nothing else."""
DAY_SECONDS = 86_400.0
OPEN_PLAN_SECONDS, OPEN_PLAN_DAYS = 600.0, 28.0
"""IBM's Open Plan: 10 minutes in every 28 days, rolling."""
MAX_SECONDS, MAX_SHOTS, MAX_DAYS = 1e9, 10**15, 36_500.0
_ROUNDING_SECONDS = 1e-6


def is_rehearsal(budget: str | None) -> bool:
    """Return True if a budget is one of rehearsals: runs that charge nothing take their estimate.

    >>> is_rehearsal("rehearsal"), is_rehearsal("rehearsal-anna"), is_rehearsal("open")
    (True, True, False)
    """
    return budget is not None and (budget == REHEARSAL or budget.startswith(f"{REHEARSAL}-"))


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


@dataclass(frozen=True, kw_only=True)
class BudgetLimits:
    """Limits of a budget in a period.

    Raises:
        InvalidOption: If there is no limit at all, or a number is out of range.
    """

    seconds: float | None = None
    """QPU seconds; 0 refuses everything, None is no limit."""
    shots: int | None = None
    """Shots; None is no limit."""
    period_days: float | None = None
    """Length of the period; None is for ever."""
    window: Window = "rolling"
    """Rule by which periods follow each other."""
    starts_at: float = 0.0
    """Start of the first calendar period, seconds since 1970."""

    def __post_init__(self) -> None:
        if self.seconds is None and self.shots is None:
            raise InvalidOption("A budget limits seconds, shots or both; got neither.")
        for name, value, most in (
            ("seconds", self.seconds, MAX_SECONDS),
            ("shots", self.shots, MAX_SHOTS),
        ):
            if value is not None and not (_is_number(value) and 0 <= value <= most):
                raise InvalidOption(f"A budget's {name} are 0 to {most:g}, got {value!r}.")
        if self.shots is not None and int(self.shots) != self.shots:
            raise InvalidOption(f"A budget's shots are a whole number, got {self.shots!r}.")
        days = self.period_days
        if days is not None and not (_is_number(days) and 0 < days <= MAX_DAYS):
            raise InvalidOption(
                f"A budget's period is more than 0 and at most {MAX_DAYS:g} days, got {days!r}."
            )
        if self.window not in get_args(Window):
            raise InvalidOption(f"A budget's window is rolling or calendar, got {self.window!r}.")
        if self.window == "calendar" and days is None:
            raise InvalidOption("A calendar budget needs period_days, got None.")
        if not _is_number(self.starts_at):
            raise InvalidOption(f"A budget's start is a finite time, got {self.starts_at!r}.")

    def period_start(self, now: float) -> float:
        """Return the start of the period that holds ``now``; both in seconds since 1970.

        >>> BudgetLimits(seconds=1, period_days=1).period_start(86_400 * 10)
        777600.0
        >>> BudgetLimits(seconds=1, period_days=7, window="calendar").period_start(86_400 * 10)
        604800.0
        """
        if self.period_days is None:
            return -math.inf
        length = self.period_days * DAY_SECONDS
        if self.window == "rolling":
            return now - length
        return self.starts_at + math.floor((now - self.starts_at) / length) * length


OPEN_PLAN = BudgetLimits(seconds=OPEN_PLAN_SECONDS, period_days=OPEN_PLAN_DAYS)
"""The preset ``open-plan``."""


@dataclass(frozen=True, kw_only=True)
class BudgetState:
    """A budget at one moment."""

    name: str
    limit_seconds: float | None
    limit_shots: int | None
    period_days: float | None
    window: Window
    period_start: float | None
    """Start of the period in which spendings count, seconds since 1970; None is for ever."""
    reserved_seconds: float
    reserved_shots: int
    spent_seconds: float
    spent_shots: int

    def _repr_html_(self) -> str:
        period = "for ever" if self.period_days is None else f"every {self.period_days:g} days"
        rows = [
            row
            for row in (
                (
                    "QPU seconds",
                    self.limit_seconds,
                    self.reserved_seconds,
                    self.spent_seconds,
                    self.remaining_seconds,
                ),
                (
                    "shots",
                    self.limit_shots,
                    self.reserved_shots,
                    self.spent_shots,
                    self.remaining_shots,
                ),
            )
            if row[1] is not None
        ]
        head = ("", "limit", "reserved", "spent", "left")
        kind = "budget of rehearsals" if is_rehearsal(self.name) else "budget"
        return card(self.name, table(head, rows), about=f"{kind}, {period}")

    @property
    def remaining_seconds(self) -> float | None:
        """Amount that may still be reserved, not below 0; None without a limit."""
        if self.limit_seconds is None:
            return None
        return max(0.0, self.limit_seconds - self.reserved_seconds - self.spent_seconds)

    @property
    def remaining_shots(self) -> int | None:
        """Amount that may still be reserved, not below 0; None without a limit."""
        if self.limit_shots is None:
            return None
        return max(0, self.limit_shots - self.reserved_shots - self.spent_shots)

    def check(self, seconds: float, shots: int) -> None:
        """Refuse a reservation that does not fit.

        Args:
            seconds: QPU seconds, finite and >= 0.
            shots: Shots, >= 0.

        Raises:
            BudgetExceeded: With all numbers.
            InvalidOption: If ``seconds`` or ``shots`` is no amount.
        """
        if not (_is_number(seconds) and seconds >= 0 and shots >= 0):
            raise InvalidOption(f"A reservation is >= 0 seconds and shots, got {seconds}, {shots}.")
        since = ""
        if self.period_start is not None:
            day = datetime.fromtimestamp(self.period_start, UTC)
            since = f" since {day:%Y-%m-%d %H:%M} UTC"
        for amount, unit, left, limit, spent, reserved in (
            (
                seconds,
                "QPU seconds",
                self.remaining_seconds,
                self.limit_seconds,
                self.spent_seconds,
                self.reserved_seconds,
            ),
            (
                shots,
                "shots",
                self.remaining_shots,
                self.limit_shots,
                self.spent_shots,
                self.reserved_shots,
            ),
        ):
            slack = _ROUNDING_SECONDS if unit == "QPU seconds" else 0
            # A budget of zero refuses everything, also what is estimated to cost nothing.
            if left is not None and (amount > left + slack or limit == 0):
                raise BudgetExceeded(
                    f"Budget '{self.name}' does not allow {amount:.6g} {unit}: "
                    f"{left:.6g} of {limit:.6g} are left ({spent:.6g} spent{since}, "
                    f"{reserved:.6g} reserved). Plan fewer shots or images, wait, or raise it with "
                    "`qdm budget set`."
                )
