"""Epsilon of noisy gradients of randomly drawn batches, by Rényi divergences.

Mironov, Talwar and Zhang (2019), arXiv:1908.10530: the divergence of order a of one step is that of
a mixture from a Gaussian, ``log E[(1 - q + q exp((2 z - 1) / (2 s^2)))^a] / (a - 1)`` over z of
variance s^2. It is integrated here, where Opacus sums series: a test holds both together.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import real_number, whole_number
from ..errors import InvalidOption

__all__ = ["ORDERS", "check_delta", "gradient_epsilon", "step_divergence"]

ORDERS = (*(1 + k / 10 for k in range(1, 100)), *range(12, 64))
"""Orders that are tried, those of Opacus."""


def step_divergence(noise: float, rate: float, order: float) -> float:
    """Return the Rényi divergence of one step.

    Args:
        noise: Noise multiplier: deviation of the noise by the largest norm of a gradient, above 0.
        rate: Chance of each row to be in a batch, in (0, 1].
        order: Above 1.

    >>> round(step_divergence(2.0, 1.0, 4), 12)  # of a Gaussian: order / (2 noise^2)
    0.5
    """
    if rate == 1:
        return order / (2 * noise**2)
    # Smooth and Gaussian at both ends, where the sum over a grid converges faster than any power.
    z = np.arange(-14 * noise, order + 14 * noise, noise / 60)
    log = -(z**2) / (2 * noise**2) - math.log(noise * math.sqrt(2 * math.pi))
    ratio = np.logaddexp(math.log1p(-rate), math.log(rate) + (2 * z - 1) / (2 * noise**2))
    total = np.logaddexp.reduce(log + order * ratio) + math.log(noise / 60)
    return max(0.0, float(total) / (order - 1))


def gradient_epsilon(noise: float, rate: float, steps: int, delta: float) -> float:
    """Return epsilon of so many steps of noisy gradients.

    Training is (epsilon, delta)-differentially private for adding or removing one row if each step
    draws every row by itself with chance ``rate``, clips each row's gradient to norm C and adds
    Gaussian noise of deviation ``noise * C`` to their sum.

    Args:
        noise: Noise multiplier, above 0.
        rate: Chance of each row, in (0, 1].
        steps: Steps, at least 1.
        delta: In (0, 1); below one by the number of rows.

    Raises:
        InvalidOption: If one is out of range.

    >>> round(gradient_epsilon(1.1, 0.05, 100, 1e-5), 3)
    3.312
    """
    noise, rate = real_number(noise, "noise"), real_number(rate, "rate")
    if not 0.05 <= noise <= 1e6:
        raise InvalidOption(f"noise lies between 0.05 and 1e6, got {noise}.")
    if not 0 < rate <= 1:
        raise InvalidOption(f"rate, the chance of a row, lies in (0, 1], got {rate}.")
    if whole_number(steps, "steps") < 1:
        raise InvalidOption(f"steps must be at least 1, got {steps}.")
    check_delta(delta)
    orders = np.array(ORDERS)
    spent = steps * np.array([step_divergence(noise, rate, order) for order in ORDERS])
    # Balle et al. (2020), arXiv:1905.09982, theorem 21.
    found = spent - np.log(delta * orders) / (orders - 1) + np.log((orders - 1) / orders)
    return max(0.0, float(found.min()))


def check_delta(delta: float) -> None:
    """Refuse a delta that is no chance.

    Raises:
        InvalidOption: If it is not in (0, 1).
    """
    if not 0 < real_number(delta, "delta") < 1:
        raise InvalidOption(f"delta lies between 0 and 1, got {delta}.")
