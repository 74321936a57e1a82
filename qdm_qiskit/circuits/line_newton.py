"""Least squares for the angles of bricks, for a whole batch of real states at once.

One CZ a pair leaves sweeps a long, flat way. Steps of Levenberg and Marquardt go it in some sixty:
the derivatives of all amplitudes by all angles are taken along with the state, and each row has a
damping of its own. What takes time is machine code, see :mod:`.brick_fit`.
"""

from __future__ import annotations

import numpy as np

__all__ = ["NEAR_DAMPING", "fit_angles", "with_slopes"]

ROUNDS = 60
"""Steps, as many for each row."""
FIRST_DAMPING = 0.1
"""Damping at the start, of each row."""
NEAR_DAMPING = 0.01
"""The same behind a first guess of a row's own."""
SPREAD = 0.6
"""Standard deviation of the first guess of an angle, in radians."""


def fit_angles(
    states: np.ndarray,
    num_qubits: int,
    pairs: tuple[int, ...],
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Fit the angles of :func:`.line_circuits.line_circuit` to real states.

    Args:
        states: ``(batch, 2**n)`` with unit rows, in the line's order.
        num_qubits: n.
        pairs: First position of each CZ.
        seed: Seed of the first guess, the same for all rows.
        rounds: Steps.
        start: A first guess of each row in place of that one, ``(batch, n + 2 len(pairs))``; it is
            taken to be near.

    Returns:
        ``(batch, n + 2 len(pairs))`` radians. A row depends on its own state, and its own first guess,
        only.
    """
    from .brick_fit import fit_bricks  # takes LLVM, which takes its time to load

    count = num_qubits + 2 * len(pairs)
    damping = FIRST_DAMPING if start is None else NEAR_DAMPING
    if start is None:
        guess = np.random.default_rng(seed).normal(scale=SPREAD, size=count)
        start = np.broadcast_to(guess, (len(states), count))
    return fit_bricks(states, start, num_qubits, pairs, rounds=rounds, damping=damping)


def with_slopes(
    angles: np.ndarray, num_qubits: int, pairs: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the states ``(batch, 2**n)``, and their derivatives ``(batch, 2**n, angles)``."""
    batch, count = angles.shape
    size = 2**num_qubits
    kept = np.zeros((batch, size, count + 1), np.float32)
    kept[:, 0, 0] = 1
    cosines, sines = np.cos(angles / 2), np.sin(angles / 2)
    used = 0

    def turn(place: int) -> None:
        nonlocal used
        c, s = (each[:, used, None, None, None] for each in (cosines, sines))
        seen = kept.reshape(batch, 2**place, 2, -1, count + 1)[..., : used + 1]
        low, high = seen[:, :, 0], seen[:, :, 1]
        new_low, new_high = c * low - s * high, s * low + c * high
        seen[:, :, 0], seen[:, :, 1] = new_low, new_high
        used += 1
        slope = kept.reshape(batch, 2**place, 2, -1, count + 1)[..., used]
        slope[:, :, 0], slope[:, :, 1] = -new_high[..., 0] / 2, new_low[..., 0] / 2

    for place in range(num_qubits):
        turn(place)
    for place in pairs:
        kept.reshape(batch, 2**place, 2, 2, -1, count + 1)[:, :, 1, 1, :, : used + 1] *= -1
        turn(place)
        turn(place + 1)
    return kept[:, :, 0], kept[:, :, 1:]
