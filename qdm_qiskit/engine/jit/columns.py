"""Machine code that runs blocks on real vectors over Pauli strings, made when first asked for.

Where parts stand in such a vector, and blocks in a part, is in the tables of :func:`part_of` and
:func:`tiles_of`; what is run is a list of records, the address of a function and its seven arguments
each.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from .compiler import compiled, widest
from .emit_columns import LANES, ColumnWriter, Mode
from .emit_products import ProductWriter
from .emit_vectors import VectorWriter

__all__ = [
    "LEAST_DIGITS",
    "ColumnKernels",
    "Part",
    "column_kernels",
    "part_of",
    "tiles_of",
    "with_neighbours",
]

LEAST_DIGITS = 5
"""Digits of the shortest vector: both lanes, and rows of one of the last two digits and another."""
_ONCE = threading.RLock()


class ColumnKernels:
    """The functions for one precision.

    Args:
        double: float64, else float32.
    """

    def __init__(self, *, double: bool) -> None:
        self.itemsize = 8 if double else 4
        real = ir.DoubleType() if double else ir.FloatType()
        vectors = VectorWriter(real, widest() // self.itemsize)
        self._writer, self._products = ColumnWriter(vectors), ProductWriter(vectors)
        self._made: dict[tuple[Any, ...], int] = {}
        self._lock = threading.Lock()
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)
        self.run: Callable[[int, int, int], None] = signature(self.address("run"))
        """Run records: the table's address, the first and the end."""

    def address(self, name: str, *arguments: Any) -> int:
        """Return the address of a function of :class:`.emit_columns.ColumnWriter` or of
        :class:`.emit_products.ProductWriter`.
        """
        writer = self._products if name in ProductWriter.NAMES else self._writer
        with self._lock:
            key = (name, *arguments)
            if key not in self._made:
                self._made[key] = compiled(getattr(writer, name)(*arguments))
            return self._made[key]


def column_kernels(*, double: bool) -> ColumnKernels:
    """Return the functions of this process, the same for all of its threads."""
    with _ONCE:
        return _kernels(double)


@cache
def _kernels(double: bool) -> ColumnKernels:
    return ColumnKernels(double=double)


class Part:
    """Parts of a vector that are fetched, one after the other.

    Attributes:
        mode: How a part is fetched.
        bases: ``(parts,)`` int32: where they begin.
        places: int32: what :meth:`.emit_columns.ColumnWriter.fetch` reads.
        count: Rows or, if turned, times 16 rows of a part.
    """

    def __init__(self, mode: Mode, bases: np.ndarray, places: np.ndarray, count: int) -> None:
        self.mode, self.bases, self.places, self.count = mode, bases, places, count


@cache
def part_of(digits: int, rows: tuple[int, ...]) -> Part:
    """Return the parts of a vector whose rows are all numbers of some digits.

    Args:
        digits: Those of the vector, at least two more than the rows'; digit k counts ``4**k``.
        rows: Ascending, as :func:`with_neighbours` gives them.
    """
    free = [d for d in range(digits) if d not in rows]
    lanes, rest = free[:2], free[2:]
    bases = _offsets(tuple(reversed(rest)))
    if 0 not in rows:
        places = _offsets(tuple(reversed(rows)))
        return Part("runs", bases, places, len(places))
    high = _offsets(tuple(reversed(rows[2:])))
    places = np.add.outer(high, _offsets(tuple(reversed(lanes)))).ravel().astype(np.int32)
    return Part("turned", bases, places, len(high))


def with_neighbours(rows: frozenset[int]) -> frozenset[int]:
    """Return digits of a part's rows: both of the last two or none, as they are fetched together."""
    return rows | {0, 1} if rows & {0, 1} else rows


@cache
def tiles_of(digits: int, block: tuple[int, ...], itemsize: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the tiles of a block stand in a part.

    Args:
        digits: Those of the part's rows.
        block: One or two of them, the first the more significant in the block's matrix.
        itemsize: Bytes of a number.

    Returns:
        Rows where tiles begin, int32; bytes between numbers of the block's digits, int64, the less
        significant first.
    """
    others = tuple(d for d in reversed(range(digits)) if d not in block)
    strides = [4**d * LANES * itemsize for d in reversed(block)]
    return _offsets(others), np.array(strides, np.int64)


def _offsets(chosen: Sequence[int]) -> np.ndarray:
    """Return the offsets of all numbers of some digits, the first the most significant."""
    found = np.zeros(1, np.int32)
    for digit in chosen:
        found = np.add.outer(found, np.arange(4, dtype=np.int32) * 4**digit).ravel()
    return found.astype(np.int32)
