"""Distances between distributions, and the share of a signal that a device's noise has left.

Distributions are arrays of shape ``(..., outcomes)``; each function works on the last axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import real_array
from ..errors import InvalidData, InvalidOption

__all__ = [
    "FALSE_ALARM",
    "MOST_SHOTS",
    "SignalLeft",
    "detectable_fraction",
    "hellinger_fidelity",
    "normalized",
    "shot_noise_distance",
    "signal_left",
    "total_variation_distance",
]

FALSE_ALARM = 1e-3
"""Largest share of erased signals that pass for alive."""

MOST_SHOTS = 10**10
"""Most shots of the closed form; beyond, factorials lose the digits of their difference."""

_ROUNDING = 1e-24
"""Squared distance of two float64 distributions that differ by rounding only."""


def normalized(counts: np.ndarray) -> np.ndarray:
    """Return counts as float64 frequencies, each row with sum 1.

    Raises:
        InvalidData: If a row is negative somewhere, not finite, or sums to 0.
    """
    counts = real_array(counts, "counts")
    if counts.ndim == 0 or not np.isfinite(counts).all() or (counts < 0).any():
        raise InvalidData("Counts and probabilities must be finite and >= 0.")
    total = counts.sum(axis=-1, keepdims=True)
    if (total <= 0).any():
        raise InvalidData("Counts and probabilities need at least one entry above 0 in each row.")
    return counts / total


def total_variation_distance(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return half the sum of absolute differences: the best advantage of a shot in telling p from
    q.

    Args:
        p: Probabilities or quasi-probabilities of shape ``(..., outcomes)``.
        q: The same; shapes broadcast.

    Returns:
        Shape ``(...)``; 0 for equal, 1 for disjoint distributions.

    Raises:
        InvalidData: If the numbers of outcomes differ.

    >>> float(total_variation_distance(np.array([0.5, 0.5]), np.array([1.0, 0.0])))
    0.5
    """
    p, q = _pair(p, q)
    return 0.5 * np.abs(p - q).sum(axis=-1)


def hellinger_fidelity(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the squared overlap of square roots, ``(sum sqrt(p q))**2``, as in Qiskit.

    Args:
        p: Probabilities of shape ``(..., outcomes)``.
        q: The same; shapes broadcast.

    Returns:
        Shape ``(...)``; 1 for equal, 0 for disjoint distributions.

    Raises:
        InvalidData: If the numbers of outcomes differ, or a number is negative.

    >>> float(hellinger_fidelity(np.array([0.5, 0.5]), np.array([1.0, 0.0])).round(12))
    0.5
    """
    p, q = _pair(p, q)
    if (p < 0).any() or (q < 0).any():
        raise InvalidData(
            "Hellinger fidelity needs probabilities >= 0; project quasi-probabilities first."
        )
    return np.sqrt(p * q).sum(axis=-1) ** 2


def shot_noise_distance(p: np.ndarray, shots: int) -> np.ndarray:
    """Return the mean total variation distance of p from frequencies of ``shots`` samples of p.

    Exact: each outcome's count is binomial, whose mean absolute deviation has de Moivre's closed
    form ``2 v C(n, v) p^v (1 - p)^(n - v + 1)`` with ``v = floor(n p) + 1``.

    Args:
        p: Probabilities of shape ``(..., outcomes)``.
        shots: Samples, at least 1.

    Returns:
        Shape ``(...)``; falls as one over the square root of the shots.

    Raises:
        InvalidOption: If shots are below 1.
        InvalidData: If a number is no probability.

    References:
        Diaconis and Zabell, Statistical Science 6, 284 (1991).
    """
    from scipy.special import gammaln, xlog1py, xlogy  # slow to import

    n = float(_checked_shots(shots))
    p = real_array(p, "p")
    # Written so that NaN does not pass; a rounding error above 1 does.
    if p.ndim == 0 or not ((p >= 0) & (p <= 1 + 1e-6)).all():
        raise InvalidData("Shot noise needs probabilities from 0 to 1; divide counts by their sum.")
    inside = (p > 0) & (p < 1)
    x = np.where(inside, p, 0.5)
    v = np.minimum(np.floor(n * x) + 1, n)
    log_choose = gammaln(n + 1) - gammaln(v + 1) - gammaln(n - v + 1)
    deviation = 2 * v * np.exp(log_choose + xlogy(v, x) + xlog1py(n - v + 1, -x))
    return 0.5 * np.where(inside, deviation / n, 0.0).sum(axis=-1)


def detectable_fraction(exact: np.ndarray, erased: np.ndarray, shots: int) -> np.ndarray:
    """Return the fraction of a signal that shot noise alone almost never feigns.

    ``shots`` samples of the erased distribution give, by chance, a fraction (as in
    :class:`SignalLeft`) above this with probability :data:`FALSE_ALARM` at most. This is
    Bernstein's inequality for the mean of ``d[x]`` over the samples ``x``, ``d = exact - erased``:
    it holds for any number of shots, and nothing in it is fitted.

    Args:
        exact: Noise-free probabilities of shape ``(..., outcomes)``.
        erased: The distribution when noise has taken everything; shapes broadcast.
        shots: Samples, at least 1.

    Returns:
        Shape ``(...)``; falls as one over the square root of the shots. Infinite where exact and
        erased are equal, since there is nothing to detect.

    Raises:
        InvalidData: If the numbers of outcomes differ, a number is not finite, or `erased` negative.
        InvalidOption: If shots are below 1.

    References:
        Boucheron, Lugosi and Massart, Concentration Inequalities (2013), section 2.8.
    """
    n = _checked_shots(shots)
    exact, erased = _pair(exact, erased)
    if (erased < 0).any():
        raise InvalidData("What is left when noise has taken everything has probabilities >= 0.")
    d = exact - erased
    mean = (erased * d).sum(axis=-1, keepdims=True)
    variance = (erased * (d - mean) ** 2).sum(axis=-1)
    largest = (d - mean).max(axis=-1)
    log = math.log(1 / FALSE_ALARM)
    linear = largest * log / 3
    chance = (linear + np.sqrt(linear**2 + 2 * n * log * variance)) / n
    norm = (d * d).sum(axis=-1)
    return np.where(norm > _ROUNDING, chance / np.where(norm > _ROUNDING, norm, 1.0), np.inf)


@dataclass(frozen=True, eq=False)
class SignalLeft:
    """Part of a signal that noise has left, for each row."""

    fraction: np.ndarray
    """The ``a`` for which ``a * exact + (1 - a) * erased`` is nearest to the noisy distribution in
    least squares: 1 untouched, 0 gone. Shot noise does not bias it. 0 where exact and erased are
    equal. With a uniform erased distribution it is the linear cross-entropy fidelity."""
    detectable: np.ndarray
    """:func:`detectable_fraction`: what shot noise alone may feign."""
    erased: np.ndarray
    """Rows whose fraction is not above what shot noise may feign."""
    distance: np.ndarray
    """``TVD(noisy, exact)``."""
    shots: int
    """Shots of each row."""

    def sentence(self) -> str:
        """The verdict over all rows, for a report.

        >>> exact = np.array([[1.0, 0, 0, 0]])
        >>> signal_left(exact, np.full((1, 4), 0.25), shots=1000).sentence()
        "The device's noise has erased the signal: 1000 shots cannot tell it from pure noise."
        """
        gone, rows = int(np.sum(self.erased)), int(np.size(self.erased))
        share = min(1.0, float(np.mean(self.fraction)))  # shot noise may carry it beyond
        if gone == rows:
            return (
                "The device's noise has erased the signal: "
                f"{self.shots} shots cannot tell it from pure noise."
            )
        left = f"about {share:.0%} of the signal is left"
        if gone:
            return f"The device's noise has erased the signal in {gone} of {rows} rows; {left}."
        if np.mean(self.fraction) < 0.5:
            return f"The device's noise has erased most of the signal: {left}."
        return f"The signal survives the device's noise: {left}."


def signal_left(
    exact: np.ndarray, noisy: np.ndarray, erased: np.ndarray | None = None, *, shots: int
) -> SignalLeft:
    """Return the surviving share of a signal, and a verdict on whether it can still be seen.

    Args:
        exact: Noise-free probabilities of shape ``(..., outcomes)``.
        noisy: Frequencies of ``shots`` samples, or exact noisy probabilities of which ``shots``
            would be drawn. Not mitigated ones: mitigation amplifies shot noise.
        erased: The distribution when noise has taken everything; uniform if None. On a device
            qubits also relax towards 0, so give the mean noisy distribution over many unrelated
            inputs, if it is known.
        shots: Shots of each row, at least 1.

    Returns:
        Fraction, distance and verdict for each row.

    Raises:
        InvalidData: If numbers of outcomes differ.
        InvalidOption: If shots are below 1.

    References:
        Arute et al., Nature 574, 505 (2019), for the linear cross-entropy fidelity.
    """
    exact, noisy = _pair(exact, noisy)
    outcomes = exact.shape[-1]
    given = np.full(outcomes, 1 / outcomes) if erased is None else erased
    exact, erased = np.broadcast_arrays(*_pair(exact, given))
    d = exact - erased
    norm = (d * d).sum(axis=-1)
    # Less than rounding is no signal: 0 / 0 must not become "all of it is left".
    some = norm > _ROUNDING
    fraction = np.where(some, ((noisy - erased) * d).sum(axis=-1) / np.where(some, norm, 1.0), 0.0)
    detectable = np.broadcast_to(detectable_fraction(exact, erased, shots), fraction.shape)
    return SignalLeft(
        fraction=fraction,
        detectable=detectable,
        erased=fraction <= detectable,
        distance=total_variation_distance(noisy, exact),
        shots=int(shots),
    )


def _pair(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, q = real_array(p, "distribution"), real_array(q, "distribution")
    if p.ndim == 0 or q.ndim == 0 or p.shape[-1] != q.shape[-1]:
        raise InvalidData(
            "Two distributions need the same number of outcomes on their last axis, got shapes "
            f"{p.shape} and {q.shape}."
        )
    try:
        np.broadcast_shapes(p.shape, q.shape)
    except ValueError:
        raise InvalidData(
            "Two sets of distributions need as many rows, or one of them a single row, got shapes "
            f"{p.shape} and {q.shape}."
        ) from None
    if not (np.isfinite(p).all() and np.isfinite(q).all()):
        raise InvalidData("Distributions hold finite numbers, got NaN or an infinity.")
    return p, q


def _checked_shots(shots: int) -> int:
    if isinstance(shots, bool) or not isinstance(shots, int | np.integer) or shots < 1:
        raise InvalidOption(f"shots must be at least 1, got {shots}.")
    if shots > MOST_SHOTS:
        raise InvalidOption(f"shots are at most {MOST_SHOTS:,}, got {shots}.")
    return int(shots)
