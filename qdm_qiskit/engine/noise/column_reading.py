"""Tables of products of the states in which an observable's column is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..jit.column_forms import LANES, LOW_DIGITS
from ..jit.column_parts import RUN_DIGITS, apart
from .column_records import Base, Held

__all__ = ["ReadTables", "table_numbers"]


class ReadTables:
    """Tables of products of the states in which a column is read, and where they are.

    Args:
        qubits: The row of each digit's qubit among the vectors.
        batch: Samples, a multiple of 16.
        itemsize: Bytes of a number.
    """

    def __init__(self, qubits: np.ndarray, batch: int, itemsize: int) -> None:
        split = _split(len(qubits))
        self._qubits = np.split(np.asarray(qubits, np.int32), np.cumsum(split)[:-1])
        self._row, self._batch = batch * itemsize, batch
        self.digits = len(qubits)
        starts = np.cumsum([0, *(_rows_of_levels(digits) for digits in split)])
        self._starts, self._all = starts[:-1] * self._row, int(starts[-1])
        self._tops = self._starts + [_rows_of_levels(digits - 1) * self._row for digits in split]
        self._sizes = [4**digits for digits in split]
        self.low_rows, self.middle_rows = (min(size, LANES) for size in self._sizes[:2])

    def tables(self, held: Held) -> tuple[Any, ...]:
        """Return the high, the middle and the low table, their shape, and the samples."""
        distance = self._all * self._row
        shape = held(np.array([*reversed(self._sizes), distance, apart(RUN_DIGITS)]), np.int64)
        high, middle, low = ((Base.TABLES, int(top)) for top in reversed(self._tops))
        return high, middle, low, shape, self._batch

    def levels(self, held: Held) -> Iterator[tuple[Any, Any, tuple[int, int, int]]]:
        """Yield the levels of each table, their gradients, and its qubits, digits and samples."""
        for start, qubits in zip(self._starts, self._qubits, strict=True):
            level, grad = ((Base.TABLES, int(start + k * self._all * self._row)) for k in range(2))
            yield level, grad, (held(qubits, np.int32), len(qubits), self._batch)

    def gradients(self) -> tuple[Any, int]:
        """Return where the gradients of all tables are, and how many numbers."""
        return (Base.TABLES, self._all * self._row), self._all * self._batch


def table_numbers(digits: int, batch: int) -> int:
    """Return how many numbers the tables take in which a column is read, with their gradients."""
    rows = sum(_rows_of_levels(each) for each in _split(digits))
    return 2 * rows * -(-batch // LANES) * LANES


def _split(digits: int) -> list[int]:
    """Return the digits of the low, the middle and the high table."""
    low = min(digits, LOW_DIGITS)
    middle = min(digits - low, LOW_DIGITS)
    return [low, middle, digits - low - middle]


def _rows_of_levels(digits: int) -> int:
    """Return the rows of the tables of 0 up to some digits."""
    return int((4 ** (digits + 1) - 1) // 3)
