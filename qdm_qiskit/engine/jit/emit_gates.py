"""Functions on one tile: blocks, monomials, and readings for gradients.

Source:
    The method is that of the GotoBLAS kernels (Goto and van de Geijn, "Anatomy of high-performance
    matrix multiplication", 2008): operands in registers, a panel in the cache.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ...machine_code import INT64, carrying, loop
from .emit_vectors import VectorWriter

__all__ = [
    "UNROLLED",
    "GateWriter",
]

UNROLLED = 8
"""Rows up to which blocks are written out; larger ones are loops over a few rows at a time."""


class GateWriter:
    """Writer of functions on one tile, each into a module of its own.

    Args:
        vectors: Writer of loads, products and stores.
    """

    def __init__(self, vectors: VectorWriter) -> None:
        self.vec = vectors

    def apply(self, rows: int, real: bool, diagonal: bool, form: str) -> ir.Function:
        """Write (tile, count, first rows, offsets, matrix or its diagonal): apply a block.

        The matrix is applied in its "forward" form, its "transposed", or its "adjoint".
        """
        function, b, (tile, count, first, offsets, matrix) = self.vec.tile_function("apply")
        if rows > UNROLLED:
            assert not diagonal, "large diagonal matrices are monomials"
            self._apply_large(b, rows, real, form, tile, count, first, offsets, matrix)
        else:
            each = [self.vec.index(b, offsets, k) for k in range(rows)]
            with loop(b, count) as k:
                base = self.vec.index(b, first, k)
                places = [b.add(base, offset) for offset in each]
                x = [self.vec.load(b, tile, place) for place in places]
                for r, place in enumerate(places):
                    total: tuple[Any, Any] = (None, None)
                    for c in [r] if diagonal else range(rows):
                        entry = r if diagonal else _entry(r, c, rows, form)
                        weight = self.vec.entry(b, matrix, INT64(entry), real)
                        weight = self.vec.conjugate(b, weight, form == "adjoint")
                        total = self.vec.add_product(b, total, weight, x[c])
                    self.vec.store(b, tile, place, total)
        b.ret_void()
        return function

    def _apply_large(
        self,
        b: ir.IRBuilder,
        rows: int,
        real: bool,
        form: str,
        tile: ir.Value,
        count: ir.Value,
        first: ir.Value,
        offsets: ir.Value,
        matrix: ir.Value,
    ) -> None:
        """Copy rows, then write four at a time, and the remainder one at a time."""
        copy = b.alloca(self.vec.vector, 2 * rows)
        copy.align = self.vec.align
        copy = b.bitcast(copy, ir.PointerType(self.vec.real))
        with loop(b, count) as k:
            base = self.vec.index(b, first, k)
            with loop(b, INT64(rows)) as c:
                self.vec.store(
                    b,
                    copy,
                    c,
                    self.vec.load(b, tile, b.add(base, self.vec.index(b, offsets, c))),
                )
            for start, step in _ranges(rows, 4):
                with loop(b, INT64((rows - start) // step)) as part:
                    r0 = b.add(INT64(start), b.mul(part, INT64(step)))
                    with carrying(b, INT64(rows), [self.vec.zero()] * (2 * step)) as (
                        c,
                        sums,
                        new,
                    ):
                        x = self.vec.load(b, copy, c)
                        for q in range(step):
                            r, width = b.add(r0, INT64(q)), INT64(rows)
                            high, low = (r, c) if form == "forward" else (c, r)
                            weight = self.vec.entry(b, matrix, b.add(b.mul(high, width), low), real)
                            weight = self.vec.conjugate(b, weight, form == "adjoint")
                            new += self.vec.add_product(
                                b, (sums[2 * q], sums[2 * q + 1]), weight, x
                            )
                    for q in range(step):
                        place = b.add(base, self.vec.index(b, offsets, b.add(r0, INT64(q))))
                        self.vec.store(b, tile, place, (sums[2 * q], sums[2 * q + 1]))

    def overlap(self, rows: int, real: bool) -> ir.Function:
        """Write (state, gradient, count, first rows, offsets, sums): add the overlap of both."""
        function, b, arguments = self.vec.tile_function("overlap")
        height, width = (4, 4) if real else (4, 2)
        if rows <= UNROLLED:
            numbers = [INT64(k) for k in range(rows)]
            for r0 in range(0, rows, height):
                for c0 in range(0, rows, width):
                    high, low = numbers[r0 : r0 + height], numbers[c0 : c0 + width]
                    self._overlap_panel(b, rows, real, arguments, high, low)
        else:
            for r_start, r_step in _ranges(rows, height):
                with loop(b, INT64((rows - r_start) // r_step)) as i:
                    r0 = b.add(INT64(r_start), b.mul(i, INT64(r_step)))
                    high = [b.add(r0, INT64(q)) for q in range(r_step)]
                    for c_start, c_step in _ranges(rows, width):
                        with loop(b, INT64((rows - c_start) // c_step)) as j:
                            c0 = b.add(INT64(c_start), b.mul(j, INT64(c_step)))
                            low = [b.add(c0, INT64(q)) for q in range(c_step)]
                            self._overlap_panel(b, rows, real, arguments, high, low)
        b.ret_void()
        return function

    def _overlap_panel(
        self,
        b: ir.IRBuilder,
        rows: int,
        real: bool,
        arguments: list[ir.Value],
        high: list[ir.Value],
        low: list[ir.Value],
    ) -> None:
        """Write the overlaps of some rows with some columns."""
        state, grad, count, first, offsets, out = arguments
        parts = 1 if real else 2
        pairs = [(r, c) for r in range(len(high)) for c in range(len(low))]
        above = [self.vec.index(b, offsets, r) for r in high]
        below = [self.vec.index(b, offsets, c) for c in low]
        with carrying(b, count, [self.vec.zero()] * (parts * len(pairs))) as (k, sums, new):
            base = self.vec.index(b, first, k)
            left = [self.vec.load(b, state, b.add(base, offset)) for offset in above]
            right = [self.vec.load(b, grad, b.add(base, offset)) for offset in below]
            for q, (r, c) in enumerate(pairs):
                x, y = left[r], right[c]
                re = self.vec.fma(b, x[0], y[0], sums[parts * q])
                new.append(self.vec.fma(b, self.vec.minus(b, x[1]), y[1], re))
                if not real:
                    im = self.vec.fma(b, x[0], y[1], sums[parts * q + 1])
                    new.append(self.vec.fma(b, x[1], y[0], im))
        for q, (r, c) in enumerate(pairs):
            entry = b.mul(b.add(b.mul(high[r], INT64(rows)), low[c]), INT64(parts))
            for part in range(parts):
                self.vec.add_to(b, out, b.add(entry, INT64(part)), sums[parts * q + part])

    def move(self, factors: str, conjugate: bool) -> ir.Function:
        """Write (from, to, rows, sources, factors, backward): move rows, or move them back."""
        function, b, arguments = self.vec.tile_function("move")
        here, there, count, source, values, back = arguments
        for backward in (False, True):
            chosen = b.icmp_signed("==", back, INT64(int(backward)))
            with b.if_then(chosen), loop(b, count) as k:
                other = self.vec.index(b, source, k)
                x = self.vec.load(b, here, k if backward else other)
                self.vec.store(
                    b,
                    there,
                    other if backward else k,
                    self.vec.turned(b, x, values, k, factors, conjugate),
                )
        b.ret_void()
        return function

    def turn(self, factors: str, conjugate: bool) -> ir.Function:
        """Write (tile, rows, unused, unused, factors): multiply rows by their factors."""
        function, b, (tile, count, _, _, values) = self.vec.tile_function("turn")
        with loop(b, count) as k:
            x = self.vec.load(b, tile, k)
            self.vec.store(b, tile, k, self.vec.turned(b, x, values, k, factors, conjugate))
        b.ret_void()
        return function

    def products(self) -> ir.Function:
        """Write (state, gradient, rows, unused, unused, sums): add the products of rows."""
        function, b, (state, grad, count, _, _, out) = self.vec.tile_function("products")
        with loop(b, count) as k:
            x, y = self.vec.load(b, state, k), self.vec.load(b, grad, k)
            product = self.vec.add_product(b, (None, None), x, y)
            for part in range(2):
                self.vec.add_to(b, out, b.add(b.mul(k, INT64(2)), INT64(part)), product[part])
        b.ret_void()
        return function

    def apply_each(self, rows: int, diagonal: bool, form: str) -> ir.Function:
        """Write (tile, count, first rows, offsets, entries, stride): apply each lane's own matrix.

        Entries are complex numbers, the lanes of one next to each other, and ``stride`` of them from
        entry to entry; a diagonal matrix has those of its diagonal only.
        """
        function, b, arguments = self.vec.tile_function("apply_each")
        tile, count, first, offsets, entries, stride = arguments
        width = rows if diagonal else rows**2
        matrix = []
        for k in range(width):
            start = b.gep(entries, [b.mul(b.mul(INT64(k), stride), INT64(2))])
            pair = self.vec.pairs_apart(b, start)
            matrix.append(self.vec.conjugate(b, pair, form == "adjoint"))
        each = [self.vec.index(b, offsets, k) for k in range(rows)]
        with loop(b, count) as k:
            base = self.vec.index(b, first, k)
            places = [b.add(base, offset) for offset in each]
            x = [self.vec.load(b, tile, place) for place in places]
            for r, place in enumerate(places):
                total: tuple[Any, Any] = (None, None)
                for c in [r] if diagonal else range(rows):
                    weight = matrix[r if diagonal else _entry(r, c, rows, form)]
                    total = self.vec.add_product(b, total, weight, x[c])
                self.vec.store(b, tile, place, total)
        b.ret_void()
        return function

    def slope(self, rows: int, diagonal: bool, each: bool) -> ir.Function:
        """Write (state, gradient, count, first rows, offsets, generator, slopes): add slopes.

        A slope is ``Re sum gradient^T X state``, of a generator X of ``(rows, rows)`` complex
        numbers, or of its diagonal. The sum over lanes is added to one number where all lanes share
        an angle.
        """
        function, b, arguments = self.vec.tile_function("slope")
        state, grad, count, first, offsets, generator, out = arguments
        distance = [self.vec.index(b, offsets, k) for k in range(rows)]
        entries = [(r, c) for r in range(rows) for c in ([r] if diagonal else range(rows))]
        factors = [self.vec.entry(b, generator, INT64(k), real=False) for k in range(len(entries))]
        with carrying(b, count, [self.vec.zero()]) as (k, carried, new):
            base = self.vec.index(b, first, k)
            x = [self.vec.load(b, state, b.add(base, offset)) for offset in distance]
            y = [self.vec.load(b, grad, b.add(base, offset)) for offset in distance]
            (total,) = carried
            for (r, c), factor in zip(entries, factors, strict=True):
                re, im = self.vec.add_product(b, (None, None), factor, x[c])
                total = self.vec.fma(b, re, y[r][0], total)
                total = self.vec.fma(b, self.vec.minus(b, im), y[r][1], total)
            new.append(total)
        if each:
            b.store(carried[0], self.vec.vector_at(b, out, INT64(0)), align=self.vec.bits // 8)
        else:
            self.vec.add_to(b, out, INT64(0), carried[0])
        b.ret_void()
        return function

    def expect(self) -> ir.Function:
        """Write (state, rows, weights, count, values, stride): sum weights times probabilities.

        Weights are ``(count, rows)`` real numbers; values ``stride`` from one to the next.
        """
        function, b, (state, rows, weights, count, values, stride) = self.vec.tile_function(
            "expect"
        )
        with loop(b, count) as k:
            start = b.mul(k, rows)
            with carrying(b, rows, [self.vec.zero()]) as (row, carried, new):
                re, im = self.vec.load(b, state, row)
                probability = self.vec.fma(b, re, re, b.fmul(im, im))
                weight = self.vec.scalar(b, weights, b.add(start, row))
                new.append(self.vec.fma(b, weight, probability, carried[0]))
            out = self.vec.vector_at(b, values, b.mul(k, stride))
            b.store(carried[0], out, align=self.vec.bits // 8)
        b.ret_void()
        return function

    def seed(self) -> ir.Function:
        """Write (state, gradient, rows, weights, count, cotangents, stride): the conjugate gradient."""
        function, b, arguments = self.vec.tile_function("seed")
        state, grad, rows, weights, count, cotangents, stride = arguments
        with loop(b, rows) as row:
            with carrying(b, count, [self.vec.zero()]) as (k, carried, new):
                weight = self.vec.scalar(b, weights, b.add(b.mul(k, rows), row))
                place = self.vec.vector_at(b, cotangents, b.mul(k, stride))
                cotangent = b.load(place, align=self.vec.bits // 8)
                new.append(self.vec.fma(b, weight, cotangent, carried[0]))
            re, im = self.vec.load(b, state, row)
            twice = b.fadd(carried[0], carried[0])
            self.vec.store(b, grad, row, (b.fmul(twice, re), self.vec.minus(b, b.fmul(twice, im))))
        b.ret_void()
        return function


def _entry(row: int, column: int, rows: int, form: str) -> int:
    """Return the place of an entry in a form of a matrix."""
    return row * rows + column if form == "forward" else column * rows + row


def _ranges(total: int, step: int) -> list[tuple[int, int]]:
    """Return where strides of this size begin, and strides of 1 over the remainder."""
    whole = total // step * step
    return [(0, step)] if whole == total else [(0, step), (whole, 1)]
