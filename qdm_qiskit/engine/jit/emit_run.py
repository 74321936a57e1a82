"""Functions that run many steps on a tile, forward and back, before they take the next tile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from .emit_gates import TileWriter
from .emit_vectors import INT64, indices, loop, swap

BLOCK, MOVE, TURN, GATE, EACH = range(5)
"""Kinds of steps: a block; a monomial that moves rows; one that does not; a gate with one angle; and
one of which each lane has its own."""
FIELDS = 8
"""Numbers that describe a step: see :class:`TileWriter`."""
READ_FIELDS = 3
"""Numbers that say what is read at a step."""


class RunWriter(TileWriter):
    """Writes also the functions that run steps.

    A step of a run is eight numbers: its kind; count (how often the block is applied, or the rows of
    the tile); address of int32 numbers (the first row of each application, or the row that each row
    comes from); address of int32 numbers (for each row of the block what is added to the first);
    address of the matrix or factors; and addresses of the functions that apply it, its transpose, and
    its adjoint.

    What is read at it is three: address of the function or 0; where it goes, a place in the sums, or a
    row of the slopes; and address of the generator whose slope is read.
    """

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
