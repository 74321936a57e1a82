"""Functions on one column: a real vector over Pauli strings, one base-4 digit for each qubit.

A block on two qubits is a 16 x 16 matrix, one on a single qubit 4 x 4. Several blocks at a time are
applied to a part of the vector: all numbers of some digits, the rows, and of two more, the lanes,
while the others stand still. The part is fetched into memory of its own as ``(rows, 16)`` numbers,
goes through the blocks while it is near the core, and is put back. How it is fetched depends on where
the last two digits of the vector are, since these lie next to each other in memory:

* "runs": they are the lanes; a row is one run of 16 numbers;
* "turned": they are the last two digits of the rows; 16 rows are 16 runs, transposed.

A block's matrix has entries that are zero whatever the angles are, most of them as a rule: a function
is written for those that are not, its pattern, as a mask of columns for each row.

Numbers below the smallest normal one are taken as zero on processors of Intel's kind, which would take
a hundred times as long for them: what is left of a string far away in an observable's light cone is
that small.

Source:
    Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 10.2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import llvmlite.binding as llvm
from llvmlite import ir

from ...machine_code import INT32, INT64, carrying, loop
from .column_forms import FIELDS, LANES, Form, Mode, Pattern, entries
from .emit_vectors import VectorWriter, indices

__all__ = ["ColumnWriter"]

_FLUSH = 0x8040
"""Bits of the control register that take subnormal operands and results as zero."""


class ColumnWriter:
    """Writer of functions of seven addresses or numbers, each into a module of its own.

    Args:
        vectors: Writer of loads, products and stores, of the processor's widest vectors.
    """

    def __init__(self, vectors: VectorWriter) -> None:
        self.vec = vectors
        self.parts = max(LANES // vectors.lanes, 1)
        self._line = ir.VectorType(vectors.real, LANES)
        registers = 32 if vectors.align == 64 else 16
        self._accumulators = registers * 3 // 4
        self._bytes = vectors.bits // 8
        self._flushes = llvm.get_process_triple().startswith("x86_64")

    def run(self) -> ir.Function:
        """Write (table, first, end): call the functions of records, each with its arguments."""
        function, b = self.vec.function("run", 3)
        table, first, end = function.args
        pointer = b.inttoptr(table, ir.PointerType(INT64))
        with self._flushing(b), loop(b, end, first) as k:
            start = b.mul(k, INT64(FIELDS))
            fields = [b.load(b.gep(pointer, [b.add(start, INT64(j))])) for j in range(FIELDS)]
            self._call(b, fields)
        b.ret_void()
        return function

    def parts_of(self) -> ir.Function:
        """Write (records, count, end, bases, shifts, first, ...): run records for parts of a vector.

        They are those from the first to below the end; a record that names no first begins with 0.
        A field of a record grows by its two shifts ``(count, 8, 2)``: the first times the part's base,
        the second times its number.
        """
        function, b = self.vec.function("parts_of", FIELDS - 1)
        table, count, end, bases, shifts, first, _ = function.args
        table, shifts = (b.inttoptr(each, ir.PointerType(INT64)) for each in (table, shifts))
        bases = b.inttoptr(bases, ir.PointerType(INT32))
        with loop(b, end, first) as part:
            base = self.vec.index(b, bases, part)
            with loop(b, count) as k:
                start = b.mul(k, INT64(FIELDS))
                fields = []
                for j in range(FIELDS):
                    place = b.add(start, INT64(j))
                    field = b.load(b.gep(table, [place]))
                    if j:
                        twice = b.mul(place, INT64(2))
                        by_base = b.load(b.gep(shifts, [twice]))
                        by_part = b.load(b.gep(shifts, [b.add(twice, INT64(1))]))
                        field = b.add(field, b.mul(by_base, base))
                        field = b.add(field, b.mul(by_part, part))
                    fields.append(field)
                self._call(b, fields)
        b.ret_void()
        return function

    def fetch(self, mode: Mode) -> ir.Function:
        """Write (vector, part, count, places): bring a part, in rows or, if turned, 16 at a time."""
        return self._carried("fetch", mode)

    def put(self, mode: Mode) -> ir.Function:
        """Write (part, vector, count, places): put a part back where it was fetched."""
        return self._carried("put", mode)

    def apply(self, form: Form, pattern: Pattern) -> ir.Function:
        """Write (from, to, tiles, bases, strides, matrix, unused): apply a block to a part.

        Strides are the bytes between numbers of the block's digits, the less significant first; bases
        the rows where its tiles begin.
        """
        function, b = self.vec.function("apply", FIELDS - 1)
        source, target, count, bases, strides, matrix, _ = function.args
        at, matrix = self._tiles(b, len(pattern), bases, strides), self._reals(b, matrix)
        with loop(b, count) as tile:
            moved = at(tile)
            for part in range(self.parts):
                x = [self._load(b, source, each, part) for each in moved]
                for row, value in enumerate(self._products(b, x, matrix, form, pattern)):
                    self._store(b, target, moved[row], part, value)
        b.ret_void()
        return function

    def pull(self, form: Form, pattern: Pattern, wanted: Pattern) -> ir.Function:
        """Write (vector before, gradient, tiles, bases, strides, matrix, sums): go back over a block.

        The gradient is that behind the block, and becomes that before it. Those of the wanted entries
        of the matrix, in the order of :func:`entries`, are added to the sums.
        """
        function, b = self.vec.function("pull", FIELDS - 1)
        values, grad, count, bases, strides, matrix, sums = function.args
        at = self._tiles(b, len(pattern), bases, strides)
        matrix, sums = self._reals(b, matrix), self._reals(b, sums)
        listed = entries(wanted)
        step = self._accumulators // self.vec.lanes * self.vec.lanes
        for first in range(0, len(listed), step):
            several = listed[first : first + step]
            with carrying(b, count, [self.vec.zero()] * len(several)) as (tile, carried, new):
                totals, moved = list(carried), at(tile)
                for part in range(self.parts):
                    known: dict[tuple[str, int], ir.Value] = {}

                    def number(
                        side: str,
                        row: int,
                        known: dict[tuple[str, int], ir.Value] = known,
                        moved: list[ir.Value] = moved,
                        part: int = part,
                    ) -> ir.Value:
                        if (side, row) not in known:
                            whole = grad if side == "grad" else values
                            known[side, row] = self._load(b, whole, moved[row], part)
                        return known[side, row]

                    for k, (row, column) in enumerate(several):
                        after, before = (row, column) if form == "forward" else (column, row)
                        g, v = number("grad", after), number("values", before)
                        totals[k] = self.vec.fma(b, g, v, totals[k])
                new += totals
            self._add_sums(b, carried, sums, first)
        back: Form = "transposed" if form == "forward" else "forward"
        with loop(b, count) as tile:
            moved = at(tile)
            for part in range(self.parts):
                g = [self._load(b, grad, each, part) for each in moved]
                for row, value in enumerate(self._products(b, g, matrix, back, pattern)):
                    self._store(b, grad, moved[row], part, value)
        b.ret_void()
        return function

    def scatter(self) -> ir.Function:
        """Write (from, to, count, places): number k goes to the k-th place."""
        return self._moved("scatter")

    def gather(self) -> ir.Function:
        """Write (from, to, count, places): number k comes from the k-th place."""
        return self._moved("gather")

    def clear(self) -> ir.Function:
        """Write (unused, to, end, first): write zeros from the first to below the end."""
        function, b = self.vec.function("clear", FIELDS - 1)
        target, lanes = self._reals(b, function.args[1]), INT64(self.vec.lanes)
        end, first = (b.sdiv(function.args[k], lanes) for k in (2, 3))
        with loop(b, end, first) as k:
            place = self.vec.vector_at(b, target, b.mul(k, INT64(self.vec.lanes)))
            b.store(self.vec.zero(), place, align=self.vec.align)
        b.ret_void()
        return function

    def grow(self) -> ir.Function:
        """Write (vector, unused, size, end, first, new): multiply a vector by that of a new digit.

        The vector of ``size`` numbers becomes one of four times as many, the new digit the first; those
        from the first to below the end are multiplied.
        """
        function, b = self.vec.function("grow", FIELDS - 1)
        vector, _, size, end, first, new, _ = function.args
        vector, new = self._reals(b, vector), self._reals(b, new)
        factors = [b.load(b.gep(new, [INT64(d)])) for d in range(4)]
        with loop(b, end, first) as k:
            x = b.load(b.gep(vector, [k]))
            for digit, factor in enumerate(factors):
                place = b.add(b.mul(size, INT64(digit)), k)
                b.store(b.fmul(x, factor), b.gep(vector, [place]))
        b.ret_void()
        return function

    def shrink(self) -> ir.Function:
        """Write (gradient, unused, size, end, first, new): go back over :meth:`grow`."""
        function, b = self.vec.function("shrink", FIELDS - 1)
        grad, _, size, end, first, new, _ = function.args
        grad, new = self._reals(b, grad), self._reals(b, new)
        factors = [b.load(b.gep(new, [INT64(d)])) for d in range(4)]
        with loop(b, end, first) as k:
            total = ir.Constant(self.vec.real, 0.0)
            for digit, factor in enumerate(factors):
                place = b.add(b.mul(size, INT64(digit)), k)
                total = b.fadd(total, b.fmul(factor, b.load(b.gep(grad, [place]))))
            b.store(total, b.gep(grad, [k]))
        b.ret_void()
        return function

    # ------------------------------------------------------------------ parts

    @contextmanager
    def _flushing(self, b: ir.IRBuilder) -> Iterator[None]:
        """Take subnormal numbers as zero; afterwards as the caller had it."""
        if not self._flushes:
            yield
            return
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
        load, store = (
            ir.Function(b.module, kind, name=f"llvm.x86.sse.{name}mxcsr") for name in ("ld", "st")
        )
        before, within = b.alloca(INT32), b.alloca(INT32)
        b.call(store, [b.bitcast(before, ir.IntType(8).as_pointer())])
        b.store(b.or_(b.load(before), INT32(_FLUSH)), within)
        b.call(load, [b.bitcast(within, ir.IntType(8).as_pointer())])
        yield
        b.call(load, [b.bitcast(before, ir.IntType(8).as_pointer())])

    def _call(self, b: ir.IRBuilder, fields: list[ir.Value]) -> None:
        kind = ir.FunctionType(ir.VoidType(), [INT64] * (FIELDS - 1))
        b.call(b.inttoptr(fields[0], kind.as_pointer()), fields[1:])

    def _moved(self, name: str) -> ir.Function:
        function, b = self.vec.function(name, FIELDS - 1)
        source, target, count, places, *_ = function.args
        source, target = self._reals(b, source), self._reals(b, target)
        places = b.inttoptr(places, ir.PointerType(INT32))
        with loop(b, count) as k:
            other = self.vec.index(b, places, k)
            start, end = (k, other) if name == "scatter" else (other, k)
            b.store(b.load(b.gep(source, [start])), b.gep(target, [end]))
        b.ret_void()
        return function

    def _carried(self, name: str, mode: Mode) -> ir.Function:
        function, b = self.vec.function(name, FIELDS - 1)
        source, target, count, places, *_ = function.args
        source, target = self._reals(b, source), self._reals(b, target)
        places = b.inttoptr(places, ir.PointerType(INT32))
        height = 1 if mode == "runs" else LANES
        with loop(b, count) as k:
            first = b.mul(k, INT64(height))
            outside = [self.vec.index(b, places, b.add(first, INT64(j))) for j in range(height)]
            inside = [b.mul(b.add(first, INT64(j)), INT64(LANES)) for j in range(height)]
            reads, writes = (outside, inside) if name == "fetch" else (inside, outside)
            lines = [b.load(self._line_at(b, source, each), align=64) for each in reads]
            if mode == "turned":
                lines = _transposed(b, lines)
            for line, place in zip(lines, writes, strict=True):
                b.store(line, self._line_at(b, target, place), align=64)
        b.ret_void()
        return function

    def _line_at(self, b: ir.IRBuilder, base: ir.Value, place: ir.Value) -> ir.Value:
        return b.bitcast(b.gep(base, [place]), ir.PointerType(self._line))

    def _reals(self, b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return b.inttoptr(address, ir.PointerType(self.vec.real))

    def _tiles(
        self, b: ir.IRBuilder, rows: int, bases: ir.Value, strides: ir.Value
    ) -> Callable[[ir.Value], list[ir.Value]]:
        """Return a function that gives the bytes from the part's beginning to each row of a tile."""
        bases = b.inttoptr(bases, ir.PointerType(INT32))
        strides = b.inttoptr(strides, ir.PointerType(INT64))
        low = b.load(strides)
        lows = [INT64(0), low, b.mul(low, INT64(2)), b.mul(low, INT64(3))]
        high = b.load(b.gep(strides, [INT64(1)])) if rows == LANES else None

        def at(tile: ir.Value) -> list[ir.Value]:
            start = b.mul(self.vec.index(b, bases, tile), INT64(LANES * self._bytes))
            found = []
            for _ in range(rows // 4):
                found += [b.add(start, each) for each in lows]
                if high is not None:
                    start = b.add(start, high)
            return found

        return at

    def _at(self, b: ir.IRBuilder, base: ir.Value, moved: ir.Value, part: int) -> ir.Value:
        place = b.add(b.add(base, moved), INT64(part * self.vec.align))
        return b.inttoptr(place, ir.PointerType(self.vec.vector))

    def _load(self, b: ir.IRBuilder, base: ir.Value, moved: ir.Value, part: int) -> ir.Value:
        return b.load(self._at(b, base, moved, part), align=self.vec.align)

    def _store(
        self, b: ir.IRBuilder, base: ir.Value, moved: ir.Value, part: int, x: ir.Value
    ) -> None:
        b.store(x, self._at(b, base, moved, part), align=self.vec.align)

    def _products(
        self, b: ir.IRBuilder, x: list[ir.Value], matrix: ir.Value, form: Form, pattern: Pattern
    ) -> list[ir.Value]:
        """Return the rows of a matrix times vectors."""
        rows = len(pattern)
        totals: list[ir.Value | None] = [None] * rows
        for row, column in entries(pattern):
            weight = self.vec.scalar(b, matrix, INT64(row * rows + column))
            target, source = (row, column) if form == "forward" else (column, row)
            totals[target] = self.vec.fma(b, weight, x[source], totals[target])
        return [self.vec.zero() if total is None else total for total in totals]

    def _add_sums(
        self, b: ir.IRBuilder, totals: list[ir.Value], sums: ir.Value, first: int
    ) -> None:
        """Add the sums over lanes of vectors to as many numbers, filled up with zeros."""
        lanes = self.vec.lanes
        filled = [*totals, *[self.vec.zero()] * (-len(totals) % lanes)]
        for start in range(0, len(filled), lanes):
            found = self._lane_sums(b, filled[start : start + lanes])
            place = self.vec.vector_at(b, sums, INT64(first + start))
            b.store(b.fadd(b.load(place, align=self._bytes), found), place, align=self._bytes)

    def _lane_sums(self, b: ir.IRBuilder, vectors: list[ir.Value]) -> ir.Value:
        """Return one vector, of the sums over the lanes of as many vectors as there are lanes."""
        while len(vectors) > 1:
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            even, odd = (indices(range(part, 2 * self.vec.lanes, 2)) for part in range(2))
            vectors = [
                b.fadd(b.shuffle_vector(x, y, even), b.shuffle_vector(x, y, odd)) for x, y in pairs
            ]
        return vectors[0]


def _transposed(b: ir.IRBuilder, lines: list[ir.Value]) -> list[ir.Value]:
    """Return the columns of 16 vectors of 16 numbers."""
    count = len(lines)
    # Each round deals the numbers of the k-th line and of the one half of all lines later in turn.
    low = indices(k // 2 + count * (k % 2) for k in range(count))
    high = indices(count // 2 + k // 2 + count * (k % 2) for k in range(count))
    for _ in range(count.bit_length() - 1):
        half = count // 2
        lines = [
            b.shuffle_vector(lines[k], lines[k + half], each)
            for k in range(half)
            for each in (low, high)
        ]
    return lines
