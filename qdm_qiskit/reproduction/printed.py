"""Arithmetic on numbers that a paper prints: does it agree with itself?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import InvalidData

__all__ = [
    "change",
    "deviation",
    "difference",
    "growth",
    "largest_value",
    "lower",
    "mean",
]


def mean(*, values: Sequence[float]) -> float:
    """Return the mean."""
    return float(np.mean(values))


def deviation(*, values: Sequence[float]) -> float:
    """Return the standard deviation of a sample, with n - 1.

    Raises:
        InvalidData: If there is one value only.
    """
    if len(values) < 2:
        raise InvalidData("A sample's deviation needs at least 2 values, got 1.")
    return float(np.std(values, ddof=1))


def change(*, before: float, after: float) -> float:
    """Return the change in percent of the value before.

    >>> change(before=8, after=6)
    -25.0

    Raises:
        InvalidData: If the value before is 0.
    """
    if before == 0:
        raise InvalidData("A change in percent needs a value before that is not 0.")
    return 100 * (after - before) / before


def difference(*, values: Sequence[float]) -> float:
    """Return the last value less the first."""
    return values[-1] - values[0]


def lower(*, values: Sequence[float], beside: Sequence[float]) -> int:
    """Count the values that are lower than those beside them.

    Raises:
        InvalidData: If the lists have different lengths.
    """
    if len(values) != len(beside):
        raise InvalidData(f"Lists of one length, got {len(values)} and {len(beside)} values.")
    return sum(one < other for one, other in zip(values, beside, strict=True))


def growth(*, at: Sequence[float], values: Sequence[float]) -> float:
    """Return how much better a straight line fits than an exponential: above 1 the latter is better.

    The ratio of relative residuals, root mean square, both by least squares (the exponential's on
    the logarithm).

    Raises:
        InvalidData: If there are fewer than 3 points, or a value is not above 0.
    """
    x, y = np.asarray(at, dtype=float), np.asarray(values, dtype=float)
    if len(x) != len(y) or len(x) < 3 or not (y > 0).all() or len(set(at)) < 3:
        raise InvalidData("Growth needs at least 3 points with values above 0.")
    line = np.polyval(np.polyfit(x, y, 1), x)
    curve = np.exp(np.polyval(np.polyfit(x, np.log(y), 1), x))
    rest = [math.sqrt(float(np.mean((each / y - 1) ** 2))) for each in (line, curve)]
    return rest[0] / max(rest[1], 1e-300)


def largest_value(*, error: float, decibel: float) -> float:
    """Return the largest value MAX with which a mean squared error has this PSNR.

    ``PSNR = 10 log10(MAX^2 / error)``.
    """
    return math.sqrt(error * 10 ** (decibel / 10))
