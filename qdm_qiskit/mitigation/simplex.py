"""Probabilities from quasi-probabilities."""

from __future__ import annotations

import numpy as np

from ..errors import InvalidData
from .checks import real_numbers

__all__ = [
    "nearest_probability",
]


def nearest_probability(quasi: np.ndarray) -> np.ndarray:
    """Return the probability vector nearest to each row in Euclidean distance.

    The method is exact, by sorting: subtract one threshold from every entry and cut at 0. The
    threshold is the one that leaves a sum of 1.

    Args:
        quasi: Finite numbers of shape ``(..., outcomes)``, with any sum.

    Returns:
        Float64 probabilities of the same shape: each row >= 0 with sum 1.

    Raises:
        InvalidData: If there are no outcomes or numbers are not finite.

    References:
        Duchi et al., Efficient projections onto the l1-ball (ICML 2008), figure 1; Smolin, Gambetta
        and Smith, Phys. Rev. Lett. 108, 070502 (2012), for measured distributions.

    >>> nearest_probability(np.array([0.7, 0.5, -0.2])).round(3).tolist()
    [0.6, 0.4, 0.0]
    """
    quasi = real_numbers(quasi, "Quasi-probabilities")
    if quasi.ndim == 0 or quasi.shape[-1] == 0 or not np.isfinite(quasi).all():
        raise InvalidData(
            f"Quasi-probabilities must be finite with at least one outcome, got {quasi.shape=}."
        )
    # A constant does not move the projection; near 1 / outcomes rounding loses nothing.
    quasi = quasi - quasi.max(axis=-1, keepdims=True)
    falling = -np.sort(-quasi, axis=-1)
    kept = np.arange(1, quasi.shape[-1] + 1)
    threshold = (np.cumsum(falling, axis=-1) - 1) / kept
    rho = np.count_nonzero(falling > threshold, axis=-1, keepdims=True)
    cut = np.take_along_axis(threshold, rho - 1, axis=-1)
    return np.maximum(quasi - cut, 0.0)
