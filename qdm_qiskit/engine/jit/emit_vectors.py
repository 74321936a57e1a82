"""Vectors of samples in LLVM's code: how they are loaded, multiplied and summed.

Source:
    The LLVM Language Reference, by way of llvmlite.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ...machine_code import INT32, INT64

__all__ = [
    "Pair",
    "VectorWriter",
    "indices",
    "swap",
]

Pair = tuple[ir.Value, ir.Value]
"""A vector of real parts and one of imaginary parts."""


class VectorWriter:
    """Writer of loads, products, sums and stores, of which functions on tiles are made.

    Args:
        real: LLVM's type of a real number.
        lanes: Samples of a vector.
    """

    def __init__(self, real: ir.Type, lanes: int) -> None:
        self.real, self.lanes = real, lanes
        self.bits = 64 if isinstance(real, ir.DoubleType) else 32
        self.vector = ir.VectorType(real, lanes)
        self.align = self.bits // 8 * lanes

    def function(self, name: str, count: int) -> tuple[ir.Function, ir.IRBuilder]:
        """Return a function of ``count`` addresses and numbers, in a module of its own."""
        kind = ir.FunctionType(ir.VoidType(), [INT64] * count)
        function = ir.Function(ir.Module(name=name), kind, name=name)
        return function, ir.IRBuilder(function.append_basic_block("entry"))

    def tile_function(self, name: str) -> tuple[ir.Function, ir.IRBuilder, list[ir.Value]]:
        """Return a function on tiles, with arguments as :meth:`index` and :meth:`load` take them."""
        kinds = {
            "apply": "tnrrv",
            "overlap": "ttnrrv",
            "move": "ttnrvn",
            "turn": "tn__v",
            "products": "ttn__v",
            "apply_each": "tnrrvn",
            "slope": "ttnrrvv",
            "expect": "tnvnvn",
            "seed": "ttnvnvn",
        }[name]
        types = {"n": INT64, "_": INT64, "r": ir.PointerType(INT32)}
        kind = ir.FunctionType(
            ir.VoidType(), [types.get(each, ir.PointerType(self.real)) for each in kinds]
        )
        function = ir.Function(ir.Module(name=name), kind, name=name)
        for argument in function.args:
            if argument.type.is_pointer:
                argument.add_attribute("noalias")
        return function, ir.IRBuilder(function.append_basic_block("entry")), list(function.args)

    def vector_at(self, b: ir.IRBuilder, base: ir.Value, place: ir.Value) -> ir.Value:
        """Return the address of the vector that begins with one number of many."""
        return b.bitcast(b.gep(base, [place]), ir.PointerType(self.vector))

    def load(self, b: ir.IRBuilder, tile: ir.Value, row: ir.Value) -> Pair:
        """Return a row of a tile."""
        start = b.mul(row, INT64(2 * self.lanes))
        re, im = (
            b.load(
                self.vector_at(b, tile, b.add(start, INT64(part * self.lanes))), align=self.align
            )
            for part in range(2)
        )
        return re, im

    def pairs_apart(self, b: ir.IRBuilder, start: ir.Value) -> Pair:
        """Return complex numbers that stand one after the other, one for each lane."""
        halves = [
            b.load(self.vector_at(b, start, INT64(part * self.lanes)), align=self.bits // 8)
            for part in range(2)
        ]
        re, im = (
            b.shuffle_vector(*halves, indices(range(part, 2 * self.lanes, 2))) for part in range(2)
        )
        return re, im

    def store_pairs(self, b: ir.IRBuilder, start: ir.Value, value: Pair) -> None:
        """Write complex numbers one after the other, one for each lane."""
        for part in range(2):
            half = range(part * self.lanes // 2, (part + 1) * self.lanes // 2)
            mixed = b.shuffle_vector(
                *value, indices(k + self.lanes * side for k in half for side in range(2))
            )
            place = self.vector_at(b, start, INT64(part * self.lanes))
            b.store(mixed, place, align=self.bits // 8)

    def store(self, b: ir.IRBuilder, tile: ir.Value, row: ir.Value, value: Pair) -> None:
        """Overwrite a row of a tile."""
        start = b.mul(row, INT64(2 * self.lanes))
        for part in range(2):
            place = self.vector_at(b, tile, b.add(start, INT64(part * self.lanes)))
            b.store(value[part], place, align=self.align)

    def put(self, b: ir.IRBuilder, buffer: ir.Value, part: int, value: ir.Value) -> None:
        """Overwrite one of the two vectors of :meth:`buffer`."""
        b.store(value, self.vector_at(b, buffer, INT64(part * self.lanes)), align=self.align)

    def index(self, b: ir.IRBuilder, table: ir.Value, place: ir.Value | int) -> ir.Value:
        """Return a number of a table."""
        place = INT64(place) if isinstance(place, int) else place
        return b.zext(b.load(b.gep(table, [place])), INT64)

    def scalar(self, b: ir.IRBuilder, values: ir.Value, place: ir.Value) -> ir.Value:
        """Return one number in all lanes."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = b.insert_element(nothing, b.load(b.gep(values, [place])), INT32(0))
        return b.shuffle_vector(first, nothing, indices([0] * self.lanes))

    def entry(self, b: ir.IRBuilder, values: ir.Value, place: ir.Value, real: bool) -> Any:
        """Return a number of a matrix: real and imaginary part, or None for the latter."""
        if real:
            return self.scalar(b, values, place), None
        place = b.mul(place, INT64(2))
        return self.scalar(b, values, place), self.scalar(b, values, b.add(place, INT64(1)))

    def add_product(self, b: ir.IRBuilder, total: tuple[Any, Any], weight: Any, x: Pair) -> Pair:
        """Return ``total + weight x``."""
        (re, im), (wr, wi) = total, weight
        re, im = self.fma(b, wr, x[0], re), self.fma(b, wr, x[1], im)
        if wi is not None:
            re, im = self.fma(b, self.minus(b, wi), x[1], re), self.fma(b, wi, x[0], im)
        return re, im

    def conjugate(self, b: ir.IRBuilder, number: Any, wanted: bool) -> Any:
        """Return the conjugate of a pair, if wanted."""
        re, im = number
        return (re, self.minus(b, im)) if wanted and im is not None else (re, im)

    def turned(
        self,
        b: ir.IRBuilder,
        x: Pair,
        values: ir.Value,
        row: ir.Value,
        factors: str,
        conjugate: bool,
    ) -> Pair:
        """Return a row times its factor or its conjugate; factors are "none", "real" or "complex"."""
        if factors == "none":
            return x
        weight = self.entry(b, values, row, factors == "real")
        return self.add_product(b, (None, None), self.conjugate(b, weight, conjugate), x)

    def fma(self, b: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value | None) -> ir.Value:
        """Return ``x y + z``, rounded once; None stands for zero."""
        if z is None:
            return b.fmul(x, y)
        name = f"llvm.fma.v{self.lanes}f{self.bits}"
        return b.call(self.declared(b, name, self.vector, [self.vector] * 3), [x, y, z])

    def minus(self, b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        """Return ``-x``."""
        return b.fsub(ir.Constant(self.vector, [-0.0] * self.lanes), x)

    def zero(self) -> ir.Value:
        """Return zero in all lanes."""
        return ir.Constant(self.vector, [0.0] * self.lanes)

    def add_to(self, b: ir.IRBuilder, out: ir.Value, place: ir.Value, lanes: ir.Value) -> None:
        """Add the sum of all lanes to a number in memory."""
        name = f"llvm.vector.reduce.fadd.v{self.lanes}f{self.bits}"
        reduce = self.declared(b, name, self.real, [self.real, self.vector])
        total = b.call(reduce, [ir.Constant(self.real, -0.0), lanes], fastmath=("reassoc",))
        target = b.gep(out, [place])
        b.store(b.fadd(b.load(target), total), target)

    def declared(
        self, b: ir.IRBuilder, name: str, result: ir.Type, arguments: list[ir.Type]
    ) -> ir.Function:
        """Return one of LLVM's own functions."""
        found = b.module.globals.get(name)
        return found or ir.Function(b.module, ir.FunctionType(result, arguments), name=name)

    def buffer(self, b: ir.IRBuilder) -> ir.Value:
        """Return space for a row of a tile, made at the function's start so that loops share it."""
        with b.goto_entry_block():
            buffer = b.alloca(self.vector, 2)
            buffer.align = self.align
            return b.bitcast(buffer, ir.PointerType(self.real))


def indices(values: Any) -> ir.Constant:
    """Return the lanes of a shuffle."""
    listed = list(values)
    return ir.Constant(ir.VectorType(INT32, len(listed)), listed)


def swap(b: ir.IRBuilder, first: ir.Value, second: ir.Value) -> None:
    """Exchange the values of two variables."""
    one, two = b.load(first), b.load(second)
    b.store(two, first)
    b.store(one, second)
