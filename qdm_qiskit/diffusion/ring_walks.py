"""A quantum walk on a ring in discrete time, with a coin, decohering: where the walker is found.

A step is a Hadamard gate on the coin, then a move: coin 0 steps up, coin 1 steps down, around the
ring. With chance ``decoherence`` position and coin are measured after the step: at 0 the walk
is unitary, at 1 it is the classical one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np

from ..arguments import real_number, whole_number
from ..errors import InvalidOption

__all__ = [
    "MOST_POSITIONS",
    "check_walk",
    "classical_walk",
    "momentum_walk",
    "walk_distribution",
    "walk_distributions",
]

MOST_POSITIONS = 256
"""Positions of the largest ring whose density matrix is stepped."""


def walk_distribution(positions: int, steps: int, decoherence: float = 0.0) -> np.ndarray:
    """Return the chance of each place, ``(positions,)``, of the same walk.

    Args:
        positions: Places of the ring, 2 to :data:`MOST_POSITIONS`.
        steps: Steps, at least 0.
        decoherence: Chance of a measurement after each step, 0 to 1.

    Raises:
        InvalidOption: If a number is out of range.
    """
    check_walk(positions, steps, decoherence)
    found: np.ndarray = next(islice(walk_distributions(positions, decoherence), steps, None))
    return found


def walk_distributions(positions: int, decoherence: float = 0.0) -> Iterator[np.ndarray]:
    """Yield the chance of each place, ``(positions,)``, after 0 steps, after 1, and so on without end.

    Args:
        positions, decoherence: As for :func:`walk_distribution`.

    Raises:
        InvalidOption: If a number is out of range.
    """
    check_walk(positions, 0, decoherence)
    state = np.zeros((2, positions), dtype=complex)
    state[:, 0] = np.array([1, 1j]) / math.sqrt(2)
    while decoherence == 0:
        yield (np.abs(state) ** 2).sum(axis=0)
        state = _step(state)
    rho = np.multiply.outer(state, state.conj())  # coin, place, coin, place
    size = 2 * positions
    while True:
        yield np.einsum("cpcp->p", rho).real
        rho = _step(rho)
        rho = _step(rho.transpose(2, 3, 0, 1).conj()).transpose(2, 3, 0, 1).conj()
        flat = rho.reshape(size, size)
        kept = (1 - decoherence) * flat + decoherence * np.diag(np.diag(flat))
        rho = kept.reshape(rho.shape)


def momentum_walk(positions: int, steps: int) -> np.ndarray:
    """Return the unitary walk's distribution in closed form, from the coin's powers in momentum space.

    At momentum k a step is the matrix ``diag(exp(-ik), exp(ik)) H``, whose power comes from its
    eigenvalues; the places are a Fourier sum.
    """
    momenta = 2 * np.pi * np.arange(positions) / positions
    coin = np.array([1, 1j]) / math.sqrt(2)
    hadamard = np.array([[1, 1], [1, -1]]) / math.sqrt(2)
    states = np.empty((positions, 2), dtype=complex)
    for row, k in enumerate(momenta):
        values, vectors = np.linalg.eig(np.diag(np.exp([-1j * k, 1j * k])) @ hadamard)
        states[row] = vectors @ (values**steps * np.linalg.solve(vectors, coin))
    places = np.exp(1j * np.outer(np.arange(positions), momenta)) @ states / positions
    found: np.ndarray = (np.abs(places) ** 2).sum(axis=1)
    return found


def classical_walk(positions: int, steps: int) -> np.ndarray:
    """Return the distribution of the walk that decoheres at each step: binomial, around the ring."""
    found = np.zeros(positions)
    for up in range(steps + 1):
        found[(2 * up - steps) % positions] += math.comb(steps, up) / 2**steps
    return found


def _step(state: np.ndarray) -> np.ndarray:
    """Return the coin's gate and the move, on the first two axes."""
    zero, one = (state[0] + state[1]) / math.sqrt(2), (state[0] - state[1]) / math.sqrt(2)
    return np.stack([np.roll(zero, 1, axis=0), np.roll(one, -1, axis=0)])


def check_walk(positions: int, steps: int, decoherence: float) -> None:
    """Refuse a ring, a number of steps or a chance that no walk has.

    Raises:
        InvalidOption: With the range.
    """
    positions, steps = whole_number(positions, "positions"), whole_number(steps, "steps")
    if not 2 <= positions <= MOST_POSITIONS or not 0 <= steps <= 10_000:
        raise InvalidOption(
            f"A ring has 2 to {MOST_POSITIONS} places and a walk 0 to 10000 steps, got {positions} and "
            f"{steps}."
        )
    if not 0 <= real_number(decoherence, "decoherence") <= 1:
        raise InvalidOption(f"decoherence is a chance from 0 to 1, got {decoherence!r}.")
