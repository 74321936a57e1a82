"""Functions on tiles: blocks, monomials, what is read for gradients; and whole runs of them.

Source:
    The method is that of the GotoBLAS kernels (Goto and van de Geijn, "Anatomy of high-performance
    matrix multiplication", 2008): operands in registers, a panel in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from .vector_code import INT64, VectorWriter, carrying, indices, loop, swap

UNROLLED = 8
"""Blocks of so many rows are written out; larger ones are loops over a few rows at a time."""
BLOCK, MOVE, TURN, GATE, EACH = range(5)
"""Kinds of steps: a block; a monomial that moves rows; one that does not; a gate with one angle; and
one of which each lane has its own."""
FIELDS = 8
"""Numbers that describe a step: see :class:`TileWriter`."""
READ_FIELDS = 3
"""Numbers that say what is read at a step."""


class TileWriter(VectorWriter):
    """Writes whole functions, each into a module of its own.

    A step of a run is eight numbers: its kind; count (how often the block is applied, or the rows of
    the tile); address of int32 numbers (the first row of each application, or the row that each row
    comes from); address of int32 numbers (for each row of the block what is added to the first);
    address of the matrix or factors; and addresses of the functions that apply it, its transpose, and
    its adjoint.

    What is read at it is three: address of the function or 0; where it goes, a place in the sums, or a
    row of the slopes; and address of the generator whose slope is read.
    """

    # ---- functions on one tile ----------------------------------------------------------------

    def apply(self, rows: int, real: bool, diagonal: bool, form: str) -> ir.Function:
        """(tile, count, first rows, offsets, matrix), or only the diagonal of a diagonal matrix.

        Of the matrix its "forward" form, its "transposed", or its "adjoint" is applied.
        """
        function, b, (tile, count, first, offsets, matrix) = self.tile_function("apply")
        if rows > UNROLLED:
            assert not diagonal, "large diagonal matrices are monomials"
            self._apply_large(b, rows, real, form, tile, count, first, offsets, matrix)
        else:
            each = [self.index(b, offsets, k) for k in range(rows)]
            with loop(b, count) as k:
                base = self.index(b, first, k)
                places = [b.add(base, offset) for offset in each]
                x = [self.load(b, tile, place) for place in places]
                for r, place in enumerate(places):
                    total: tuple[Any, Any] = (None, None)
                    for c in [r] if diagonal else range(rows):
                        entry = r if diagonal else _entry(r, c, rows, form)
                        weight = self.entry(b, matrix, INT64(entry), real)
                        weight = self.conjugate(b, weight, form == "adjoint")
                        total = self.add_product(b, total, weight, x[c])
                    self.store(b, tile, place, total)
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
                            r, width = b.add(r0, INT64(q)), INT64(rows)
                            high, low = (r, c) if form == "forward" else (c, r)
                            weight = self.entry(b, matrix, b.add(b.mul(high, width), low), real)
                            weight = self.conjugate(b, weight, form == "adjoint")
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

    def move(self, factors: str, conjugate: bool) -> ir.Function:
        """(from, to, rows, sources, factors, backward): forward, or back to where rows came from."""
        function, b, arguments = self.tile_function("move")
        here, there, count, source, values, back = arguments
        for backward in (False, True):
            chosen = b.icmp_signed("==", back, INT64(int(backward)))
            with b.if_then(chosen), loop(b, count) as k:
                other = self.index(b, source, k)
                x = self.load(b, here, k if backward else other)
                self.store(
                    b,
                    there,
                    other if backward else k,
                    self.turned(b, x, values, k, factors, conjugate),
                )
        b.ret_void()
        return function

    def turn(self, factors: str, conjugate: bool) -> ir.Function:
        """(tile, rows, unused, unused, factors)."""
        function, b, (tile, count, _, _, values) = self.tile_function("turn")
        with loop(b, count) as k:
            x = self.load(b, tile, k)
            self.store(b, tile, k, self.turned(b, x, values, k, factors, conjugate))
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

    def apply_each(self, rows: int, diagonal: bool, form: str) -> ir.Function:
        """(tile, count, first rows, offsets, entries, stride): each lane has a matrix of its own.

        Entries are complex numbers, the lanes of one next to each other, and ``stride`` of them from
        entry to entry; of a diagonal matrix only its diagonal.
        """
        function, b, arguments = self.tile_function("apply_each")
        tile, count, first, offsets, entries, stride = arguments
        width = rows if diagonal else rows**2
        matrix = []
        for k in range(width):
            start = b.gep(entries, [b.mul(b.mul(INT64(k), stride), INT64(2))])
            pair = self.pairs_apart(b, start)
            matrix.append(self.conjugate(b, pair, form == "adjoint"))
        each = [self.index(b, offsets, k) for k in range(rows)]
        with loop(b, count) as k:
            base = self.index(b, first, k)
            places = [b.add(base, offset) for offset in each]
            x = [self.load(b, tile, place) for place in places]
            for r, place in enumerate(places):
                total: tuple[Any, Any] = (None, None)
                for c in [r] if diagonal else range(rows):
                    weight = matrix[r if diagonal else _entry(r, c, rows, form)]
                    total = self.add_product(b, total, weight, x[c])
                self.store(b, tile, place, total)
        b.ret_void()
        return function

    def slope(self, rows: int, diagonal: bool, each: bool) -> ir.Function:
        """(state, gradient, count, first rows, offsets, generator, slopes): for each lane one number.

        It is ``Re sum gradient^T X state``, of a generator X of ``(rows, rows)`` complex numbers, or of
        its diagonal. Where all lanes share an angle, what they have in all is added to one number.
        """
        function, b, arguments = self.tile_function("slope")
        state, grad, count, first, offsets, generator, out = arguments
        distance = [self.index(b, offsets, k) for k in range(rows)]
        entries = [(r, c) for r in range(rows) for c in ([r] if diagonal else range(rows))]
        factors = [self.entry(b, generator, INT64(k), real=False) for k in range(len(entries))]
        with carrying(b, count, [self.zero()]) as (k, carried, new):
            base = self.index(b, first, k)
            x = [self.load(b, state, b.add(base, offset)) for offset in distance]
            y = [self.load(b, grad, b.add(base, offset)) for offset in distance]
            (total,) = carried
            for (r, c), factor in zip(entries, factors, strict=True):
                re, im = self.add_product(b, (None, None), factor, x[c])
                total = self.fma(b, re, y[r][0], total)
                total = self.fma(b, self.minus(b, im), y[r][1], total)
            new.append(total)
        if each:
            b.store(carried[0], self.vector_at(b, out, INT64(0)), align=self.bits // 8)
        else:
            self.add_to(b, out, INT64(0), carried[0])
        b.ret_void()
        return function

    def expect(self) -> ir.Function:
        """(state, rows, weights, count, values, stride): sums of weights times probabilities.

        Weights are ``(count, rows)`` real numbers; values ``stride`` from one to the next.
        """
        function, b, (state, rows, weights, count, values, stride) = self.tile_function("expect")
        with loop(b, count) as k:
            start = b.mul(k, rows)
            with carrying(b, rows, [self.zero()]) as (row, carried, new):
                re, im = self.load(b, state, row)
                probability = self.fma(b, re, re, b.fmul(im, im))
                weight = self.scalar(b, weights, b.add(start, row))
                new.append(self.fma(b, weight, probability, carried[0]))
            out = self.vector_at(b, values, b.mul(k, stride))
            b.store(carried[0], out, align=self.bits // 8)
        b.ret_void()
        return function

    def seed(self) -> ir.Function:
        """(state, gradient, rows, weights, count, cotangents, stride): the conjugate gradient."""
        function, b, arguments = self.tile_function("seed")
        state, grad, rows, weights, count, cotangents, stride = arguments
        with loop(b, rows) as row:
            with carrying(b, count, [self.zero()]) as (k, carried, new):
                weight = self.scalar(b, weights, b.add(b.mul(k, rows), row))
                place = self.vector_at(b, cotangents, b.mul(k, stride))
                cotangent = b.load(place, align=self.bits // 8)
                new.append(self.fma(b, weight, cotangent, carried[0]))
            re, im = self.load(b, state, row)
            twice = b.fadd(carried[0], carried[0])
            self.store(b, grad, row, (b.fmul(twice, re), self.minus(b, b.fmul(twice, im))))
        b.ret_void()
        return function

    # ---- functions on many steps --------------------------------------------------------------

    def forward(self) -> ir.Function:
        """See :attr:`Kernels.forward`."""
        function, b = self.function("forward", 13)
        source, result, batch, rows, first, end, table, steps, scratch, *readout = function.args
        expect, weights, values_count, values = readout
        size = b.mul(rows, INT64(2 * self.align))
        stride = self._padded(b, batch)
        here, there = (b.alloca(INT64) for _ in range(2))
        b.store(scratch, here)
        b.store(b.add(scratch, size), there)
        with loop(b, end, first) as tile:
            self._read_tile(b, source, b.load(here), batch, rows, tile, conjugate=False)
            lane = b.mul(tile, INT64(2 * self.align))
            with loop(b, steps) as k:
                fields = self._fields(b, table, k, FIELDS)
                kind, count, source_, offsets, matrix, apply, _, _ = fields
                state = b.load(here)
                block, moves, gate, each, last = self._cases(b, kind)
                with block:
                    self._call(b, apply, state, count, source_, offsets, matrix)
                with moves:
                    self._call(b, apply, state, b.load(there), count, source_, matrix, INT64(0))
                    swap(b, here, there)
                with gate:
                    self._call(b, apply, state, count, source_, offsets, matrix)
                with each:
                    own = b.add(matrix, lane)
                    self._call(b, apply, state, count, source_, offsets, own, stride)
                b.position_at_end(last)
            self._write_tile(b, result, b.load(here), batch, rows, tile, conjugate=False)
            with b.if_then(b.icmp_signed("!=", expect, INT64(0))):
                own = self._own(b, values, tile)
                arguments = (b.load(here), rows, weights, values_count, own, stride)
                self._call(b, expect, *arguments)
        b.ret_void()
        return function

    def backward(self) -> ir.Function:
        """See :attr:`Kernels.backward`."""
        function, b = self.function("backward", 16)
        final, grads, result, batch, rows, first, end, table, reads, steps, *memory = function.args
        scratch, sums, slopes, seed, weights, values_count = memory
        size = b.mul(rows, INT64(2 * self.align))
        stride = self._padded(b, batch)
        state, grad, spare = (b.alloca(INT64) for _ in range(3))
        for k, place in enumerate((state, grad, spare)):
            b.store(b.add(scratch, b.mul(size, INT64(k))), place)
        with loop(b, end, first) as tile:
            self._read_tile(b, final, b.load(state), batch, rows, tile, conjugate=False)
            with b.if_else(b.icmp_signed("==", seed, INT64(0))) as (from_states, from_values):
                with from_states:
                    self._read_tile(b, grads, b.load(grad), batch, rows, tile, conjugate=True)
                with from_values:
                    own = self._own(b, grads, tile)
                    arguments = (rows, weights, values_count, own, stride)
                    self._call(b, seed, b.load(state), b.load(grad), *arguments)
            lane = b.mul(tile, INT64(2 * self.align))
            with loop(b, steps) as k:
                place = b.sub(b.sub(steps, k), INT64(1))
                fields = self._fields(b, table, place, FIELDS)
                kind, count, source, offsets, matrix, _, transposed, adjoint = fields
                both = ((grad, transposed), (state, adjoint))
                read, where, generator = self._fields(b, reads, place, READ_FIELDS)
                wanted = b.icmp_signed("!=", read, INT64(0))
                into = b.add(sums, b.mul(where, INT64(self.bits // 8)))
                # Gradients of blocks are read at the state before them, of monomials at that after.
                monomial = b.or_(
                    b.icmp_signed("==", kind, INT64(MOVE)), b.icmp_signed("==", kind, INT64(TURN))
                )
                with b.if_then(b.and_(wanted, monomial)):
                    self._call(b, read, b.load(state), b.load(grad), count, source, offsets, into)
                block, moves, gate, each, last = self._cases(b, kind)
                with block:
                    for tensor, apply in both:
                        self._call(b, apply, b.load(tensor), count, source, offsets, matrix)
                    with b.if_then(b.and_(wanted, b.not_(monomial))):
                        self._call(
                            b, read, b.load(state), b.load(grad), count, source, offsets, into
                        )
                with moves:
                    for tensor, apply in both:
                        arguments = (b.load(tensor), b.load(spare), count, source, matrix)
                        self._call(b, apply, *arguments, INT64(1))
                        swap(b, tensor, spare)
                with gate:
                    for tensor, apply in both:
                        self._call(b, apply, b.load(tensor), count, source, offsets, matrix)
                    with b.if_then(wanted):
                        found = (b.load(state), b.load(grad), count, source, offsets, generator)
                        self._call(b, read, *found, into)
                with each:
                    own = b.add(matrix, lane)
                    for tensor, apply in both:
                        self._call(b, apply, b.load(tensor), count, source, offsets, own, stride)
                    row = b.add(b.mul(where, stride), b.mul(tile, INT64(self.lanes)))
                    out = b.add(slopes, b.mul(row, INT64(self.bits // 8)))
                    with b.if_then(wanted):
                        found = (b.load(state), b.load(grad), count, source, offsets, generator)
                        self._call(b, read, *found, out)
                b.position_at_end(last)
            self._write_tile(b, result, b.load(grad), batch, rows, tile, conjugate=True)
        b.ret_void()
        return function

    def _cases(self, b: ir.IRBuilder, kind: ir.Value) -> tuple[Any, Any, Any, Any, ir.Block]:
        """Where to write what is done for blocks and turns, moves, gates, and per-sample gates."""
        function = b.function
        block, *others, last = (function.append_basic_block() for _ in range(5))
        switch = b.switch(kind, block)
        for number, place in zip((MOVE, GATE, EACH), others, strict=True):
            switch.add_case(INT64(number), place)
        move, gate, each = (_case(b, place, last) for place in others)
        return _case(b, block, last), move, gate, each, last

    def _own(self, b: ir.IRBuilder, values: ir.Value, tile: ir.Value) -> ir.Value:
        """Address of a tile's part of a row of real numbers."""
        return b.add(values, b.mul(tile, INT64(self.align)))

    def _padded(self, b: ir.IRBuilder, batch: ir.Value) -> ir.Value:
        """The batch, filled up to whole tiles."""
        more = b.add(batch, INT64(self.lanes - 1))
        return b.sub(more, b.srem(more, INT64(self.lanes)))

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
            re, im = self.pairs_apart(b, here)
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


@contextmanager
def _case(b: ir.IRBuilder, place: ir.Block, last: ir.Block) -> Iterator[None]:
    b.position_at_end(place)
    yield
    b.branch(last)


def _entry(row: int, column: int, rows: int, form: str) -> int:
    """Where an entry of a form of a matrix stands."""
    return row * rows + column if form == "forward" else column * rows + row


def _parts(total: int, step: int) -> list[tuple[int, int]]:
    """Where steps of this size begin, and steps of 1 for what they leave over."""
    whole = total // step * step
    return [(0, step)] if whole == total else [(0, step), (whole, 1)]
