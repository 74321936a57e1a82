"""Axes: their ends, their ticks, and where a value lies on them.

The script of a page computes ticks anew when a reader zooms; both follow the same rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["LENGTH", "Scale", "fitting_scale", "tick_values"]

LENGTH = 1000.0
"""Length of an axis in the coordinates of a plot."""
LINEAR = 0.1


@dataclass(frozen=True)
class Scale:
    """An axis from ``low`` to ``high``, both in the value's own unit."""

    low: float
    high: float
    log: bool = False
    symlog: bool = False
    """True for an axis that is linear around 0 up to about :data:`LINEAR` and logarithmic beyond."""

    def place(self, value: float) -> float:
        """Return where a value lies, 0 at ``low`` and :data:`LENGTH` at ``high``."""
        low, high, at = (self._bent(v) for v in (self.low, self.high, value))
        return LENGTH * (at - low) / (high - low)

    def _bent(self, value: float) -> float:
        if self.log:
            return math.log10(value)
        return math.asinh(value / LINEAR) if self.symlog else value

    def holds(self, value: float) -> bool:
        """Return whether a value can be drawn at all."""
        return math.isfinite(value) and (not self.log or value > 0)


def fitting_scale(
    values: Iterable[float],
    *,
    log: bool = False,
    symlog: bool = False,
    zero: bool = False,
    margin: float = 0.04,
) -> Scale:
    """Return a scale that holds all values which can be drawn.

    Args:
        values: The values.
        log: True for a logarithmic axis.
        symlog: True for one that is so on both sides of 0.
        zero: True to begin at 0 where no value is negative.
        margin: Share of the axis that is left free at each end.
    """
    found = [v for v in values if math.isfinite(v) and (not log or v > 0)]
    if not found:
        return Scale(0.1, 1.0, True) if log else Scale(0.0, 1.0)
    low, high = min(found), max(found)
    if log:
        low, high = math.log10(low), math.log10(high)
        gap = max(high - low, 0.1)
        return Scale(10 ** (low - margin * gap), 10 ** (high + margin * gap), True)
    if symlog:
        low, high = (math.asinh(v / LINEAR) for v in (min(low, 0.0), max(high, 0.0)))
        gap = max(high - low, 1.0)
        low, high = (LINEAR * math.sinh(v) for v in (low - margin * gap, high + margin * gap))
        return Scale(low, high, symlog=True)
    if zero and low >= 0:
        low, gap = 0.0, max(high, 1e-12)
        return Scale(0.0, high + margin * gap if high > 0 else 1.0)
    gap = high - low or max(abs(high), 1.0)
    return Scale(low - margin * gap, high + margin * gap)


def tick_values(
    low: float, high: float, *, log: bool = False, symlog: bool = False, most: int = 6
) -> list[float]:
    """Return round values between two ends.

    >>> tick_values(0, 10)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    >>> tick_values(0.004, 2, log=True)
    [0.01, 0.1, 1.0]
    """
    if symlog:
        decades = range(-1, 1 + math.ceil(math.log10(max(abs(low), abs(high), 1.0))))
        sizes = [10.0**k for k in decades[:: -(-len(decades) // most)]]
        both = [*(-v for v in reversed(sizes)), 0.0, *sizes]
        return [v for v in both if low <= v <= high]
    if not log:
        return _linear(low, high, most)
    ends = (math.log10(low), math.log10(high))
    powers = range(math.ceil(ends[0] - 1e-9), math.floor(ends[1] + 1e-9) + 1)
    if len(powers) >= 3:
        every = -(-len(powers) // most)
        return [10.0**k for k in powers if k % every == 0]
    found = [
        m * 10.0**k
        for k in range(math.floor(ends[0]), math.floor(ends[1]) + 1)
        for m in (1, 2, 5)
        if low * (1 - 1e-9) <= m * 10.0**k <= high * (1 + 1e-9)
    ]
    return found if len(found) >= 3 else _linear(low, high, most)


def _linear(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") + 0.0 for k in range(first, last + 1)]
