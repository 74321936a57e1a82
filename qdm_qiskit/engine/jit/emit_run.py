"""Functions that run many steps on a tile, forward and back, before they take the next tile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from ...machine_code import INT64, loop
from .emit_vectors import VectorWriter, swap
from .step_layout import ReadingFields, StepFields, StepKind

__all__ = [
    "RunWriter",
]


class RunWriter:
    """Writer of the functions that run steps, as the tables of :mod:`.step_layout` describe them.

    Args:
        vectors: Writer of loads, products and stores.
    """

    def __init__(self, vectors: VectorWriter) -> None:
        self.vec = vectors

    def forward(self) -> ir.Function:
        """See :attr:`Kernels.forward`."""
        function, b = self.vec.function("forward", 13)
        source, result, batch, rows, first, end, table, steps, scratch, *readout = function.args
        expect, weights, values_count, values = readout
        size = b.mul(rows, INT64(2 * self.vec.align))
        stride = self._padded(b, batch)
        here, there = (b.alloca(INT64) for _ in range(2))
        b.store(scratch, here)
        b.store(b.add(scratch, size), there)
        with loop(b, end, first) as tile:
            self._read_tile(b, source, b.load(here), batch, rows, tile, conjugate=False)
            lane = b.mul(tile, INT64(2 * self.vec.align))
            with loop(b, steps) as k:
                step = StepFields(*self._fields(b, table, k, len(StepFields._fields)))
                where = step.count, step.rows, step.offsets
                state = b.load(here)
                block, moves, gate, own_gate, last = self._cases(b, step.kind)
                with block:
                    self._call(b, step.forward, state, *where, step.matrix)
                with moves:
                    move = state, b.load(there), step.count, step.rows, step.matrix
                    self._call(b, step.forward, *move, INT64(0))
                    swap(b, here, there)
                with gate:
                    self._call(b, step.forward, state, *where, step.matrix)
                with own_gate:
                    own = b.add(step.matrix, lane)
                    self._call(b, step.forward, state, *where, own, stride)
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
        function, b = self.vec.function("backward", 16)
        final, grads, result, batch, rows, first, end, table, readings, steps, *memory = (
            function.args
        )
        scratch, sums, slopes, seed, weights, values_count = memory
        size = b.mul(rows, INT64(2 * self.vec.align))
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
            lane = b.mul(tile, INT64(2 * self.vec.align))
            with loop(b, steps) as k:
                place = b.sub(b.sub(steps, k), INT64(1))
                step = StepFields(*self._fields(b, table, place, len(StepFields._fields)))
                where = step.count, step.rows, step.offsets
                both = ((grad, step.transposed), (state, step.adjoint))
                reading = ReadingFields(
                    *self._fields(b, readings, place, len(ReadingFields._fields))
                )
                wanted = b.icmp_signed("!=", reading.function, INT64(0))
                into = b.add(sums, b.mul(reading.place, INT64(self.vec.bits // 8)))
                # Gradients of blocks are read at the state before them, of monomials at that after.
                monomial = b.or_(
                    b.icmp_signed("==", step.kind, INT64(StepKind.MOVE)),
                    b.icmp_signed("==", step.kind, INT64(StepKind.TURN)),
                )
                with b.if_then(b.and_(wanted, monomial)):
                    self._call(b, reading.function, b.load(state), b.load(grad), *where, into)
                block, moves, gate, own_gate, last = self._cases(b, step.kind)
                with block:
                    for tensor, apply in both:
                        self._call(b, apply, b.load(tensor), *where, step.matrix)
                    with b.if_then(b.and_(wanted, b.not_(monomial))):
                        self._call(b, reading.function, b.load(state), b.load(grad), *where, into)
                with moves:
                    for tensor, apply in both:
                        move = b.load(tensor), b.load(spare), step.count, step.rows, step.matrix
                        self._call(b, apply, *move, INT64(1))
                        swap(b, tensor, spare)
                with gate:
                    for tensor, apply in both:
                        self._call(b, apply, b.load(tensor), *where, step.matrix)
                    with b.if_then(wanted):
                        found = (b.load(state), b.load(grad), *where, reading.generator)
                        self._call(b, reading.function, *found, into)
                with own_gate:
                    own = b.add(step.matrix, lane)
                    for tensor, apply in both:
                        self._call(b, apply, b.load(tensor), *where, own, stride)
                    first_lane = b.mul(tile, INT64(self.vec.lanes))
                    row = b.add(b.mul(reading.place, stride), first_lane)
                    out = b.add(slopes, b.mul(row, INT64(self.vec.bits // 8)))
                    with b.if_then(wanted):
                        found = (b.load(state), b.load(grad), *where, reading.generator)
                        self._call(b, reading.function, *found, out)
                b.position_at_end(last)
            self._write_tile(b, result, b.load(grad), batch, rows, tile, conjugate=True)
        b.ret_void()
        return function

    def _cases(self, b: ir.IRBuilder, kind: ir.Value) -> tuple[Any, Any, Any, Any, ir.Block]:
        """Return where to write the code for blocks and turns, moves, gates, and samples' own gates."""
        function = b.function
        block, *others, last = (function.append_basic_block() for _ in range(5))
        switch = b.switch(kind, block)
        kinds = StepKind.MOVE, StepKind.GATE, StepKind.OWN_GATE
        for number, place in zip(kinds, others, strict=True):
            switch.add_case(INT64(number), place)
        move, gate, own_gate = (_case(b, place, last) for place in others)
        return _case(b, block, last), move, gate, own_gate, last

    def _own(self, b: ir.IRBuilder, values: ir.Value, tile: ir.Value) -> ir.Value:
        """Return the address of a tile's part of a row of real numbers."""
        return b.add(values, b.mul(tile, INT64(self.vec.align)))

    def _padded(self, b: ir.IRBuilder, batch: ir.Value) -> ir.Value:
        """Return the batch, filled up to whole tiles."""
        more = b.add(batch, INT64(self.vec.lanes - 1))
        return b.sub(more, b.srem(more, INT64(self.vec.lanes)))

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
        """Return the first sample of a tile, and how many there are."""
        start = b.mul(tile, INT64(self.vec.lanes))
        left = b.sub(batch, start)
        return start, b.select(
            b.icmp_signed("<", left, INT64(self.vec.lanes)), left, INT64(self.vec.lanes)
        )

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
        """Read a tile from ``(rows, batch)`` complex numbers; lanes without a sample are zero."""
        buffer = self.vec.buffer(b)
        for part in range(2):
            self.vec.put(b, buffer, part, self.vec.zero())
        source = b.inttoptr(source, ir.PointerType(self.vec.real))
        tile = b.inttoptr(tile, ir.PointerType(self.vec.real))
        start, used = self._lanes_used(b, batch, number)
        full = b.icmp_signed("==", used, INT64(self.vec.lanes))
        with loop(b, rows) as row:
            here = b.gep(source, [b.mul(b.add(b.mul(row, batch), start), INT64(2))])
            with b.if_then(b.not_(full)), loop(b, b.mul(used, INT64(2))) as k:
                b.store(b.load(b.gep(here, [k])), b.gep(buffer, [k]))
            here = b.select(full, here, buffer)
            re, im = self.vec.pairs_apart(b, here)
            self.vec.store(b, tile, row, (re, self.vec.minus(b, im) if conjugate else im))

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
        """Write a tile into ``(rows, batch)`` complex numbers."""
        buffer = self.vec.buffer(b)
        result = b.inttoptr(result, ir.PointerType(self.vec.real))
        tile = b.inttoptr(tile, ir.PointerType(self.vec.real))
        start, used = self._lanes_used(b, batch, number)
        full = b.icmp_signed("==", used, INT64(self.vec.lanes))
        with loop(b, rows) as row:
            there = b.gep(result, [b.mul(b.add(b.mul(row, batch), start), INT64(2))])
            re, im = self.vec.load(b, tile, row)
            pair = (re, self.vec.minus(b, im) if conjugate else im)
            target = b.select(full, there, buffer)
            self.vec.store_pairs(b, target, pair)
            with b.if_then(b.not_(full)), loop(b, b.mul(used, INT64(2))) as k:
                b.store(b.load(b.gep(buffer, [k])), b.gep(there, [k]))


@contextmanager
def _case(b: ir.IRBuilder, place: ir.Block, last: ir.Block) -> Iterator[None]:
    b.position_at_end(place)
    yield
    b.branch(last)
