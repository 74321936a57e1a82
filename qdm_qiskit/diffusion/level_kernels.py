"""Chances that one grey level becomes another in a step: by a quantum walk, or by a device's flips.

A kernel is a matrix ``(levels, levels)`` whose row i has the chance of each level after level i. Rows
sum to 1, so that a kernel's powers are the kernels of several steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise

import numpy as np

from ..arguments import whole_number
from ..errors import InvalidOption
from .ring_walks import walk_distributions

__all__ = [
    "LEFT_AT_LAST",
    "MOST_BITS",
    "MOST_LEVELS",
    "flip_kernel",
    "ring_signal",
    "steps_of_walk",
    "walk_kernel",
]

MOST_LEVELS = 65
"""Levels of the largest ring."""
MOST_BITS = 6
"""Bits of the largest register."""
LEFT_AT_LAST = 0.02
"""Largest momentum that may be left after T steps where the steps of a walk are chosen."""
_MOST_STEPS = 400


def walk_kernel(levels: int, steps: int, decoherence: float) -> np.ndarray:
    """Return the kernel of a walk on a ring that begins at each level, measured at the end.

    The walk takes ``steps`` or ``steps + 1`` steps, each with chance 1/2: after an exact number of
    steps places of one parity are all but empty, on an odd ring too until it has gone around. Black
    and white are neighbours on the ring.

    Args:
        levels: Grey levels, an odd number from 3 to :data:`MOST_LEVELS`.
        steps: Steps of the walk between two measurements, at least 1.
        decoherence: Chance of a measurement after each step, 0 to 1.

    Returns:
        ``(levels, levels)`` float64, circulant and symmetric.

    Raises:
        InvalidOption: If a number is out of range.
    """
    _check_levels(levels)
    if whole_number(steps, "walk_steps") < 1:
        raise InvalidOption(f"walk_steps must be at least 1, got {steps}.")
    after = islice(walk_distributions(levels, decoherence), steps, steps + 2)
    return _kernel_of(*after)


def _check_levels(levels: int) -> None:
    if not 3 <= whole_number(levels, "levels") <= MOST_LEVELS or levels % 2 == 0:
        raise InvalidOption(
            f"The grey levels of process 'walk' are an odd number from 3 to {MOST_LEVELS}, got "
            f"{levels}: on a ring of even size a walk never leaves the places of one parity."
        )


def _kernel_of(even: np.ndarray, odd: np.ndarray) -> np.ndarray:
    """Return the kernel of a walk with these two distributions, each with chance 1/2."""
    levels, chances = len(even), (even + odd) / 2
    # Both directions are equally likely from this coin; rounding would make rows differ.
    chances = (chances + chances[-np.arange(levels)]) / 2
    chances = chances / chances.sum()
    places = np.arange(levels)
    found: np.ndarray = chances[(places[None, :] - places[:, None]) % levels]
    return found


def ring_signal(kernel: np.ndarray) -> np.ndarray:
    """Return the eigenvalue of a circulant kernel at each momentum, ``(levels,)`` real.

    A kernel of t steps has their t-th powers: the Fourier sum of these is the closed form of x_t.
    """
    found: np.ndarray = np.fft.fft(kernel[0]).real
    return found


def steps_of_walk(levels: int, num_steps: int, decoherence: float) -> int:
    """Return the fewest steps of a walk that leave at most 2 % of any momentum after T of them.

    Args:
        levels, decoherence: As for :func:`walk_kernel`.
        num_steps: T.

    Raises:
        InvalidOption: If 400 steps are too few, or a number is out of range.
    """
    _check_levels(levels)
    walks = pairwise(islice(walk_distributions(levels, decoherence), 1, _MOST_STEPS + 2))
    for steps, after in enumerate(walks, 1):
        signal = np.abs(ring_signal(_kernel_of(*after)))[1:]
        if signal.max() ** num_steps <= LEFT_AT_LAST:
            return steps
    raise InvalidOption(
        f"{_MOST_STEPS} steps of a walk, {num_steps} times, do not mix {levels} levels; take more "
        "num_steps or fewer levels."
    )


def flip_kernel(flips: Sequence[float]) -> np.ndarray:
    """Return the kernel of a register whose bits are read wrongly, each by itself.

    Args:
        flips: For each bit, the least significant first: the chance that 0 is read as 1, and that 1
            is read as 0. Level i stands for the bits of i.

    Returns:
        ``(2**bits, 2**bits)`` float64.

    Raises:
        InvalidOption: If there are no pairs of chances, too many, or a bit keeps what it was for ever.
    """
    count = len(flips)
    if not 2 <= count <= 2 * MOST_BITS or count % 2:
        raise InvalidOption(
            f"flips has two chances for each of 1 to {MOST_BITS} bits, got {count} numbers."
        )
    pairs = np.asarray(flips, dtype=float).reshape(-1, 2)
    if not np.isfinite(pairs).all() or (pairs < 0).any() or (pairs > 1).any():
        raise InvalidOption(f"flips are chances from 0 to 1, got {list(flips)}.")
    if (pairs.sum(axis=1) == 0).any() or (pairs.sum(axis=1) == 2).any():
        raise InvalidOption(
            f"A bit that never flips, or always, forgets nothing; got {list(flips)}."
        )
    kernel = np.ones((1, 1))
    for up, down in pairs:
        kernel = np.kron(np.array([[1 - up, up], [down, 1 - down]]), kernel)
    return kernel
