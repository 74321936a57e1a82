"""Functions that read a column in product states, one state for each sample, and the way back.

A column is a vector over the numbers of its digits, and a sample has a vector of 4 for each digit's
qubit; the value is the sum of the column times the product of these. Digits are split into a low, a
middle and a high table of products, ``(4**k, samples)``, so that the sum over the first two is a
product of matrices that stay near the core; between rows of the high one the column may have gaps.
Samples are the lanes, 16 at a time; those beyond the batch
are zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

from ...machine_code import INT32, INT64, carrying, loop
from .column_forms import FIELDS, LANES, LOW_DIGITS
from .emit_vectors import VectorWriter

__all__ = [
    "ProductWriter",
]


class ProductWriter:
    """Writer of functions of seven addresses or numbers, each into a module of its own.

    Args:
        vectors: Writer of loads, products and stores, of the processor's widest vectors.
    """

    NAMES = ("products", "unproducts", "read", "seed", "unread")

    def __init__(self, vectors: VectorWriter) -> None:
        registers = 32 if vectors.align == 64 else 16
        each = max(LANES // vectors.lanes, 1)
        self._rows = 1 << (max(registers * 3 // 4 // each, 1).bit_length() - 1)
        """Rows whose sums are in registers at a time."""
        self.vec = VectorWriter(vectors.real, LANES)

    def products(self) -> ir.Function:
        """Write (levels, vectors, qubits, digits, samples, ...): make a table of products.

        Levels are the tables of the first k digits for each k from 0, one after the other; vectors
        are ``(qubits, 4, samples)``.
        """
        function, b = self.vec.function("products", FIELDS - 1)
        levels, vectors, qubits, digits, samples, *_ = function.args
        levels, vectors = self._reals(b, levels), self._reals(b, vectors)
        qubits = b.inttoptr(qubits, ir.PointerType(INT32))
        with self._lanes(b, samples) as shift:
            self._set(b, levels, shift, ir.Constant(self.vec.vector, [1.0] * LANES))
        first = [INT64(0), INT64(1)]
        with carrying(b, digits, first) as (k, (old, size), after):
            new = b.add(old, size)
            start = b.mul(self.vec.index(b, qubits, k), b.mul(samples, INT64(4)))
            with loop(b, INT64(4)) as digit, loop(b, size) as j:
                v = b.add(start, b.mul(digit, samples))
                source = b.mul(b.add(old, j), samples)
                row = b.add(b.mul(digit, size), j)
                target = b.mul(b.add(new, row), samples)
                with self._lanes(b, samples) as shift:
                    x = self._get(b, levels, b.add(source, shift))
                    factor = self._get(b, vectors, b.add(v, shift))
                    self._set(b, levels, b.add(target, shift), b.fmul(x, factor))
            after += [new, b.mul(size, INT64(4))]
        b.ret_void()
        return function

    def unproducts(self) -> ir.Function:
        """Write (levels, gradients, vectors, theirs, qubits, digits, samples): go back over it.

        Gradients are of the shape of the levels, the last given; the others are written. Theirs are
        those of the vectors, which grow.
        """
        function, b = self.vec.function("unproducts", FIELDS - 1)
        levels, grads, vectors, theirs, qubits, digits, samples = function.args
        levels, grads, vectors, theirs = (
            self._reals(b, each) for each in (levels, grads, vectors, theirs)
        )
        qubits = b.inttoptr(qubits, ir.PointerType(INT32))
        # The last level begins behind 1 + 4 + ... rows.
        size_of_last = b.shl(INT64(1), b.mul(digits, INT64(2)))
        last = b.sdiv(b.sub(size_of_last, INT64(1)), INT64(3))
        with carrying(b, digits, [last, size_of_last]) as (k, (new, larger), after):
            size = b.sdiv(larger, INT64(4))
            old = b.sub(new, size)
            place = b.sub(b.sub(digits, k), INT64(1))
            start = b.mul(self.vec.index(b, qubits, place), b.mul(samples, INT64(4)))
            with self._lanes(b, samples) as shift:
                at = [b.add(b.add(start, b.mul(INT64(d), samples)), shift) for d in range(4)]
                factors = [self._get(b, vectors, each) for each in at]
                sums = [self._get(b, theirs, each) for each in at]
                with carrying(b, size, sums) as (j, totals, more):
                    source = b.add(b.mul(b.add(old, j), samples), shift)
                    x = self._get(b, levels, source)
                    back: ir.Value | None = None
                    for d in range(4):
                        row = b.add(new, b.add(b.mul(INT64(d), size), j))
                        g = self._get(b, grads, b.add(b.mul(row, samples), shift))
                        back = self.vec.fma(b, g, factors[d], back)
                        more.append(self.vec.fma(b, g, x, totals[d]))
                    self._set(b, grads, source, back)
                for total, each in zip(totals, at, strict=True):
                    self._set(b, theirs, each, total)
            after += [old, size]
        b.ret_void()
        return function

    def read(self, rows: int) -> ir.Function:
        """Write (column, values, high, middle, low, shape, samples): write a column's values.

        The shape is the number of rows of each table, a number that :meth:`unread` reads, and how many
        numbers of the column lie between two rows of the high table; middle rows are taken ``rows`` at
        a time.
        """
        function, b = self.vec.function("read", FIELDS - 1)
        column, values, *tables, shape, samples = function.args
        column, values = self._reals(b, column), self._reals(b, values)
        high, middle, low = (self._reals(b, each) for each in tables)
        highs, middles, lows, _, apart = self._shape(b, shape)
        rows = min(rows, self._rows)
        with self._lanes(b, samples) as shift:
            self._set(b, values, shift, self.vec.zero())
        with (
            loop(b, highs) as t,
            self._lanes(b, samples) as shift,
        ):  # a part of the column stays near
            zero = [self.vec.zero()]
            with carrying(b, b.sdiv(middles, INT64(rows)), zero) as (k, inner, more):
                m, total = b.mul(k, INT64(rows)), inner[0]
                start = b.add(b.mul(t, apart), b.mul(m, lows))
                found = self._low_sums(b, rows, column, start, low, lows, samples, shift)
                for j, each in enumerate(found):
                    factor = self._row(b, middle, b.add(m, INT64(j)), samples, shift)
                    total = self.vec.fma(b, factor, each, total)
                more.append(total)
            factor = self._row(b, high, t, samples, shift)
            sum_ = self.vec.fma(b, factor, inner[0], self._get(b, values, shift))
            self._set(b, values, shift, sum_)
        b.ret_void()
        return function

    def seed(self, rows: int) -> ir.Function:
        """Write (gradients of values, column's, high, middle, low, shape, samples): write a column's.

        Behind the low table, where :meth:`unread` writes its gradient, there is room for the same.
        """
        function, b = self.vec.function("seed", FIELDS - 1)
        given, grad, *tables, shape, samples = function.args
        highs, middles, lows, distance, apart = self._shape(b, shape)
        turned = self._reals(b, b.add(tables[2], distance))
        given, grad = self._reals(b, given), self._reals(b, grad)
        high, middle, low = (self._reals(b, each) for each in tables)
        rows = min(rows, self._rows)
        weights = self._buffer(b, 4**LOW_DIGITS * LANES)
        with self._lanes(b, samples) as shift, loop(b, lows) as j, loop(b, INT64(LANES)) as sample:
            number = b.load(b.gep(low, [b.add(b.add(b.mul(j, samples), shift), sample)]))
            place = b.add(b.mul(b.add(shift, sample), lows), j)
            b.store(number, b.gep(turned, [place]))
        with loop(b, highs) as t, self._lanes(b, samples) as shift:
            g = self._get(b, given, shift)
            self._weigh(b, g, t, (high, middle), middles, samples, shift, weights)
            first = b.icmp_signed("==", shift, INT64(0))
            with (
                loop(b, b.sdiv(middles, INT64(rows))) as k,
                loop(b, b.sdiv(lows, INT64(LANES))) as line,
            ):
                m, column = b.mul(k, INT64(rows)), b.mul(line, INT64(LANES))
                start = b.add(b.add(b.mul(t, apart), b.mul(m, lows)), column)
                at = [b.add(start, b.mul(INT64(r), lows)) for r in range(rows)]
                # The first samples' are written over what was there, which may be no number.
                before = [b.select(first, self.vec.zero(), self._get(b, grad, each)) for each in at]
                with carrying(b, INT64(LANES), before) as (sample, totals, more):
                    place = b.add(b.mul(b.add(shift, sample), lows), column)
                    x = self._get(b, turned, place)
                    for r, total in enumerate(totals):
                        where = b.mul(b.add(m, INT64(r)), INT64(LANES))
                        weight = self.vec.scalar(b, weights, b.add(where, sample))
                        more.append(self.vec.fma(b, weight, x, total))
                for each, total in zip(at, totals, strict=True):
                    self._set(b, grad, each, total)
        b.ret_void()
        return function

    def unread(self, rows: int, low_rows: int) -> ir.Function:
        """Write (gradients of values, column, high, middle, low, shape, samples): those of the tables.

        They are behind the tables, at a distance that the shape names in bytes. That of the high table
        is written, the others grow.
        """
        function, b = self.vec.function("unread", FIELDS - 1)
        given, column, *tables, shape, samples = function.args
        given, column = self._reals(b, given), self._reals(b, column)
        highs, middles, lows, distance, apart = self._shape(b, shape)
        grads = [self._reals(b, b.add(each, distance)) for each in tables]
        high, middle, low = (self._reals(b, each) for each in tables)
        rows, low_rows = min(rows, self._rows), min(low_rows, self._rows)
        weights = self._buffer(b, 4**LOW_DIGITS * LANES)
        with loop(b, highs) as t, self._lanes(b, samples) as shift:
            g = self._get(b, given, shift)
            self._weigh(b, g, t, (high, middle), middles, samples, shift, weights)
            outer = b.fmul(g, self._row(b, high, t, samples, shift))
            zero = [self.vec.zero()]
            with carrying(b, b.sdiv(middles, INT64(rows)), zero) as (k, inner, more):
                m, total = b.mul(k, INT64(rows)), inner[0]
                start = b.add(b.mul(t, apart), b.mul(m, lows))
                found = self._low_sums(b, rows, column, start, low, lows, samples, shift)
                for j, each in enumerate(found):
                    row = b.add(m, INT64(j))
                    factor = self._row(b, middle, row, samples, shift)
                    total = self.vec.fma(b, factor, each, total)
                    place = b.add(b.mul(row, samples), shift)
                    before = self._get(b, grads[1], place)
                    self._set(b, grads[1], place, self.vec.fma(b, outer, each, before))
                more.append(total)
            place = b.add(b.mul(t, samples), shift)
            self._set(b, grads[0], place, b.fmul(g, inner[0]))
            with loop(b, b.sdiv(lows, INT64(low_rows))) as k:
                first = b.mul(k, INT64(low_rows))
                at = [b.add(b.mul(b.add(first, INT64(r)), samples), shift) for r in range(low_rows)]
                sums = [self._get(b, grads[2], each) for each in at]
                with carrying(b, middles, sums) as (m, totals, new):
                    weight = self._get(b, weights, b.mul(m, INT64(LANES)))
                    start = b.add(b.add(b.mul(t, apart), b.mul(m, lows)), first)
                    for r, total in enumerate(totals):
                        x = self.vec.scalar(b, column, b.add(start, INT64(r)))
                        new.append(self.vec.fma(b, weight, x, total))
                for each, total in zip(at, totals, strict=True):
                    self._set(b, grads[2], each, total)
        b.ret_void()
        return function

    # ------------------------------------------------------------------ parts

    @contextmanager
    def _lanes(self, b: ir.IRBuilder, samples: ir.Value) -> Iterator[ir.Value]:
        with loop(b, b.sdiv(samples, INT64(LANES))) as lane:
            yield b.mul(lane, INT64(LANES))

    def _low_sums(
        self,
        b: ir.IRBuilder,
        rows: int,
        column: ir.Value,
        start: ir.Value,
        low: ir.Value,
        lows: ir.Value,
        samples: ir.Value,
        shift: ir.Value,
    ) -> list[ir.Value]:
        """Return the products of some rows of a column with the low table."""
        zeros = [self.vec.zero()] * rows
        with carrying(b, lows, zeros) as (j, totals, new):
            x = self._row(b, low, j, samples, shift)
            for r, total in enumerate(totals):
                place = b.add(b.add(start, b.mul(INT64(r), lows)), j)
                new.append(self.vec.fma(b, self.vec.scalar(b, column, place), x, total))
        return totals

    def _weigh(
        self,
        b: ir.IRBuilder,
        g: ir.Value,
        t: ir.Value,
        tables: tuple[ir.Value, ir.Value],
        middles: ir.Value,
        samples: ir.Value,
        shift: ir.Value,
        to: ir.Value,
    ) -> None:
        """Write the gradients of values times a row of the high and each of the middle table."""
        high, middle = tables
        outer = b.fmul(g, self._row(b, high, t, samples, shift))
        with loop(b, middles) as m:
            product = b.fmul(outer, self._row(b, middle, m, samples, shift))
            self._set(b, to, b.mul(m, INT64(LANES)), product)

    def _shape(self, b: ir.IRBuilder, shape: ir.Value) -> list[ir.Value]:
        pointer = b.inttoptr(shape, ir.PointerType(INT64))
        return [b.load(b.gep(pointer, [INT64(k)])) for k in range(5)]

    def _reals(self, b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return b.inttoptr(address, ir.PointerType(self.vec.real))

    def _buffer(self, b: ir.IRBuilder, numbers: int) -> ir.Value:
        buffer = b.alloca(self.vec.vector, numbers // LANES)
        return b.bitcast(buffer, ir.PointerType(self.vec.real))

    def _row(
        self, b: ir.IRBuilder, table: ir.Value, row: ir.Value, samples: ir.Value, shift: ir.Value
    ) -> ir.Value:
        return self._get(b, table, b.add(b.mul(row, samples), shift))

    def _get(self, b: ir.IRBuilder, base: ir.Value, place: ir.Value) -> ir.Value:
        return b.load(self.vec.vector_at(b, base, place), align=self.vec.bits // 8)

    def _set(self, b: ir.IRBuilder, base: ir.Value, place: ir.Value, x: ir.Value) -> None:
        b.store(x, self.vec.vector_at(b, base, place), align=self.vec.bits // 8)
