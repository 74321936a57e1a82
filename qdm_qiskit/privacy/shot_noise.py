"""What is proved of shots and of depolarizing noise, and for what.

Two output distributions, p with a row and q without it, of a circuit whose shots are released. All
here holds for those two; a guarantee for every pair of data sets needs a bound on how far one row can
move the distribution, which nothing gives for weights trained without clipping.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import real_array, real_number, whole_number
from ..errors import InvalidData, InvalidOption
from .accounting import ORDERS, check_delta

__all__ = ["binomial_delta", "depolarized_epsilon", "shots_epsilon"]


def shots_epsilon(p: np.ndarray, q: np.ndarray, shots: int, delta: float = 0.0) -> float:
    """Return an epsilon for which so many shots of p and of q are (epsilon, delta)-indistinguishable.

    Without delta it is exact: shots times the largest log-ratio, infinite if an outcome of one never
    occurs in the other. With delta it is the least of that and of Rényi divergences, which add up
    over shots; an upper bound.

    Args:
        p, q: Distributions ``(outcomes,)``.
        shots: Independent shots, at least 1.
        delta: In [0, 1).

    Raises:
        InvalidData: If they are no distributions over the same outcomes.
        InvalidOption: If shots or delta are out of range.

    >>> bound = shots_epsilon(np.array([0.5, 0.5]), np.array([0.25, 0.75]), 3)
    >>> print(f"{bound / np.log(2):.9f}")
    3.000000000
    """
    p, q = _distribution(p, "p"), _distribution(q, "q")
    _check_shots(shots)
    if len(p) != len(q):
        raise InvalidData(f"p and q have the same outcomes, got {len(p)} and {len(q)}.")
    pure = shots * max(_log_ratio(p, q), _log_ratio(q, p))
    if real_number(delta, "delta") == 0:
        return pure
    check_delta(delta)
    found = [pure]
    for order in ORDERS:
        spent = shots * max(_divergence(p, q, order), _divergence(q, p, order))
        found.append(spent - math.log(delta * order) / (order - 1) + math.log((order - 1) / order))
    return max(0.0, min(found))


def binomial_delta(p: float, q: float, shots: int, epsilon: float) -> float:
    """Return the exact delta of counts of one outcome: the least for which they keep epsilon.

    Args:
        p, q: Chances of the outcome with and without a row, in [0, 1].
        shots: At least 1.
        epsilon: At least 0.

    Returns:
        The larger of the two directions.

    Raises:
        InvalidOption: If one is out of range.

    >>> round(binomial_delta(0.6, 0.5, 1, 0.0), 12)
    0.1
    """
    from scipy.stats import binom

    for value, name in ((p, "p"), (q, "q")):
        if not 0 <= real_number(value, name) <= 1:
            raise InvalidOption(f"{name} is a chance between 0 and 1, got {value}.")
    _check_shots(shots)
    if not 0 <= real_number(epsilon, "epsilon") < 700:
        raise InvalidOption(f"epsilon lies between 0 and 700, got {epsilon}.")
    counts = np.arange(shots + 1)
    one, other = binom.pmf(counts, shots, p), binom.pmf(counts, shots, q)
    factor = math.exp(epsilon)
    return max(
        float(np.maximum(first - factor * second, 0).sum())
        for first, second in ((one, other), (other, one))
    )


def depolarized_epsilon(strength: float, distance: float, qubits: int, shots: int = 1) -> float:
    """Return epsilon of measurements behind a depolarizing channel on all qubits.

    Zhou and Ying (2017), arXiv:1707.04406: the channel keeps a state with chance 1 - s and else gives
    the maximally mixed one, so an outcome M of states at trace distance d has the ratio
    ``1 + (1 - s) tr(M (rho - sigma)) / (s tr(M) / D) <= 1 + (1 - s) d D / s``. It holds for every
    measurement, and for all states at that distance: for data that are loaded, not for rows that
    weights have learned.

    Args:
        strength: s in (0, 1].
        distance: Largest trace distance d of two inputs, in [0, 1].
        qubits: Qubits of the channel, D = 2**qubits; 1 to 1000.
        shots: Independent shots, whose epsilons add up.

    Raises:
        InvalidOption: If one is out of range.

    >>> depolarized_epsilon(1.0, 0.3, 2)
    0.0
    """
    if not 0 < real_number(strength, "strength") <= 1:
        raise InvalidOption(
            f"strength lies in (0, 1], got {strength}: without noise nothing is proved."
        )
    if not 0 <= real_number(distance, "distance") <= 1:
        raise InvalidOption(f"distance is a trace distance in [0, 1], got {distance}.")
    if not 1 <= whole_number(qubits, "qubits") <= 1000:
        raise InvalidOption(f"qubits is 1 to 1000, got {qubits}.")
    _check_shots(shots)
    return shots * math.log1p((1 - strength) * distance * 2.0**qubits / strength)


def _check_shots(shots: int) -> None:
    if not 1 <= whole_number(shots, "shots") <= 10_000_000:
        raise InvalidOption(f"shots is 1 to 10,000,000, got {shots}.")


def _distribution(values: np.ndarray, name: str) -> np.ndarray:
    values = real_array(values, name).astype(np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all() or values.min() < 0:
        raise InvalidData(f"{name} is a distribution over at least 2 outcomes, got {values.shape}.")
    if abs(values.sum() - 1) > 1e-6:
        raise InvalidData(f"{name} is a distribution and sums to 1, got {values.sum():.6g}.")
    return values


def _log_ratio(p: np.ndarray, q: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(np.max(np.log(p[p > 0]) - np.log(q[p > 0])))


def _divergence(p: np.ndarray, q: np.ndarray, order: float) -> float:
    there = p > 0
    if (q[there] == 0).any():
        return math.inf
    terms = order * np.log(p[there]) + (1 - order) * np.log(q[there])
    return float(np.logaddexp.reduce(terms)) / (order - 1)
