"""Areas and true-positive rates of membership inference, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from ..arguments import real_array, real_number
from ..errors import InvalidData, InvalidOption
from ..evaluation.bootstrap import LEAST_RESAMPLES, Interval, check_bootstrap, share_interval

__all__ = ["LEAST", "RATES", "Membership", "RateAt", "auc_interval", "membership"]

LEAST = 10
"""Fewest members, and non-members, of which anything is said."""
RATES = (0.001, 0.01, 0.05, 0.1)
"""False-positive rates that are reported where there are enough non-members for them."""


@dataclass(frozen=True)
class RateAt:
    """True-positive rate where few non-members are taken for members."""

    wanted: float
    """False-positive rate that is not exceeded among the non-members at hand."""
    false: Interval
    """Share of non-members above the threshold, with Wilson's interval: the threshold is theirs, so
    the rate on others may be higher."""
    true: Interval
    """Share of members above it, with Wilson's interval for this threshold."""


@dataclass(frozen=True)
class Membership:
    """How well scores tell members from non-members."""

    members: int
    others: int
    auc: Interval
    """Chance that a member scores higher than a non-member; 0.5 says nothing."""
    rates: tuple[RateAt, ...]
    """True-positive rates at the false-positive rates that the non-members resolve."""

    @property
    def found(self) -> bool:
        """True if the area's whole interval lies above one half."""
        return self.auc.low > 0.5

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "members": self.members,
            "others": self.others,
            "auc": asdict(self.auc),
            "found": self.found,
            "rates": [asdict(each) for each in self.rates],
        }


def auc_interval(members: np.ndarray, others: np.ndarray, level: float = 0.95) -> Interval:
    """Return the area under the ROC curve with Newcombe's interval.

    Newcombe (2006), Statistics in Medicine 25, 559, method 5: the variance of Hanley and McNeil
    (1982) at each candidate area, so that the interval does not shrink to a point at 0 or 1.

    Args:
        members, others: Scores ``(count,)``, higher for members; ties count half.
        level: Share of such intervals that hold the true area, between 0 and 1.

    Raises:
        InvalidOption: If ``level`` is out of range.
        InvalidData: If there are fewer than :data:`LEAST` of either, or a score is not finite.

    >>> auc_interval(np.arange(10, 30), np.arange(10)).estimate
    1.0
    """
    from scipy.optimize import brentq
    from scipy.stats import rankdata

    check_bootstrap(LEAST_RESAMPLES, level)
    members, others = _scores(members, "members"), _scores(others, "non-members")
    m, n = len(members), len(others)
    ranks = rankdata(np.concatenate([members, others]))[:m]
    estimate = float((ranks.sum() - m * (m + 1) / 2) / (m * n))
    z = NormalDist().inv_cdf(0.5 + level / 2)

    def half(area: float) -> float:
        pairs = (m + n) / 2 - 1
        spread = 1 + pairs * ((1 - area) / (2 - area) + area / (1 + area))
        return z * math.sqrt(max(0.0, area * (1 - area) * spread / (m * n)))

    tiny = 1e-12  # at 0 and 1 the variance vanishes, which is not the end that is meant
    low, high = 0.0, 1.0
    if estimate > tiny:
        low = brentq(lambda a: estimate - a - half(a), 0.0, min(estimate, 1 - tiny))
    if estimate < 1 - tiny:
        high = brentq(lambda a: a - estimate - half(a), max(estimate, tiny), 1.0)
    return Interval(estimate, float(low), float(high))


def membership(
    members: np.ndarray,
    others: np.ndarray,
    *,
    rates: Sequence[float] = RATES,
    level: float = 0.95,
) -> Membership:
    """Return how well scores tell members from non-members.

    Args:
        members, others: Scores ``(count,)``, higher for members.
        rates: False-positive rates; those below one in the number of non-members are left out, for
            nothing is known there.
        level: As for :func:`auc_interval`.

    Raises:
        InvalidOption: If ``level`` or a rate is out of range.
        InvalidData: As :func:`auc_interval`.
    """
    auc = auc_interval(members, others, level)
    members, others = _scores(members, "members"), _scores(others, "non-members")
    falling = np.sort(others)[::-1]
    found = []
    for rate in rates:
        wanted = real_number(rate, "rates")
        if not 0 < wanted < 1:
            raise InvalidOption(f"A false-positive rate lies between 0 and 1, got {wanted}.")
        allowed = math.floor(wanted * len(others) + 1e-9)
        if allowed < 1:
            continue
        threshold = falling[allowed]
        found.append(
            RateAt(
                wanted,
                share_interval(others > threshold, level),
                share_interval(members > threshold, level),
            )
        )
    return Membership(len(members), len(others), auc, tuple(found))


def _scores(values: np.ndarray, what: str) -> np.ndarray:
    values = real_array(values, what).astype(np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InvalidData(f"Scores of {what} are finite numbers (count,), got {values.shape}.")
    if len(values) < LEAST:
        raise InvalidData(
            f"Membership inference needs at least {LEAST} {what}, got {len(values)}: take more rows, "
            "or another test_fraction."
        )
    return values
