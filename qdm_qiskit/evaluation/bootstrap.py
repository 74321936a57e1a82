"""Bootstrap intervals: the error that a metric has from the choice of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ..arguments import random_generator, real_array, real_number, whole_number
from ..errors import InvalidData, InvalidOption

__all__ = [
    "LEAST_RESAMPLES",
    "Interval",
    "Statistic",
    "bootstrap_interval",
    "check_bootstrap",
    "share_interval",
]

LEAST_RESAMPLES = 20
"""Fewer give no deviation to speak of."""

Statistic = Callable[..., float]
"""Takes one array of indices for each set, gives the metric of the images that they choose."""


@dataclass(frozen=True)
class Interval:
    """A metric with its bootstrap interval."""

    estimate: float
    """The metric of all images."""
    low: float
    """Lower end of the interval for the metric of infinitely many images."""
    high: float
    """Upper end."""


def bootstrap_interval(
    statistic: Statistic,
    counts: Sequence[int],
    rng: np.random.Generator,
    *,
    resamples: int = 200,
    level: float = 0.95,
) -> Interval:
    """A bias-corrected normal bootstrap interval (Davison and Hinkley, 1997, section 5.2).

    Each set is drawn anew with replacement, independently of the others. With mean m and standard
    deviation s over the resamples the interval is ``2 estimate - m -+ z s``. The first term takes
    off the bias that resampling shows: a Fréchet distance of few images is too large, so its
    interval can end below the estimate itself. A distance of equal distributions has an interval
    around 0, and its lower end is negative.

    Args:
        statistic: Called with one index array for each set.
        counts: Images in each set, each at least 2.
        rng: Source of the resamples.
        resamples: At least :data:`LEAST_RESAMPLES`.
        level: Share of such intervals that hold the true metric, between 0 and 1.

    Returns:
        The metric of all images with its interval.

    Raises:
        InvalidOption: If ``resamples`` or ``level`` is out of range.
        InvalidData: If a set has fewer than 2 images.
    """
    check_bootstrap(resamples, level)
    random_generator(rng, "rng")
    counts = [whole_number(count, "counts") for count in counts]
    if min(counts, default=0) < 2:
        raise InvalidData(f"A bootstrap needs at least 2 images in each set, got {list(counts)}.")
    estimate = statistic(*(np.arange(count) for count in counts))
    again = np.array(
        [
            statistic(*(rng.integers(count, size=count) for count in counts))
            for _ in range(resamples)
        ]
    )
    centre = 2 * estimate - float(again.mean())
    half = NormalDist().inv_cdf(0.5 + level / 2) * float(again.std(ddof=1))
    return Interval(float(estimate), centre - half, centre + half)


def share_interval(hits: np.ndarray, level: float = 0.95) -> Interval:
    """A share with Wilson's interval, which stays in [0, 1] and does not shrink to a point at its ends.

    Args:
        hits: ``(images,)`` booleans, at least one.
        level: As for :func:`bootstrap_interval`.

    Raises:
        InvalidOption: If ``level`` is out of range.
        InvalidData: If there are no images.
    """
    check_bootstrap(LEAST_RESAMPLES, level)
    hits = real_array(hits, "hits")
    if hits.ndim != 1 or not np.isin(hits, (0, 1)).all():
        raise InvalidData(f"Hits are booleans of shape (images,), got shape {hits.shape}.")
    if len(hits) == 0:
        raise InvalidData("A share needs at least one image.")
    count, share = len(hits), float(np.mean(hits))
    z2 = NormalDist().inv_cdf(0.5 + level / 2) ** 2 / count
    centre = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * share * (1 - share) + z2**2 / 4) / (1 + z2)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def check_bootstrap(resamples: int, level: float) -> None:
    """Refuse options that give no interval.

    Raises:
        InvalidOption: If ``resamples`` is below :data:`LEAST_RESAMPLES` or ``level`` not in (0, 1).
    """
    if isinstance(resamples, bool) or not isinstance(resamples, int | np.integer):
        raise InvalidOption(f"resamples is a whole number, got {resamples!r}.")
    if resamples < LEAST_RESAMPLES:
        raise InvalidOption(f"resamples must be at least {LEAST_RESAMPLES}, got {resamples}.")
    level = real_number(level, "level")
    if not (math.isfinite(level) and 0 < level < 1):
        raise InvalidOption(f"level lies between 0 and 1, got {level}.")
