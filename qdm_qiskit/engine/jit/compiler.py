"""Machine code that runs a long list of blocks and monomials on a tile, made when first asked for.

A tile is a state of a few samples, ``(rows, 2, lanes)``: each row one vector of real parts and one of
imaginary parts, 64 bytes each on the widest processors. Blocks are applied in place, wherever their
qubits are, so that no state is put into another order; and a whole run of steps works on one tile,
which stays in the core's cache.

LLVM writes the code for the processor at hand: a function for each size of block, some hundredths of a
second each. Nothing is kept on disk.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

from llvmlite import ir

from ...machine_code import compiled
from .emit_angles import AngleWriter
from .emit_gates import GateWriter
from .emit_run import RunWriter
from .emit_vectors import VectorWriter

__all__ = [
    "Kernels",
    "kernels",
]

_ONCE = threading.RLock()
"""Lock held while the process makes its only kernels; a cache alone lets threads make
more."""


class Kernels:
    """The functions for one precision and number of lanes.

    Args:
        double: float64, else float32.
        lanes: Samples of a tile.
    """

    def __init__(self, *, double: bool, lanes: int) -> None:
        self.lanes = lanes
        self.itemsize = 8 if double else 4
        vectors = VectorWriter(ir.DoubleType() if double else ir.FloatType(), lanes)
        self._gates, runs = GateWriter(vectors), RunWriter(vectors)
        self._angles = AngleWriter(vectors)
        self._made: dict[tuple[Any, ...], int] = {}
        self._lock = threading.Lock()
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 13)
        self.forward: Callable[..., None] = signature(self._address(runs.forward))
        """Run steps: states, results, batch, rows, first tile, end tile, table, number of steps,
        scratch, function, weights, count, values.

        States and results are addresses of ``(rows, batch)`` complex numbers. Scratch takes two tiles.
        The function, if not 0, is :meth:`expect`, for ``(count, rows)`` weights; values are ``(count,
        batch)`` real numbers, the batch filled up to whole tiles.
        """
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 16)
        self.backward: Callable[..., None] = signature(self._address(runs.backward))
        """Undo steps: final states, gradients, results, batch, rows, first tile, end tile, tables of
        steps and of readings, number of steps, scratch, sums, slopes, function, weights, count.

        Gradients are those of the final states or, where the function is :meth:`seed` and not 0, of the
        values that :attr:`forward` gives. Results are the gradients at the start. Scratch takes three
        tiles. Readings are added to the sums; slopes are ``(rows, batch)`` real numbers, the batch
        filled up to whole tiles.
        """

    @cached_property
    def prepare(self) -> Callable[..., float]:
        """Make the matrices of a whole program: angles, inputs, their strides by row and by column,
        number of inputs, weights, their stride, number of weights, batch, turns, numbers, entries,
        table.

        Angles are the address of :class:`.step_layout.AngleFields`; strides count numbers. Written are
        cosine and sine of each turn ``(2,)`` or, of the samples' own, ``(2, batch)``; numbers; entries
        ``(entries, batch)``; and the steps. The batch is filled up to whole tiles. Returned is 0.0 if
        all inputs and weights are finite, NaN if not.
        """
        signature = ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_int64] * 13)
        return signature(self._address(self._angles.prepare))

    @cached_property
    def pull_back(self) -> Callable[..., None]:
        """Write gradients of inputs and weights: angles, sums, slopes, batch, number of inputs, their
        gradients, number of weights, their gradients.

        Sums and slopes are those of :attr:`backward`, gradients ``(batch, number of inputs)`` and
        ``(number of weights,)``; a number of 0 leaves them out.
        """
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 8)
        return signature(self._address(self._angles.pull_back))

    @cached_property
    def spread(self) -> Callable[..., None]:
        """Copy gradients as :attr:`backward` reads them: from ``(batch, count)`` numbers, with strides
        by sample and by value; batch, count, and to ``(count, batch)``, with zeros up to whole tiles.
        Then a number of sums, which are set to 0.
        """
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 8)
        return signature(self._address(self._angles.spread))

    def apply(self, rows: int, *, real: bool, diagonal: bool = False, form: str = "forward") -> int:
        """Return the address of a function that applies a block of ``rows`` rows, or a diagonal one.

        ``form`` is that of the matrix: "forward", "transposed" or "adjoint".
        """
        return self._address(self._gates.apply, rows, real, diagonal, form)

    def overlap(self, rows: int, *, real: bool) -> int:
        """Return the address of one that adds ``sum state gradient^T`` to ``(rows, rows)`` numbers."""
        return self._address(self._gates.overlap, rows, real)

    def move(self, *, factors: str, conjugate: bool = False) -> int:
        """Return the address of one that moves rows: "none", "real" or "complex" factors."""
        return self._address(self._gates.move, factors, conjugate)

    def turn(self, *, factors: str, conjugate: bool = False) -> int:
        """Return the address of one that multiplies rows by "real" or "complex" factors."""
        return self._address(self._gates.turn, factors, conjugate)

    def products(self) -> int:
        """Return the address of one that adds ``sum state gradient`` of rows to ``(rows,)`` numbers."""
        return self._address(self._gates.products)

    def expect(self) -> int:
        """Return the address of one that sums weights times probabilities."""
        return self._address(self._gates.expect)

    def seed(self) -> int:
        """Return the address of one that makes the gradient of a state from that of such sums."""
        return self._address(self._gates.seed)

    def apply_each(self, rows: int, *, diagonal: bool, form: str = "forward") -> int:
        """Return the address of a function that applies a block of which each lane has its own."""
        return self._address(self._gates.apply_each, rows, diagonal, form)

    def slope(self, rows: int, *, diagonal: bool, each: bool) -> int:
        """Return the address of one that finds slopes along a generator, of each lane or of all."""
        return self._address(self._gates.slope, rows, diagonal, each)

    def _address(self, write: Callable[..., ir.Function], *arguments: Any) -> int:
        with self._lock:
            key = (write.__name__, *arguments)
            if key not in self._made:
                self._made[key] = compiled(write(*arguments))
            return self._made[key]


def kernels(*, double: bool, lanes: int) -> Kernels:
    """Return the functions of this process, the same for all of its threads."""
    with _ONCE:
        return _kernels(double, lanes)


@cache
def _kernels(double: bool, lanes: int) -> Kernels:
    return Kernels(double=double, lanes=lanes)
