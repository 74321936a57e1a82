"""What machine code for tiles of real states is made of: rows of lanes, their sums and products.

A tile holds as many states as a vector of the processor has lanes, one amplitude of each in a row. A
lane never meets another, so what becomes of a state does not depend on its neighbours, to the last
bit; and products are added with one rounding, so it does not depend on the processor either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from llvmlite import ir

from ..machine_code import INT64, loop, widest

__all__ = [
    "LANES",
    "VECTOR",
    "call",
    "constant",
    "dot",
    "fma",
    "groups",
    "load_number",
    "load_row",
    "new_function",
    "row_address",
    "signed_sum",
    "store_row",
    "unit_vector",
    "variable",
]

LANES = widest() // 4
"""States of a tile."""
VECTOR = ir.VectorType(ir.FloatType(), LANES)
ALIGN = 4 * LANES


@contextmanager
def groups(b: ir.IRBuilder, below: ir.Value, size: ir.Value) -> Iterator[list[ir.Value]]:
    """Loop over the groups of four amplitudes that a gate on two neighbours mixes.

    Args:
        b: Writer of the function.
        below: Amplitudes that the qubits behind the two on the line have.
        size: Those of all.
    """
    wide = b.mul(below, INT64(4))
    with loop(b, b.sdiv(size, wide)) as outer:
        first = b.mul(outer, wide)
        with loop(b, below) as inner:
            start = b.add(first, inner)
            yield [b.add(start, b.mul(below, INT64(k))) for k in range(4)]


def new_function(
    module: ir.Module, name: str, count: int, *, internal: bool
) -> tuple[ir.Function, ir.IRBuilder]:
    """Return a function of ``count`` addresses and numbers; an internal one is called in its module."""
    kind = ir.FunctionType(ir.VoidType(), [INT64] * count)
    function = ir.Function(module, kind, name=name)
    if internal:
        function.linkage = "internal"
    return function, ir.IRBuilder(function.append_basic_block("entry"))


def constant(value: float) -> ir.Constant:
    """Return one number in all lanes."""
    # LLVM prints single precision by its value in double.
    return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)


def row_address(b: ir.IRBuilder, base: ir.Value, row: ir.Value) -> ir.Value:
    """Return the address of a row of lanes, as a number."""
    return b.add(base, b.mul(row, INT64(ALIGN)))


def _row_place(b: ir.IRBuilder, base: ir.Value, row: ir.Value) -> ir.Value:
    return b.inttoptr(row_address(b, base, row), ir.PointerType(VECTOR))


def store_row(b: ir.IRBuilder, base: ir.Value, row: ir.Value, value: ir.Value) -> None:
    """Overwrite a row."""
    b.store(value, _row_place(b, base, row), align=ALIGN)


def variable(b: ir.IRBuilder) -> ir.Value:
    """Return the address of a row of zeros that lives as long as the call."""
    found = b.alloca(VECTOR)
    found.align = ALIGN
    b.store(constant(0.0), found)
    return found


def load_row(b: ir.IRBuilder, base: ir.Value, row: ir.Value) -> ir.Value:
    """Return a row."""
    return b.load(_row_place(b, base, row), align=ALIGN)


def load_number(b: ir.IRBuilder, table: ir.Value, place: ir.Value) -> ir.Value:
    """Return a whole number of a table of int64."""
    return b.load(b.inttoptr(b.add(table, b.mul(place, INT64(8))), ir.PointerType(INT64)))


def call(b: ir.IRBuilder, name: str, *values: ir.Value) -> ir.Value:
    """Return what one of LLVM's own functions makes of rows."""
    whole = f"llvm.{name}.v{LANES}f32"
    kind = ir.FunctionType(VECTOR, [VECTOR] * len(values))
    known = b.module.globals.get(whole) or ir.Function(b.module, kind, name=whole)
    return b.call(known, values)


def fma(b: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """Return ``x y + z``, rounded once."""
    return call(b, "fma", x, y, z)


def dot(b: ir.IRBuilder, xs: list[ir.Value], ys: list[ir.Value]) -> ir.Value:
    """Return the sum of products."""
    total = b.fmul(xs[0], ys[0])
    for x, y in zip(xs[1:], ys[1:], strict=True):
        total = fma(b, x, y, total)
    return total


def signed_sum(b: ir.IRBuilder, terms: list[tuple[ir.Value, int]]) -> ir.Value:
    """Return the sum of rows, each with its sign, 1 or -1."""
    (first, sign), *more = terms
    total = first if sign > 0 else b.fsub(constant(-0.0), first)
    for value, sign in more:
        total = b.fadd(total, value) if sign > 0 else b.fsub(total, value)
    return total


def unit_vector(
    b: ir.IRBuilder, values: list[ir.Value], otherwise: list[ir.Value]
) -> list[ir.Value]:
    """Return a vector of norm 1; where there is no direction, the other one."""
    square = dot(b, values, values)
    there = b.fcmp_ordered(">", square, constant(0.0))
    scale = b.fdiv(constant(1.0), call(b, "sqrt", b.select(there, square, constant(1.0))))
    return [b.select(there, b.fmul(scale, x), y) for x, y in zip(values, otherwise, strict=True)]
