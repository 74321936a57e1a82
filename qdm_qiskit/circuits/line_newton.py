"""Least squares for the angles of bricks, for a whole batch of real states at once.

One CZ a pair leaves sweeps a long, flat way. Steps of Levenberg and Marquardt go it in some thirty:
the derivatives of all amplitudes by all angles are taken along with the state, and each row has a
damping of its own.
"""

from __future__ import annotations

import numpy as np

from .line_circuits import line_states

__all__ = ["NEAR_DAMPING", "fit_angles", "with_slopes"]

ROUNDS = 30
"""Steps, as many for each row."""
FIRST_DAMPING = 0.1
"""Damping at the start; it falls by :data:`EASE` with each step that gains, else rises by
:data:`BRAKE`."""
NEAR_DAMPING = 0.01
"""The same behind a first guess of a row's own."""
EASE, BRAKE = 0.3, 4.0
LEAST_DAMPING, MOST_DAMPING = 1e-5, 10.0
SPREAD = 0.6
"""Standard deviation of the first guess of an angle, in radians."""
MOST_VALUES = 1 << 23
"""Most numbers that derivatives of a part of the batch take."""


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
    count = num_qubits + 2 * len(pairs)
    rows = max(1, MOST_VALUES // (states.shape[1] * (count + 1)))
    damping = FIRST_DAMPING if start is None else NEAR_DAMPING
    if start is None:
        guess = np.random.default_rng(seed).normal(scale=SPREAD, size=count)
        start = np.broadcast_to(guess, (len(states), count))
    parts = []
    for first in range(0, len(states), rows):
        part = slice(first, first + rows)
        wanted, angles = (each[part].astype(np.float32) for each in (states, start))
        parts.append(_fitted(wanted, num_qubits, pairs, angles, rounds, damping))
    return np.concatenate(parts).astype(float)


def _fitted(
    states: np.ndarray,
    num_qubits: int,
    pairs: tuple[int, ...],
    angles: np.ndarray,
    rounds: int,
    first_damping: float,
) -> np.ndarray:
    damping = np.full(len(states), first_damping, np.float32)
    one = np.eye(angles.shape[1], dtype=np.float32)
    for _ in range(rounds):
        found, slopes = with_slopes(angles, num_qubits, pairs)
        overlap = (found * states).sum(axis=1)
        wanted = states * np.where(overlap < 0, -1, 1)[:, None]
        turned = slopes.swapaxes(1, 2)
        square = turned @ slopes + damping[:, None, None] * one
        step = np.linalg.solve(square, turned @ (wanted - found)[:, :, None])[:, :, 0]
        tried = line_states(angles + step, num_qubits, pairs, phases=False)
        better = np.abs((tried * states).sum(axis=1)) > np.abs(overlap)
        angles = np.where(better[:, None], angles + step, angles)
        damping = np.where(better, damping * EASE, damping * BRAKE).astype(np.float32)
        damping = np.clip(damping, LEAST_DAMPING, MOST_DAMPING)
    return angles


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
