"""Fit of blocks of SO(4) along a line to real states, tile by tile in machine code.

The same sweeps as :mod:`.line_fit` does with numpy, which a test holds beside it, at a fiftieth of
the time.
"""

from __future__ import annotations

import numpy as np

from ..machine_code import aligned
from .block_code import block_sweeps
from .tile_code import LANES

__all__ = ["fit_blocks"]


def fit_blocks(
    states: np.ndarray,
    places: tuple[int, ...],
    guess: np.ndarray,
    basis: np.ndarray,
    *,
    sweeps: int,
    free: int,
    momentum: float,
) -> np.ndarray:
    """Return the quaternions of each block, ``(batch, blocks, 8)`` float32.

    Args:
        states: ``(batch, 2**n)`` real with unit rows, in the line's order.
        places: Position of each block's first qubit.
        guess: ``(batch, blocks, 8)``, from which the sweeps start.
        basis: ``(4, 4, 4, 4)`` signed permutations, of which a block is a sum.
        sweeps: Sweeps.
        free: Of them at the start, and at the end, without momentum.
        momentum: Share of its latest change that a quaternion is moved on by.
    """
    batch, size = states.shape
    count = len(places)
    sweep = block_sweeps(_signed(basis), momentum)
    table = np.array([size >> (place + 2) for place in places], np.int64)
    rooms, wanted = aligned((count + 1, size, LANES)), aligned((size, LANES))
    vectors, before = aligned((count, 8, LANES)), aligned((count, 8, LANES))
    found = np.empty((batch, count, 8), np.float32)
    for first in range(0, batch, LANES):
        part = slice(first, min(first + LANES, batch))
        used = part.stop - first
        wanted[:, :used], wanted[:, used:] = states[part].T, 0
        vectors[:, :, :used] = guess[part].transpose(1, 2, 0)
        numbers = count, size, sweeps, free
        sweep(*(each.ctypes.data for each in (rooms, wanted, vectors, before, table)), *numbers)
        found[part] = vectors[:, :, :used].transpose(2, 0, 1)
    return found


def _signed(basis: np.ndarray) -> tuple[tuple[tuple[int, int, int], ...], ...]:
    """Return the entries that are not 0 of each matrix: row, column and sign."""
    return tuple(
        tuple((int(i), int(j), int(matrix[i, j])) for i, j in np.argwhere(matrix))
        for matrix in np.rint(basis.reshape(16, 4, 4))
    )
