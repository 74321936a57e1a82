"""Functions on tiles: blocks, monomials, what is read for gradients; and whole runs of them.

Source:
    The method is that of the GotoBLAS kernels (Goto and van de Geijn, "Anatomy of high-performance
    matrix multiplication", 2008): operands in registers, a panel in the cache.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from .vector_code import INT64, VectorWriter, carrying, indices, loop, swap

UNROLLED = 8
"""Blocks of so many rows are written out; larger ones are loops over a few rows at a time."""
FIELDS = 8
"""Numbers that describe a step: see :class:`TileWriter`."""
READ_FIELDS = 2
"""Numbers that say what is read at a step."""


class TileWriter(VectorWriter):
    """Writes whole functions, each into a module of its own.

    A step of a run is eight numbers: kind (0 for a block, 1 for a monomial that moves rows, 2 for one
    that does not); count (how often the block is applied, or the rows of the tile); address of int32
    numbers (the first row of each application, or the row that each row comes from); address of int32
    numbers (for each row of the block what is added to the first); address of the function; and
    addresses of the matrix or factors, of its transpose, and of its adjoint.

    What is read at it is two: address of the function or 0, and where in the sums it is added.
    """

    # ---- functions on one tile ----------------------------------------------------------------

    def apply(self, rows: int, real: bool) -> ir.Function:
        """(tile, count, first rows, offsets, matrix)."""
        function, b, (tile, count, first, offsets, matrix) = self.tile_function("apply")
        if rows > UNROLLED:
            self._apply_large(b, rows, real, tile, count, first, offsets, matrix)
        else:
            each = [self.index(b, offsets, k) for k in range(rows)]
            with loop(b, count) as k:
                base = self.index(b, first, k)
                places = [b.add(base, offset) for offset in each]
                x = [self.load(b, tile, place) for place in places]
                for r, place in enumerate(places):
                    total: tuple[Any, Any] = (None, None)
                    for c in range(rows):
                        weight = self.entry(b, matrix, INT64(r * rows + c), real)
                        total = self.add_product(b, total, weight, x[c])
                    self.store(b, tile, place, total)
        b.ret_void()
        return function

    def _apply_large(
        self,
        b: ir.IRBuilder,
        rows: int,
        real: bool,
        tile: ir.Value,
        count: ir.Value,
        first: ir.Value,
        offsets: ir.Value,
        matrix: ir.Value,
    ) -> None:
        """Rows are copied, then four at a time are written; what is left over, one at a time."""
        copy = b.alloca(self.vector, 2 * rows)
        copy.align = self.align
        copy = b.bitcast(copy, ir.PointerType(self.real))
        with loop(b, count) as k:
            base = self.index(b, first, k)
            with loop(b, INT64(rows)) as c:
                self.store(b, copy, c, self.load(b, tile, b.add(base, self.index(b, offsets, c))))
            for start, step in _parts(rows, 4):
                with loop(b, INT64((rows - start) // step)) as part:
                    r0 = b.add(INT64(start), b.mul(part, INT64(step)))
                    with carrying(b, INT64(rows), [self.zero()] * (2 * step)) as (c, sums, new):
                        x = self.load(b, copy, c)
                        for q in range(step):
                            entry = b.add(b.mul(b.add(r0, INT64(q)), INT64(rows)), c)
                            weight = self.entry(b, matrix, entry, real)
                            new += self.add_product(b, (sums[2 * q], sums[2 * q + 1]), weight, x)
                    for q in range(step):
                        place = b.add(base, self.index(b, offsets, b.add(r0, INT64(q))))
                        self.store(b, tile, place, (sums[2 * q], sums[2 * q + 1]))

    def overlap(self, rows: int, real: bool) -> ir.Function:
        """(state, gradient, count, first rows, offsets, sums): one address more than the others."""
        function, b, arguments = self.tile_function("overlap")
        height, width = (4, 4) if real else (4, 2)
        if rows <= UNROLLED:
            numbers = [INT64(k) for k in range(rows)]
            for r0 in range(0, rows, height):
                for c0 in range(0, rows, width):
                    high, low = numbers[r0 : r0 + height], numbers[c0 : c0 + width]
                    self._overlap_part(b, rows, real, arguments, high, low)
        else:
            for r_start, r_step in _parts(rows, height):
                with loop(b, INT64((rows - r_start) // r_step)) as i:
                    r0 = b.add(INT64(r_start), b.mul(i, INT64(r_step)))
                    high = [b.add(r0, INT64(q)) for q in range(r_step)]
                    for c_start, c_step in _parts(rows, width):
                        with loop(b, INT64((rows - c_start) // c_step)) as j:
                            c0 = b.add(INT64(c_start), b.mul(j, INT64(c_step)))
                            low = [b.add(c0, INT64(q)) for q in range(c_step)]
                            self._overlap_part(b, rows, real, arguments, high, low)
        b.ret_void()
        return function

    def _overlap_part(
        self,
        b: ir.IRBuilder,
        rows: int,
        real: bool,
        arguments: list[ir.Value],
        high: list[ir.Value],
        low: list[ir.Value],
    ) -> None:
        """Some rows against some columns."""
        state, grad, count, first, offsets, out = arguments
        parts = 1 if real else 2
        pairs = [(r, c) for r in range(len(high)) for c in range(len(low))]
        above = [self.index(b, offsets, r) for r in high]
        below = [self.index(b, offsets, c) for c in low]
        with carrying(b, count, [self.zero()] * (parts * len(pairs))) as (k, sums, new):
            base = self.index(b, first, k)
            left = [self.load(b, state, b.add(base, offset)) for offset in above]
            right = [self.load(b, grad, b.add(base, offset)) for offset in below]
            for q, (r, c) in enumerate(pairs):
                x, y = left[r], right[c]
                re = self.fma(b, x[0], y[0], sums[parts * q])
                new.append(self.fma(b, self.minus(b, x[1]), y[1], re))
                if not real:
                    im = self.fma(b, x[0], y[1], sums[parts * q + 1])
                    new.append(self.fma(b, x[1], y[0], im))
        for q, (r, c) in enumerate(pairs):
            entry = b.mul(b.add(b.mul(high[r], INT64(rows)), low[c]), INT64(parts))
            for part in range(parts):
                self.add_to(b, out, b.add(entry, INT64(part)), sums[parts * q + part])

    def move(self, factors: str) -> ir.Function:
        """(from, to, rows, sources, factors, backward): to the tile, or back from it."""
        function, b, arguments = self.tile_function("move")
        here, there, count, source, values, back = arguments
        for backward in (False, True):
            chosen = b.icmp_signed("==", back, INT64(int(backward)))
            with b.if_then(chosen), loop(b, count) as k:
                other = self.index(b, source, k)
                x = self.load(b, here, k if backward else other)
                self.store(
                    b, there, other if backward else k, self.turned(b, x, values, k, factors)
                )
        b.ret_void()
        return function

    def turn(self, factors: str) -> ir.Function:
        """(tile, rows, unused, unused, factors)."""
        function, b, (tile, count, _, _, values) = self.tile_function("turn")
        with loop(b, count) as k:
            x = self.load(b, tile, k)
            self.store(b, tile, k, self.turned(b, x, values, k, factors))
        b.ret_void()
        return function

    def products(self) -> ir.Function:
        """(state, gradient, rows, unused, unused, sums)."""
        function, b, (state, grad, count, _, _, out) = self.tile_function("products")
        with loop(b, count) as k:
            x, y = self.load(b, state, k), self.load(b, grad, k)
            product = self.add_product(b, (None, None), x, y)
            for part in range(2):
                self.add_to(b, out, b.add(b.mul(k, INT64(2)), INT64(part)), product[part])
        b.ret_void()
        return function

    # ---- functions on many steps --------------------------------------------------------------

    def forward(self) -> ir.Function:
        """See :attr:`Kernels.forward`."""
        function, b = self.function("forward", 9)
        source, result, batch, rows, first, end, table, steps, scratch = function.args
        size = b.mul(rows, INT64(2 * self.align))
        here, there = (b.alloca(INT64) for _ in range(2))
        b.store(scratch, here)
        b.store(b.add(scratch, size), there)
        with loop(b, end, first) as tile:
            self._read_tile(b, source, b.load(here), batch, rows, tile, conjugate=False)
            with loop(b, steps) as k:
                step = self._fields(b, table, k, FIELDS)
                with b.if_else(b.icmp_signed("==", step[0], INT64(1))) as (moves, stays):
                    with moves:
                        self._call(
                            b,
                            step[4],
                            b.load(here),
                            b.load(there),
                            step[1],
                            step[2],
                            step[5],
                            INT64(0),
                        )
                        swap(b, here, there)
                    with stays:
                        self._call(b, step[4], b.load(here), *step[1:4], step[5])
            self._write_tile(b, result, b.load(here), batch, rows, tile, conjugate=False)
        b.ret_void()
        return function

    def backward(self) -> ir.Function:
        """See :attr:`Kernels.backward`."""
        function, b = self.function("backward", 12)
        (final, grads, result, batch, rows, first, end, table, reads, steps, scratch, sums) = (
            function.args
        )
        size = b.mul(rows, INT64(2 * self.align))
        state, grad, spare = (b.alloca(INT64) for _ in range(3))
        for k, place in enumerate((state, grad, spare)):
            b.store(b.add(scratch, b.mul(size, INT64(k))), place)
        with loop(b, end, first) as tile:
            self._read_tile(b, final, b.load(state), batch, rows, tile, conjugate=False)
            self._read_tile(b, grads, b.load(grad), batch, rows, tile, conjugate=True)
            with loop(b, steps) as k:
                place = b.sub(b.sub(steps, k), INT64(1))
                kind, count, source, offsets, apply, _, conjugate, adjoint = self._fields(
                    b, table, place, FIELDS
                )
                read, where = self._fields(b, reads, place, READ_FIELDS)
                into = b.add(sums, b.mul(where, INT64(self.bits // 8)))
                wanted = b.icmp_signed("!=", read, INT64(0))
                block = b.icmp_signed("==", kind, INT64(0))
                with b.if_then(b.and_(wanted, b.not_(block))):
                    self._call(b, read, b.load(state), b.load(grad), count, source, offsets, into)
                with b.if_else(b.icmp_signed("==", kind, INT64(1))) as (moves, stays):
                    with moves:
                        for each, factors in ((state, adjoint), (grad, conjugate)):
                            self._call(
                                b,
                                apply,
                                b.load(each),
                                b.load(spare),
                                count,
                                source,
                                factors,
                                INT64(1),
                            )
                            swap(b, each, spare)
                    with stays:
                        self._call(b, apply, b.load(grad), count, source, offsets, conjugate)
                        self._call(b, apply, b.load(state), count, source, offsets, adjoint)
                with b.if_then(b.and_(wanted, block)):
                    self._call(b, read, b.load(state), b.load(grad), count, source, offsets, into)
            self._write_tile(b, result, b.load(grad), batch, rows, tile, conjugate=True)
        b.ret_void()
        return function

    def _fields(
        self, b: ir.IRBuilder, table: ir.Value, row: ir.Value, fields: int
    ) -> list[ir.Value]:
        pointer = b.inttoptr(table, ir.PointerType(INT64))
        start = b.mul(row, INT64(fields))
        return [b.load(b.gep(pointer, [b.add(start, INT64(k))])) for k in range(fields)]

    def _call(self, b: ir.IRBuilder, address: ir.Value, *arguments: ir.Value) -> None:
        kind = ir.FunctionType(ir.VoidType(), [INT64] * len(arguments))
        b.call(b.inttoptr(address, kind.as_pointer()), arguments)

    def _lanes_used(self, b: ir.IRBuilder, batch: ir.Value, tile: ir.Value) -> tuple[Any, Any]:
        """The first sample of a tile, and how many there are."""
        start = b.mul(tile, INT64(self.lanes))
        left = b.sub(batch, start)
        return start, b.select(b.icmp_signed("<", left, INT64(self.lanes)), left, INT64(self.lanes))

    def _read_tile(
        self,
        b: ir.IRBuilder,
        source: ir.Value,
        tile: ir.Value,
        batch: ir.Value,
        rows: ir.Value,
        number: ir.Value,
        *,
        conjugate: bool,
    ) -> None:
        """Samples from ``(rows, batch)`` complex numbers; lanes without a sample are zero."""
        buffer = self.buffer(b)
        for part in range(2):
            self.put(b, buffer, part, self.zero())
        source = b.inttoptr(source, ir.PointerType(self.real))
        tile = b.inttoptr(tile, ir.PointerType(self.real))
        start, used = self._lanes_used(b, batch, number)
        full = b.icmp_signed("==", used, INT64(self.lanes))
        with loop(b, rows) as row:
            here = b.gep(source, [b.mul(b.add(b.mul(row, batch), start), INT64(2))])
            with b.if_then(b.not_(full)), loop(b, b.mul(used, INT64(2))) as k:
                b.store(b.load(b.gep(here, [k])), b.gep(buffer, [k]))
            here = b.select(full, here, buffer)
            halves = [
                b.load(self.vector_at(b, here, INT64(part * self.lanes)), align=self.bits // 8)
                for part in range(2)
            ]
            re, im = (
                b.shuffle_vector(*halves, indices(range(part, 2 * self.lanes, 2)))
                for part in range(2)
            )
            self.store(b, tile, row, (re, self.minus(b, im) if conjugate else im))

    def _write_tile(
        self,
        b: ir.IRBuilder,
        result: ir.Value,
        tile: ir.Value,
        batch: ir.Value,
        rows: ir.Value,
        number: ir.Value,
        *,
        conjugate: bool,
    ) -> None:
        """The reverse of :meth:`_read_tile`."""
        buffer = self.buffer(b)
        result = b.inttoptr(result, ir.PointerType(self.real))
        tile = b.inttoptr(tile, ir.PointerType(self.real))
        start, used = self._lanes_used(b, batch, number)
        full = b.icmp_signed("==", used, INT64(self.lanes))
        with loop(b, rows) as row:
            there = b.gep(result, [b.mul(b.add(b.mul(row, batch), start), INT64(2))])
            re, im = self.load(b, tile, row)
            pair = (re, self.minus(b, im) if conjugate else im)
            target = b.select(full, there, buffer)
            for part in range(2):
                half = range(part * self.lanes // 2, (part + 1) * self.lanes // 2)
                mixed = b.shuffle_vector(
                    *pair, indices(k + self.lanes * side for k in half for side in range(2))
                )
                place = self.vector_at(b, target, INT64(part * self.lanes))
                b.store(mixed, place, align=self.bits // 8)
            with b.if_then(b.not_(full)), loop(b, b.mul(used, INT64(2))) as k:
                b.store(b.load(b.gep(buffer, [k])), b.gep(there, [k]))


def _parts(total: int, step: int) -> list[tuple[int, int]]:
    """Where steps of this size begin, and steps of 1 for what they leave over."""
    whole = total // step * step
    return [(0, step)] if whole == total else [(0, step), (whole, 1)]
