"""Long batches in slices whose states fit the memory."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = [
    "CHUNK",
    "row_slices",
]

CHUNK = 2**20
"""Amplitudes that are computed at once, 16 MiB in complex128; longer batches are sliced."""


def row_slices(rows: int, num_qubits: int, amplitudes: int = CHUNK) -> Iterator[slice]:
    """Yield slices of consecutive rows, of at least one row each.

    Args:
        rows: Length of the batch.
        num_qubits: Number of qubits of each row's state.
        amplitudes: The most that the states of a slice have in all, if one row has no more.
    """
    size = max(1, amplitudes >> num_qubits)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
