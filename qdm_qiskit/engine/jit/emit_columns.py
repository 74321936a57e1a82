"""Functions on one column: a real vector over Pauli strings, one base-4 digit for each qubit.

A block on two qubits is a 16 x 16 matrix, one on a single qubit 4 x 4. It is applied to tiles: the
numbers of the block's digits and of two more, the lanes, while all others stand still. A tile goes
into a buffer of ``(rows, 16)`` numbers, multiplied there and put back. How it is brought depends on
where the last two digits of the vector are, since these lie next to each other in memory:

* "runs": both are lanes; a row is one run of 16 numbers;
* "pieces": the last is a lane and the one before a row; a row is four pieces of 4 numbers;
* "crossed": the last is a row; four pieces of four lanes are transposed.

Source:
    The products are those of GotoBLAS (Goto and van de Geijn, "Anatomy of high-performance matrix
    multiplication", 2008): a panel of results in registers, operands packed in the nearest cache.
"""

from __future__ import annotations

from typing import Literal

from llvmlite import ir

from .emit_vectors import INT32, INT64, VectorWriter, carrying, indices, loop

__all__ = [
    "FIELDS",
    "LANES",
    "ColumnWriter",
    "Form",
    "Mode",
]

LANES = 16
"""Numbers of a row of a tile: two digits."""
FIELDS = 8
"""Numbers of a record: the function's address and its seven arguments."""
_PACKED_BYTES = 2**13
"""Bytes of packed tiles whose outer products are taken together, for each of both operands."""

Mode = Literal["runs", "pieces", "crossed"]
Form = Literal["forward", "transposed"]


class ColumnWriter:
    """Writer of functions of seven addresses or numbers, each into a module of its own.

    Args:
        vectors: Writer of loads, products and stores, of the processor's widest vectors.
    """

    def __init__(self, vectors: VectorWriter) -> None:
        self.vec = vectors
        self.parts = max(LANES // vectors.lanes, 1)
        self._quad = ir.VectorType(vectors.real, 4)
        self._quad_align = vectors.bits // 8 * 4
        registers = 32 if vectors.align == 64 else 16
        self.panel = (4, 4) if registers == 32 else (4, 2)
        """Rows and columns of a matrix's gradient that are summed at once: its order in memory."""
        self._accumulators = registers // 2

    def run(self) -> ir.Function:
        """Write (table, first, end): call the functions of records, each with its arguments."""
        function, b = self.vec.function("run", 3)
        table, first, end = function.args
        pointer = b.inttoptr(table, ir.PointerType(INT64))
        kind = ir.FunctionType(ir.VoidType(), [INT64] * (FIELDS - 1))
        with loop(b, end, first) as k:
            start = b.mul(k, INT64(FIELDS))
            fields = [b.load(b.gep(pointer, [b.add(start, INT64(j))])) for j in range(FIELDS)]
            b.call(b.inttoptr(fields[0], kind.as_pointer()), fields[1:])
        b.ret_void()
        return function

    def apply(self, rows: int, mode: Mode, form: Form) -> ir.Function:
        """Write (from, to, tiles, bases, places, matrix, unused): apply a block."""
        function, b = self.vec.function("apply", FIELDS - 1)
        source, target, count, bases, places, matrix, _ = function.args
        source, target, matrix = (self._reals(b, each) for each in (source, target, matrix))
        bases, places = (b.inttoptr(each, ir.PointerType(INT32)) for each in (bases, places))
        here, there = self._buffer(b, rows * LANES), self._buffer(b, rows * LANES)
        with loop(b, count) as tile:
            base = self.vec.index(b, bases, tile)
            self._pack(b, rows, mode, b.gep(source, [base]), places, here)
            self._multiply(b, rows, form, here, matrix, there)
            self._unpack(b, rows, mode, there, places, b.gep(target, [base]))
        b.ret_void()
        return function

    def pull(self, rows: int, mode: Mode, form: Form) -> ir.Function:
        """Write (vector before, gradient, tiles, bases, places, matrix, sums): go back over a block.

        The gradient is that behind the block, and becomes that before it. The matrix's is added to
        the sums, panel by panel: that of the block as it was applied, in its form.
        """
        function, b = self.vec.function("pull", FIELDS - 1)
        values, grad, count, bases, places, matrix, sums = function.args
        values, grad, matrix, sums = (self._reals(b, each) for each in (values, grad, matrix, sums))
        bases, places = (b.inttoptr(each, ir.PointerType(INT32)) for each in (bases, places))
        size = rows * LANES
        most = max(_PACKED_BYTES // (size * self.vec.bits // 8), 1)
        left, right = self._buffer(b, most * size), self._buffer(b, most * size)
        result = self._buffer(b, size)
        back: Form = "transposed" if form == "forward" else "forward"
        chunks = b.sdiv(b.add(count, INT64(most - 1)), INT64(most))
        with loop(b, chunks) as chunk:
            first = b.mul(chunk, INT64(most))
            rest = b.sub(count, first)
            used = b.select(b.icmp_signed("<", rest, INT64(most)), rest, INT64(most))
            with loop(b, used) as k:
                base = self.vec.index(b, bases, b.add(first, k))
                place = [b.mul(k, INT64(size))]
                g, v = b.gep(left, place), b.gep(right, place)
                self._pack(b, rows, mode, b.gep(grad, [base]), places, g)
                self._pack(b, rows, mode, b.gep(values, [base]), places, v)
                self._multiply(b, rows, back, g, matrix, result)
                self._unpack(b, rows, mode, result, places, b.gep(grad, [base]))
            self._outer(b, rows, used, left, right, sums)
        b.ret_void()
        return function

    def scatter(self) -> ir.Function:
        """Write (from, to, count, places): number k goes to the k-th place."""
        return self._moved("scatter")

    def gather(self) -> ir.Function:
        """Write (from, to, count, places): number k comes from the k-th place."""
        return self._moved("gather")

    def clear(self) -> ir.Function:
        """Write (unused, to, count): write zeros, a multiple of 16."""
        function, b = self.vec.function("clear", FIELDS - 1)
        target = self._reals(b, function.args[1])
        with loop(b, b.sdiv(function.args[2], INT64(self.vec.lanes))) as k:
            place = self.vec.vector_at(b, target, b.mul(k, INT64(self.vec.lanes)))
            b.store(self.vec.zero(), place, align=self.vec.align)
        b.ret_void()
        return function

    def grow(self) -> ir.Function:
        """Write (vector, unused, size, unused, unused, new): multiply a vector by that of a new digit.

        The vector of ``size`` numbers becomes one of four times as many, the new digit the first.
        """
        function, b = self.vec.function("grow", FIELDS - 1)
        vector, _, size, _, _, new, _ = function.args
        vector, new = self._reals(b, vector), self._reals(b, new)
        factors = [b.load(b.gep(new, [INT64(d)])) for d in range(4)]
        with loop(b, size) as k:
            x = b.load(b.gep(vector, [k]))
            for digit, factor in enumerate(factors):
                place = b.add(b.mul(size, INT64(digit)), k)
                b.store(b.fmul(x, factor), b.gep(vector, [place]))
        b.ret_void()
        return function

    def shrink(self) -> ir.Function:
        """Write (gradient, unused, size, unused, unused, new): go back over :meth:`grow`."""
        function, b = self.vec.function("shrink", FIELDS - 1)
        grad, _, size, _, _, new, _ = function.args
        grad, new = self._reals(b, grad), self._reals(b, new)
        factors = [b.load(b.gep(new, [INT64(d)])) for d in range(4)]
        with loop(b, size) as k:
            total = ir.Constant(self.vec.real, 0.0)
            for digit, factor in enumerate(factors):
                place = b.add(b.mul(size, INT64(digit)), k)
                total = b.fadd(total, b.fmul(factor, b.load(b.gep(grad, [place]))))
            b.store(total, b.gep(grad, [k]))
        b.ret_void()
        return function

    # ------------------------------------------------------------------ parts

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

    def _reals(self, b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return b.inttoptr(address, ir.PointerType(self.vec.real))

    def _buffer(self, b: ir.IRBuilder, numbers: int) -> ir.Value:
        buffer = b.alloca(self.vec.vector, numbers // self.vec.lanes)
        buffer.align = 64
        return b.bitcast(buffer, ir.PointerType(self.vec.real))

    def _vector(self, b: ir.IRBuilder, base: ir.Value, place: ir.Value) -> ir.Value:
        return b.load(self.vec.vector_at(b, base, place), align=self.vec.align)

    def _set_vector(self, b: ir.IRBuilder, base: ir.Value, place: ir.Value, x: ir.Value) -> None:
        b.store(x, self.vec.vector_at(b, base, place), align=self.vec.align)

    def _quad_at(self, b: ir.IRBuilder, base: ir.Value, place: ir.Value) -> ir.Value:
        return b.bitcast(b.gep(base, [place]), ir.PointerType(self._quad))

    def _pack(
        self, b: ir.IRBuilder, rows: int, mode: Mode, at: ir.Value, places: ir.Value, to: ir.Value
    ) -> None:
        """Bring a tile into a buffer."""
        self._carry(b, rows, mode, at, places, to, into_buffer=True)

    def _unpack(
        self, b: ir.IRBuilder, rows: int, mode: Mode, here: ir.Value, places: ir.Value, at: ir.Value
    ) -> None:
        """Put a tile back."""
        self._carry(b, rows, mode, at, places, here, into_buffer=False)

    def _carry(
        self,
        b: ir.IRBuilder,
        rows: int,
        mode: Mode,
        memory: ir.Value,
        places: ir.Value,
        buffer: ir.Value,
        *,
        into_buffer: bool,
    ) -> None:
        if mode == "runs":
            for row in range(rows):
                place = self.vec.index(b, places, row)
                for part in range(self.parts):
                    shift = INT64(part * self.vec.lanes)
                    outside = memory, b.add(place, shift)
                    inside = buffer, INT64(row * LANES + part * self.vec.lanes)
                    source, target = (outside, inside) if into_buffer else (inside, outside)
                    self._set_vector(b, *target, self._vector(b, *source))
            return
        with loop(b, INT64(rows)) as group:  # four pieces each
            first = b.mul(group, INT64(4))
            outside_quads = [
                self._quad_at(b, memory, self.vec.index(b, places, b.add(first, INT64(k))))
                for k in range(4)
            ]
            lane, other = b.and_(group, INT64(3)), b.ashr(group, INT64(2))
            inside_quads = []
            for k in range(4):
                if mode == "pieces":
                    place = b.add(b.mul(group, INT64(LANES)), INT64(4 * k))
                else:
                    rows_at = b.add(b.mul(other, INT64(4)), INT64(4 * rows + k))
                    row = self.vec.index(b, places, rows_at)
                    place = b.add(b.mul(row, INT64(LANES)), b.mul(lane, INT64(4)))
                inside_quads.append(self._quad_at(b, buffer, place))
            both = outside_quads, inside_quads
            sources, targets = both if into_buffer else both[::-1]
            quads = [b.load(each, align=self._quad_align) for each in sources]
            if mode == "crossed":
                quads = _transposed(b, quads)
            for quad, target in zip(quads, targets, strict=True):
                b.store(quad, target, align=self._quad_align)

    def _multiply(
        self,
        b: ir.IRBuilder,
        rows: int,
        form: Form,
        here: ir.Value,
        matrix: ir.Value,
        there: ir.Value,
    ) -> None:
        """Multiply a tile by a matrix, a panel of rows after the other."""
        width = min(self.parts, 4)
        height = min(self._accumulators // width, rows)
        for start in range(0, self.parts, width):
            with loop(b, INT64(rows // height)) as panel:
                top = b.mul(panel, INT64(height))
                totals: list[list[ir.Value | None]] = [[None] * width for _ in range(height)]
                for column in range(rows):
                    x = [
                        self._vector(b, here, INT64(column * LANES + part * self.vec.lanes))
                        for part in range(start, start + width)
                    ]
                    for k in range(height):
                        row = b.add(top, INT64(k))
                        if form == "forward":
                            place = b.add(b.mul(row, INT64(rows)), INT64(column))
                        else:
                            place = b.add(row, INT64(column * rows))
                        weight = self.vec.scalar(b, matrix, place)
                        for part in range(width):
                            totals[k][part] = self.vec.fma(b, weight, x[part], totals[k][part])
                for k, line in enumerate(totals):
                    row = b.mul(b.add(top, INT64(k)), INT64(LANES))
                    for part, total in enumerate(line):
                        shift = INT64((start + part) * self.vec.lanes)
                        self._set_vector(b, there, b.add(row, shift), total)

    def _outer(
        self,
        b: ir.IRBuilder,
        rows: int,
        count: ir.Value,
        left: ir.Value,
        right: ir.Value,
        sums: ir.Value,
    ) -> None:
        """Add the products of each row on the left with each on the right, summed over lanes."""
        high, low = self.panel
        with loop(b, INT64(rows // high)) as i, loop(b, INT64(rows // low)) as j:
            above = b.mul(i, INT64(high * LANES))
            below = b.mul(j, INT64(low * LANES))
            zeros = [self.vec.zero()] * (high * low)
            with carrying(b, count, zeros) as (k, carried, new):
                tile = b.mul(k, INT64(rows * LANES))
                totals = list(carried)
                for part in range(self.parts):
                    shift = b.add(tile, INT64(part * self.vec.lanes))
                    x, y = (
                        [
                            self._vector(b, base, b.add(b.add(start, INT64(r * LANES)), shift))
                            for r in range(number)
                        ]
                        for base, start, number in ((left, above, high), (right, below, low))
                    )
                    for r in range(high):
                        for c in range(low):
                            place = r * low + c
                            totals[place] = self.vec.fma(b, x[r], y[c], totals[place])
                new += totals
            panel = b.add(b.mul(i, INT64(rows // low)), j)
            start = b.mul(panel, INT64(high * low))
            for first in range(0, high * low, self.vec.lanes):
                found = self._lane_sums(b, carried[first : first + self.vec.lanes])
                place = self.vec.vector_at(b, sums, b.add(start, INT64(first)))
                b.store(b.fadd(b.load(place, align=self.vec.bits // 8), found), place,
                        align=self.vec.bits // 8)  # fmt: skip

    def _lane_sums(self, b: ir.IRBuilder, vectors: list[ir.Value]) -> ir.Value:
        """Return one vector, of the sums over the lanes of as many vectors as there are lanes."""
        while len(vectors) > 1:
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            even, odd = (indices(range(part, 2 * self.vec.lanes, 2)) for part in range(2))
            vectors = [
                b.fadd(b.shuffle_vector(x, y, even), b.shuffle_vector(x, y, odd)) for x, y in pairs
            ]
        return vectors[0]


def _transposed(b: ir.IRBuilder, quads: list[ir.Value]) -> list[ir.Value]:
    """Return the columns of four vectors of 4 numbers."""
    one, two, three, four = quads
    low, high = indices([0, 4, 1, 5]), indices([2, 6, 3, 7])
    first, second = b.shuffle_vector(one, two, low), b.shuffle_vector(three, four, low)
    third, fourth = b.shuffle_vector(one, two, high), b.shuffle_vector(three, four, high)
    front, back = indices([0, 1, 4, 5]), indices([2, 3, 6, 7])
    return [
        b.shuffle_vector(first, second, front),
        b.shuffle_vector(first, second, back),
        b.shuffle_vector(third, fourth, front),
        b.shuffle_vector(third, fourth, back),
    ]
