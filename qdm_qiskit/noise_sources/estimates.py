"""Min-entropy and uniformity of random symbols, as they are estimated from a sample."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import chi2

from ..arguments import whole_number
from ..errors import InvalidData

__all__ = ["most_common_value", "uniformity"]

Z_99 = 2.5758293035489008
"""Quantile of the standard normal distribution at 0.995, as NIST SP 800-90B uses it."""


def most_common_value(symbols: np.ndarray) -> float:
    """Return the min-entropy of a symbol in bits: the most common value estimate.

    NIST SP 800-90B, 6.3.1: the upper end of a 99 % interval of the largest probability. It sees no
    dependence between symbols.

    Args:
        symbols: ``(count,)`` whole numbers, at least 2.

    Raises:
        InvalidData: If there are fewer.

    >>> example = [0, 1, 1, 2, 0, 1, 2, 2, 0, 1, 0, 1, 1, 0, 2, 2, 1, 0, 2, 1]
    >>> round(most_common_value(np.array(example)), 3)  # the example of the standard
    0.536
    """
    count = len(symbols)
    if np.ndim(symbols) != 1 or count < 2:
        raise InvalidData(f"Min-entropy is of at least 2 symbols, got shape {np.shape(symbols)}.")
    most = float(np.unique(symbols, return_counts=True)[1].max()) / count
    upper = min(1.0, most + Z_99 * math.sqrt(most * (1 - most) / (count - 1)))
    return -math.log2(upper)


def uniformity(bits: np.ndarray, width: int = 8) -> float:
    """Return the p-value of the chi-squared test that words of bits are uniform.

    Args:
        bits: ``(count,)`` of 0 and 1, at least ``5 * width * 2**width``; the rest of a word is
            dropped.
        width: Bits of a word, 1 to 16.

    Raises:
        InvalidData: If there are too few bits for the test.
    """
    width = whole_number(width, "width")
    if not 1 <= width <= 16 or len(bits) < 5 * width * 2**width:
        raise InvalidData(
            f"Words of 1 to 16 bits are tested on 5 for each value, got {len(bits)} bits for {width}."
        )
    words = bits[: len(bits) // width * width].reshape(-1, width) @ (1 << np.arange(width))
    counts = np.bincount(words, minlength=2**width)
    expected = len(words) / 2**width
    return float(chi2.sf(((counts - expected) ** 2).sum() / expected, 2**width - 1))
