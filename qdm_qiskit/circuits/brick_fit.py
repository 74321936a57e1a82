"""Steps of least squares for the angles of bricks, tile by tile in machine code."""

from __future__ import annotations

import numpy as np

from ..machine_code import aligned
from .brick_code import BLOCK, brick_columns, brick_step
from .tile_code import LANES

__all__ = ["fit_bricks"]

EASE, BRAKE = 0.3, 4.0
"""By which the damping is multiplied behind a step that gains, and behind another one."""
LEAST_DAMPING, MOST_DAMPING = 1e-5, 10.0


def fit_bricks(
    states: np.ndarray,
    start: np.ndarray,
    num_qubits: int,
    pairs: tuple[int, ...],
    *,
    rounds: int,
    damping: float,
) -> np.ndarray:
    """Return angles ``(batch, n + 2 len(pairs))`` float64; see :func:`.line_newton.fit_angles`.

    Args:
        states: ``(batch, 2**n)`` real with unit rows, in the line's order.
        start: Angles from which the steps start.
        num_qubits: n.
        pairs: First position of each CZ.
        rounds: Steps.
        damping: Of the first one.
    """
    tile = _Tile(num_qubits, pairs)
    found = np.empty((len(states), tile.count))
    for first in range(0, len(states), LANES):
        part = slice(first, first + LANES)
        found[part] = tile.fitted(states[part], start[part], rounds, damping)
    return found


class _Tile:
    """Memory and functions for as many states as a vector of the processor has lanes."""

    def __init__(self, num_qubits: int, pairs: tuple[int, ...]) -> None:
        self.count = num_qubits + 2 * len(pairs)
        self._full = -(-self.count // BLOCK) * BLOCK
        self._size = 2**num_qubits
        self._numbers = len(pairs), num_qubits, self._size
        self._table = np.array([self._size >> (place + 2) for place in pairs], np.int64)
        self._columns = aligned((1 + self._full, self._size, LANES))
        self._turns = aligned((self.count, 2, LANES))
        self._wanted = aligned((self._size, LANES))
        self._missing = aligned((self._size, LANES))
        self._matrix = aligned((self._full, self._full, LANES))
        self._spare, self._step = aligned((self._full, LANES)), aligned((self._full, LANES))
        self._damping = aligned((LANES,))

    def fitted(
        self, states: np.ndarray, start: np.ndarray, rounds: int, damping: float
    ) -> np.ndarray:
        """Return angles ``(batch, count)`` for at most as many states as a tile has lanes."""
        angles = np.zeros((self.count, LANES), np.float32)
        angles[:, : len(states)] = start.T
        self._wanted[:, : len(states)], self._wanted[:, len(states) :] = states.T, 0
        self._damping[:] = damping
        for _ in range(rounds):
            overlap = self._overlap(angles, slopes=True)
            np.multiply(
                self._wanted,
                np.where(overlap < 0, np.float32(-1), np.float32(1)),
                out=self._missing,
            )
            tried = angles + self._stepped()
            better = np.abs(self._overlap(tried, slopes=False)) > np.abs(overlap)
            angles = np.where(better, tried, angles)
            changed = self._damping * np.where(better, EASE, BRAKE)
            self._damping[:] = np.clip(changed, LEAST_DAMPING, MOST_DAMPING)
        return angles[:, : len(states)].T

    def _overlap(self, angles: np.ndarray, *, slopes: bool) -> np.ndarray:
        """Make the state of each lane, and its derivatives; return its overlap with the wanted one."""
        self._turns[:, 0], self._turns[:, 1] = np.cos(angles / 2), np.sin(angles / 2)
        arrays = self._columns, self._turns, self._table
        brick_columns()(*(each.ctypes.data for each in arrays), *self._numbers, int(slopes))
        found: np.ndarray = (self._columns[0] * self._wanted).sum(axis=0)
        return found

    def _stepped(self) -> np.ndarray:
        arrays = self._columns, self._missing, self._matrix, self._spare, self._damping, self._step
        brick_step()(*(each.ctypes.data for each in arrays), self._full, self._size)
        return self._step[: self.count]
