"""Machine code that runs blocks on real vectors over Pauli strings, made when first asked for.

Where parts stand in such a vector, and blocks in a part, is in the tables of :mod:`.column_parts`;
what is run is a list of records, the address of a function and its seven arguments each.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir

from ...machine_code import compiled, widest
from .emit_columns import ColumnWriter
from .emit_products import ProductWriter
from .emit_vectors import VectorWriter

__all__ = ["ColumnKernels", "column_kernels"]

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
