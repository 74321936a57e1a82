"""Machine code that runs blocks on real vectors over Pauli strings, made when first asked for.

Where the blocks stand in such a vector is in the tables of :func:`places`; what is run is a list of
records, the address of a function and its seven arguments each.
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
from .emit_columns import ColumnWriter, Mode
from .emit_vectors import VectorWriter

__all__ = [
    "LEAST_DIGITS",
    "ColumnKernels",
    "Places",
    "column_kernels",
    "places",
]

LEAST_DIGITS = 4
"""Digits of the shortest vector: a tile of two rows' digits and two lanes."""
_ONCE = threading.RLock()


class ColumnKernels:
    """The functions for one precision.

    Args:
        double: float64, else float32.
    """

    def __init__(self, *, double: bool) -> None:
        self.itemsize = 8 if double else 4
        real = ir.DoubleType() if double else ir.FloatType()
        self._writer = ColumnWriter(VectorWriter(real, widest() // self.itemsize))
        self._made: dict[tuple[Any, ...], int] = {}
        self._lock = threading.Lock()
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)
        self.run: Callable[[int, int, int], None] = signature(self.address("run"))
        """Run records: the table's address, the first and the end."""

    @property
    def panel(self) -> tuple[int, int]:
        """Rows and columns that are next to each other in the sums of gradients."""
        return self._writer.panel

    def address(self, name: str, *arguments: Any) -> int:
        """Return the address of a function of :class:`.emit_columns.ColumnWriter`."""
        with self._lock:
            key = (name, *arguments)
            if key not in self._made:
                self._made[key] = compiled(getattr(self._writer, name)(*arguments))
            return self._made[key]

    def in_order(self, sums: Any, rows: int) -> Any:
        """Return sums of gradients ``(count, rows**2)``, as ``(count, rows, rows)``."""
        high, low = self.panel
        split = sums.reshape(-1, rows // high, rows // low, high, low)
        return split.permute(0, 1, 3, 2, 4).reshape(-1, rows, rows)


def column_kernels(*, double: bool) -> ColumnKernels:
    """Return the functions of this process, the same for all of its threads."""
    with _ONCE:
        return _kernels(double)


@cache
def _kernels(double: bool) -> ColumnKernels:
    return ColumnKernels(double=double)


class Places:
    """Where the tiles of a block stand in a vector.

    Attributes:
        mode: How a tile is brought into a buffer.
        bases: ``(tiles,)`` int32.
        places: int32: what :class:`.emit_columns.ColumnWriter` reads for the mode.
    """

    def __init__(self, mode: Mode, bases: np.ndarray, places: np.ndarray) -> None:
        self.mode, self.bases, self.places = mode, bases, places


@cache
def places(digits: int, block: tuple[int, ...]) -> Places:
    """Return where the tiles of a block stand.

    Args:
        digits: Those of the vector, at least :data:`LEAST_DIGITS`; digit k counts ``4**k``.
        block: One or two of them, the first the more significant in the block's matrix.
    """
    free = [d for d in range(digits) if d not in block]
    low, high = free[:2]  # lanes: the smallest, since they should lie next to each other
    bases = _offsets(tuple(reversed(free[2:])))
    rows = _offsets(block)
    if 0 not in block and 1 not in block:
        return Places("runs", bases, rows)
    if 0 not in block:
        return Places(
            "pieces", bases, np.add.outer(rows, _offsets((high,))).ravel().astype(np.int32)
        )
    others = tuple(d for d in block if d != 0)
    outside = np.add.outer(np.add.outer(_offsets(others), _offsets((high,))), _offsets((low,)))
    # Row of the matrix for each number of the other digit and of digit 0.
    weight = {d: 4 ** (len(block) - 1 - k) for k, d in enumerate(block)}
    other_rows = np.arange(4) * weight[others[0]] if others else np.zeros(1, np.int64)
    inside = np.add.outer(other_rows, np.arange(4) * weight[0])
    joined = np.concatenate([outside.ravel(), inside.ravel()]).astype(np.int32)
    return Places("crossed", bases, joined)


def _offsets(chosen: Sequence[int]) -> np.ndarray:
    """Return the offsets of all numbers of some digits, the first the most significant."""
    found = np.zeros(1, np.int32)
    for digit in chosen:
        found = np.add.outer(found, np.arange(4, dtype=np.int32) * 4**digit).ravel()
    return found.astype(np.int32)
