"""Functions that turn inputs and weights into matrices of gates, and slopes into gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from ...machine_code import INT32, INT64, carrying, loop
from .emit_vectors import VectorWriter
from .step_layout import AngleFields, StepFields, StepKind

__all__ = [
    "AngleWriter",
]

Value = Callable[[ir.Value], ir.Value]
"""Code that loads the input or weight at a place."""
DOUBLE = ir.DoubleType()
WORDS = len(StepFields._fields)
MATRIX = StepFields._fields.index("matrix")


class AngleWriter:
    """Writer of both functions; :class:`.step_layout.AngleFields` says what they read.

    Args:
        vectors: Writer of loads, products and stores.
    """

    def __init__(self, vectors: VectorWriter) -> None:
        self.vec = vectors
        self.real = ir.PointerType(vectors.real)
        self.bytes = vectors.bits // 8

    def prepare(self) -> ir.Function:
        """See :attr:`Kernels.prepare`."""
        names = [
            "angles",
            "inputs",
            "row_stride",
            "column_stride",
            "num_inputs",
            "weights",
            "weight_stride",
            "num_weights",
            "batch",
            "turns",
            "numbers",
            "entries",
            "table",
        ]
        kind = ir.FunctionType(DOUBLE, [INT64] * len(names))
        function = ir.Function(ir.Module(name="prepare"), kind, name="prepare")
        b = ir.IRBuilder(function.append_basic_block("entry"))
        given = dict(zip(names, function.args, strict=True))
        angles = self._fields(b, given["angles"])
        inputs, weights = (self._reals(b, given[name]) for name in ("inputs", "weights"))
        batch, padded = given["batch"], self._padded(b, given["batch"])
        turns = self._reals(b, given["turns"])
        own_turns = b.gep(turns, [b.mul(INT64(2), angles.shared)])
        by_row, by_column = given["row_stride"], given["column_stride"]

        def weight(place: ir.Value) -> ir.Value:
            return b.load(b.gep(weights, [b.mul(place, given["weight_stride"])]))

        def value(row: ir.Value, place: ir.Value) -> ir.Value:
            return b.load(b.gep(inputs, [b.add(b.mul(row, by_row), b.mul(place, by_column))]))

        with loop(b, angles.shared) as k:
            phi = self._turn(b, angles, k, weight)
            self._store_turn(b, phi, turns, b.mul(k, INT64(2)), INT64(1))
        with loop(b, angles.own) as k:
            turn = b.add(angles.shared, k)
            base = self._turn(b, angles, turn, weight)
            first = b.mul(b.mul(k, INT64(2)), padded)
            with loop(b, padded) as lane:
                last = b.sub(batch, INT64(1))
                row = b.select(b.icmp_signed("<", lane, batch), lane, last)
                phi = self._terms(
                    b, angles.input_starts, angles.input_columns, angles.input_slopes, turn, base,
                    partial(value, row),
                )  # fmt: skip
                self._store_turn(b, phi, own_turns, b.add(first, lane), padded)
        self._numbers(b, angles, turns, self._reals(b, given["numbers"]))
        self._entries(b, angles, own_turns, self._reals(b, given["entries"]), padded)
        self._table(b, angles, given["numbers"], given["entries"], given["table"], padded)
        zero = ir.Constant(self.vec.real, 0.0)
        with carrying(b, given["num_weights"], [zero]) as (k, (sum_weights,), new):
            found = weight(k)
            new.append(b.fadd(sum_weights, b.fsub(found, found)))
        with carrying(b, batch, [sum_weights]) as (row, (sum_rows,), after):
            with carrying(b, given["num_inputs"], [sum_rows]) as (place, (sum_row,), new):
                found = value(row, place)
                new.append(b.fadd(sum_row, b.fsub(found, found)))
            after.append(sum_row)
        b.ret(sum_rows if self.bytes == 8 else b.fpext(sum_rows, DOUBLE))
        return function

    def pull_back(self) -> ir.Function:
        """See :attr:`Kernels.pull_back`."""
        function, b = self.vec.function("pull_back", 8)
        fields, sums, slopes, batch, num_inputs, to_inputs, num_weights, to_weights = function.args
        angles, padded = self._fields(b, fields), self._padded(b, batch)
        sums, slopes = self._reals(b, sums), self._reals(b, slopes)
        to_inputs, to_weights = self._reals(b, to_inputs), self._reals(b, to_weights)
        turns = b.inttoptr(angles.gate_turns, ir.PointerType(INT32))
        factors = self._reals(b, angles.gate_factors)

        def spread(starts: ir.Value, columns: ir.Value, coefficients: ir.Value, turn: ir.Value,
                   slope: ir.Value, into: ir.Value) -> None:  # fmt: skip
            for_term = self._each_term(b, starts, turn)
            with loop(b, for_term[1], for_term[0]) as k:
                place = self._index(b, columns, k)
                factor = b.load(b.gep(self._reals(b, coefficients), [k]))
                target = b.gep(into, [place])
                b.store(b.fadd(b.load(target), b.fmul(slope, factor)), target)

        zero = ir.Constant(self.vec.real, 0.0)
        for into, count in ((to_inputs, b.mul(batch, num_inputs)), (to_weights, num_weights)):
            with loop(b, count) as k:
                b.store(zero, b.gep(into, [k]))
        of_weights = angles.weight_starts, angles.weight_columns, angles.weight_slopes
        of_inputs = angles.input_starts, angles.input_columns, angles.input_slopes
        with loop(b, angles.shared_gates) as gate:
            slope = b.fmul(b.load(b.gep(sums, [gate])), b.load(b.gep(factors, [gate])))
            spread(*of_weights, self.vec.index(b, turns, gate), slope, to_weights)
        with loop(b, angles.own_gates) as k:
            gate = b.add(angles.shared_gates, k)
            turn, factor = self.vec.index(b, turns, gate), b.load(b.gep(factors, [gate]))
            start = b.mul(k, padded)
            with carrying(b, batch, [zero]) as (row, (total,), new):
                slope = b.fmul(b.load(b.gep(slopes, [b.add(start, row)])), factor)
                spread(*of_inputs, turn, slope, b.gep(to_inputs, [b.mul(row, num_inputs)]))
                new.append(b.fadd(total, slope))
            spread(*of_weights, turn, total, to_weights)
        b.ret_void()
        return function

    def spread(self) -> ir.Function:
        """See :attr:`Kernels.spread`."""
        function, b = self.vec.function("spread", 8)
        grads, by_sample, by_value, batch, count, out, zeros, sums = function.args
        sums, zero = self._reals(b, sums), ir.Constant(self.vec.real, 0.0)
        with loop(b, zeros) as k:
            b.store(zero, b.gep(sums, [k]))
        grads, out, padded = self._reals(b, grads), self._reals(b, out), self._padded(b, batch)
        with loop(b, count) as k:
            start = b.mul(k, padded)
            with loop(b, batch) as lane:
                place = b.add(b.mul(lane, by_sample), b.mul(k, by_value))
                b.store(b.load(b.gep(grads, [place])), b.gep(out, [b.add(start, lane)]))
            with loop(b, padded, batch) as lane:
                b.store(zero, b.gep(out, [b.add(start, lane)]))
        b.ret_void()
        return function

    def _turn(
        self, b: ir.IRBuilder, angles: AngleFields, turn: ir.Value, weight: Value
    ) -> ir.Value:
        """Return a turn's offset, with what weights add to it."""
        offset = b.load(b.gep(self._reals(b, angles.offsets), [turn]))
        return self._terms(
            b,
            angles.weight_starts,
            angles.weight_columns,
            angles.weight_slopes,
            turn,
            offset,
            weight,
        )

    def _terms(
        self,
        b: ir.IRBuilder,
        starts: ir.Value,
        columns: ir.Value,
        slopes: ir.Value,
        turn: ir.Value,
        total: ir.Value,
        value: Value,
    ) -> ir.Value:
        """Return a number plus the terms of a turn."""
        first, end = self._each_term(b, starts, turn)
        with carrying(b, end, [total], first) as (k, (before,), new):
            slope = b.load(b.gep(self._reals(b, slopes), [k]))
            new.append(b.fadd(before, b.fmul(slope, value(self._index(b, columns, k)))))
        return before

    def _each_term(
        self, b: ir.IRBuilder, starts: ir.Value, turn: ir.Value
    ) -> tuple[ir.Value, ir.Value]:
        return self._index(b, starts, turn), self._index(b, starts, b.add(turn, INT64(1)))

    def _store_turn(
        self, b: ir.IRBuilder, phi: ir.Value, into: ir.Value, place: ir.Value, apart: ir.Value
    ) -> None:
        """Write cosine and sine of an angle."""
        for k, name in enumerate(("cos", "sin")):
            function = self.vec.declared(
                b, f"llvm.{name}.f{self.vec.bits}", self.vec.real, [self.vec.real]
            )
            target = b.gep(into, [b.add(place, b.mul(apart, INT64(k)))])
            b.store(b.call(function, [phi]), target)

    def _numbers(
        self, b: ir.IRBuilder, angles: AngleFields, turns: ir.Value, out: ir.Value
    ) -> None:
        """Write the matrices that all samples share."""
        factors = self._reals(b, angles.number_factors)
        with loop(b, angles.numbers) as k:
            turn = b.mul(self._index(b, angles.number_turns, k), INT64(2))
            c, s = (b.load(b.gep(turns, [b.add(turn, INT64(part))])) for part in range(2))
            start = b.mul(k, INT64(3))
            k0, k1, k2 = (b.load(b.gep(factors, [b.add(start, INT64(q))])) for q in range(3))
            b.store(b.fadd(k0, b.fadd(b.fmul(k1, c), b.fmul(k2, s))), b.gep(out, [k]))

    def _entries(
        self,
        b: ir.IRBuilder,
        angles: AngleFields,
        turns: ir.Value,
        out: ir.Value,
        padded: ir.Value,
    ) -> None:
        """Write the matrices of each sample, the complex numbers of one entry next to each other."""
        factors = self._reals(b, angles.entry_factors)
        width = INT64(self.vec.lanes)
        with loop(b, angles.entries) as k:
            first = b.mul(b.mul(self._index(b, angles.entry_turns, k), INT64(2)), padded)
            start = b.mul(k, INT64(6))
            k0, k1, k2, i0, i1, i2 = (
                self.vec.scalar(b, factors, b.add(start, INT64(q))) for q in range(6)
            )
            row = b.mul(b.mul(k, padded), INT64(2))
            with loop(b, b.sdiv(padded, width)) as tile:
                lane = b.mul(tile, width)
                c, s = (
                    b.load(self.vec.vector_at(b, turns, place), align=self.bytes)
                    for place in (b.add(first, lane), b.add(first, b.add(padded, lane)))
                )
                pair = (
                    self.vec.fma(b, k2, s, self.vec.fma(b, k1, c, k0)),
                    self.vec.fma(b, i2, s, self.vec.fma(b, i1, c, i0)),
                )
                target = b.gep(out, [b.add(row, b.mul(lane, INT64(2)))])
                self.vec.store_pairs(b, target, pair)

    def _table(
        self,
        b: ir.IRBuilder,
        angles: AngleFields,
        numbers: ir.Value,
        entries: ir.Value,
        table: ir.Value,
        padded: ir.Value,
    ) -> None:
        """Copy the steps, and enter where the matrices of gates stand."""
        word = ir.PointerType(INT64)
        here, there = b.inttoptr(angles.table, word), b.inttoptr(table, word)
        with loop(b, b.mul(angles.steps, INT64(WORDS))) as k:
            b.store(b.load(b.gep(here, [k])), b.gep(there, [k]))
        with loop(b, angles.steps) as step:
            start = b.mul(step, INT64(WORDS))
            kind = b.load(b.gep(here, [start]))
            place = self._index(b, angles.places, step)
            target = b.gep(there, [b.add(start, INT64(MATRIX))])
            with b.if_then(b.icmp_signed("==", kind, INT64(StepKind.GATE))):
                b.store(b.add(numbers, b.mul(place, INT64(self.bytes))), target)
            with b.if_then(b.icmp_signed("==", kind, INT64(StepKind.OWN_GATE))):
                size = b.mul(padded, INT64(2 * self.bytes))
                b.store(b.add(entries, b.mul(place, size)), target)

    def _fields(self, b: ir.IRBuilder, address: ir.Value) -> AngleFields:
        pointer = b.inttoptr(address, ir.PointerType(INT64))
        names = range(len(AngleFields._fields))
        return AngleFields(*(b.load(b.gep(pointer, [INT64(k)])) for k in names))

    def _reals(self, b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return b.inttoptr(address, self.real)

    def _index(self, b: ir.IRBuilder, address: ir.Value, place: ir.Value) -> ir.Value:
        return self.vec.index(b, b.inttoptr(address, ir.PointerType(INT32)), place)

    def _padded(self, b: ir.IRBuilder, batch: ir.Value) -> ir.Value:
        """Return the batch, filled up to whole tiles."""
        more = b.add(batch, INT64(self.vec.lanes - 1))
        return b.sub(more, b.srem(more, INT64(self.vec.lanes)))
