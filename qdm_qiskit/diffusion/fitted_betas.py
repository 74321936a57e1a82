"""Default betas for any number of steps: those of one schedule, scaled to leave as much of the data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "HO",
    "SHORT_CHAIN",
    "ReferenceSchedule",
    "constant_beta",
    "linear_ends",
]

_HALVINGS = 60
"""Halvings of an interval of factors; more than a float64 has digits."""


@dataclass(frozen=True)
class ReferenceSchedule:
    """A linear schedule that was chosen for one number of steps."""

    num_steps: int
    """T that it was chosen for."""
    beta_start: float
    """beta_1, in (0, 1)."""
    beta_end: float
    """beta_T, in (0, 1)."""


SHORT_CHAIN = ReferenceSchedule(10, 0.02, 0.6)
"""Ours, for the ten steps that Kölle and EEQDM's successors take: alpha_bar_T is near 0.02."""
HO = ReferenceSchedule(1000, 1e-4, 0.02)
"""Ends of Ho et al., arXiv:2006.11239: alpha_bar_T is near 4e-5."""


def linear_ends(reference: ReferenceSchedule, num_steps: int) -> tuple[float, float]:
    """beta_1 and beta_T of a linear schedule of any T that ends where the reference does.

    The reference's own T gives its own betas. For another T both ends are multiplied by the one factor
    that leaves alpha_bar_T as it is: about 1/T where T is large. A single step is all of the noise.

    Args:
        reference: The schedule that is scaled.
        num_steps: T, at least 1.

    Returns:
        Both in (0, 1).

    >>> linear_ends(SHORT_CHAIN, 10)
    (0.02, 0.6)
    >>> [round(beta, 6) for beta in linear_ends(SHORT_CHAIN, 1000)]
    [0.000264, 0.007907]
    """
    start, end = reference.beta_start, reference.beta_end
    if num_steps == reference.num_steps:
        return start, end
    left = _log_signal(torch.linspace(start, end, reference.num_steps, dtype=torch.float64))
    if num_steps == 1:
        only = constant_beta(reference, 1)
        return only, only
    unscaled = torch.linspace(start, end, num_steps, dtype=torch.float64)
    low, high = 0.0, 1 / end
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _log_signal(middle * unscaled) > left:
            low = middle
        else:
            high = middle
    return low * start, low * end


def constant_beta(reference: ReferenceSchedule, num_steps: int) -> float:
    """The beta, in (0, 1), with which T equal steps leave as much of the data as the reference."""
    ends = reference.beta_start, reference.beta_end
    left = _log_signal(torch.linspace(*ends, reference.num_steps, dtype=torch.float64))
    return float(-torch.expm1(left / num_steps))


def _log_signal(betas: Tensor) -> Tensor:
    """The logarithm of alpha_bar_T."""
    return torch.log1p(-betas).sum()
