"""Uniform bits from biased ones."""

from __future__ import annotations

import math

import numpy as np
from scipy.signal import fftconvolve

from ..errors import InvalidData

__all__ = ["ERROR_BITS", "extractable", "toeplitz_hash", "von_neumann"]

ERROR_BITS = 32
"""-log2 of the distance from uniform bits that hashing may leave."""


def von_neumann(bits: np.ndarray) -> np.ndarray:
    """Return the first bit of each pair 01 or 10; pairs of equal bits are dropped.

    Exactly uniform for independent bits of one bias, whatever the bias (von Neumann, 1951).

    Args:
        bits: ``(count,)`` of 0 and 1; an odd last bit is dropped.

    >>> von_neumann(np.array([0, 1, 1, 1, 1, 0, 0, 0]))
    array([0, 1])
    """
    pairs = bits[: len(bits) // 2 * 2].reshape(-1, 2)
    return pairs[pairs[:, 0] != pairs[:, 1], 0]


def extractable(min_entropy: float) -> int:
    """Return the number of bits that hashing may take of raw bits with this min-entropy.

    The leftover hash lemma: with ``H - 2 log2(1 / e)`` bits the distance from uniform is at most
    e = ``2**-ERROR_BITS``.
    """
    return max(0, math.floor(min_entropy - 2 * ERROR_BITS))


def toeplitz_hash(bits: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``count`` sums modulo 2 of raw bits, by a random Toeplitz matrix.

    Args:
        bits: ``(raw,)`` of 0 and 1.
        count: At most :func:`extractable` of their min-entropy.
        rng: Source of the ``raw + count - 1`` bits of the matrix, which must not depend on the raw
            bits.

    Raises:
        InvalidData: If more bits are asked for than there are.
    """
    if not 0 <= count <= len(bits):
        raise InvalidData(f"A hash of {len(bits)} bits has at most as many, got {count}.")
    column = rng.integers(0, 2, count)
    row = rng.integers(0, 2, len(bits))
    # The matrix is constant along its diagonals: its product is a convolution with them, whose whole
    # numbers float64 keeps exactly enough to round.
    diagonals = np.concatenate([row[:0:-1], column]).astype(np.float64)
    sums = fftconvolve(diagonals, bits.astype(np.float64))[len(bits) - 1 : len(bits) - 1 + count]
    return (np.rint(sums).astype(np.int64) % 2).astype(np.uint8)
