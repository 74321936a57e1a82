"""Numbers that were measured by sampling, with what the sampling leaves open."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from ..arguments import random_generator, real_array
from ..errors import InvalidData

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "Estimate",
    "mean_estimate",
    "variance_estimate",
]

LEVEL = 0.95
"""Confidence of every interval."""
RESAMPLES = 400
"""Bootstrap resamples; enough for both ends of a 95 % interval of a smooth statistic."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    """The estimate."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    def to_dict(self) -> dict[str, float]:
        """The fields, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def mean_estimate(values: np.ndarray) -> Estimate:
    """The mean of independent numbers, with Student's interval.

    Args:
        values: ``(count,)``, at least 2.

    Returns:
        Mean and interval; exact for normal numbers, for others as good as the central limit theorem.

    Raises:
        InvalidData: If there are fewer than 2 numbers, or one is not finite.
    """
    values = _checked(values)
    if values.ndim != 1:
        raise InvalidData(
            f"A mean of independent numbers takes one axis, got shape {values.shape}."
        )
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return Estimate(mean, mean, mean)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * error
    return Estimate(mean, mean - half, mean + half)


def variance_estimate(values: np.ndarray, generator: np.random.Generator) -> Estimate:
    """The variance of each column, averaged over the columns, with a bootstrap interval over the rows.

    Args:
        values: ``(samples,)``, or ``(samples, columns)``: rows are independent, columns need not be.
        generator: Of the resamples.

    Returns:
        The mean unbiased variance; the interval is that of the percentiles, computed for the
        logarithm and centred on the estimate, since a variance is above 0 and its errors are skew.

    Raises:
        InvalidData: If there are fewer than 2 rows, or a number is not finite.
    """
    values = _checked(values)
    random_generator(generator, "generator")
    rows = values.reshape(len(values), -1)
    count = len(rows)
    found = float(rows.var(axis=0, ddof=1).mean())
    if found == 0:
        return Estimate(0.0, 0.0, 0.0)
    centred = rows - rows.mean(axis=0)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
    # Mean over the columns of E[x^2] - E[x]^2 for each resample, without copying any row.
    squares = drawn @ (centred**2).mean(axis=1)
    means = ((drawn @ centred) ** 2).mean(axis=1)
    again = np.maximum((squares - means) * count / (count - 1), np.finfo(float).tiny)
    tail = (1 - LEVEL) / 2
    ratios = np.log(again / found)
    low, high = np.quantile(ratios, [tail, 1 - tail])
    # Reflected: where resamples scatter upwards of the estimate, the truth lies below it.
    return Estimate(found, found * math.exp(-high), found * math.exp(-low))


def _checked(values: np.ndarray) -> np.ndarray:
    values = real_array(values, "values")
    if values.ndim == 0 or len(values) < 2 or not np.isfinite(values).all():
        raise InvalidData(
            "An estimate needs at least 2 finite numbers, "
            f"got shape {values.shape}{'' if np.isfinite(values).all() else ' with NaN or infinity'}."
        )
    return values
