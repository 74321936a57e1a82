"""Machine code of least squares for the angles of bricks, on a tile of real states.

A tile's columns are the circuit's state and its derivatives by all angles, each a state that stays in
the core's cache while all gates behind its angle are applied to it. The equations of a step are made
four columns by four, and solved by Cholesky's factors, each state's in its own lane.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

from llvmlite import ir

from ..machine_code import INT64, carrying, compiled, loop
from .tile_code import (
    call,
    constant,
    fma,
    groups,
    load_number,
    load_row,
    new_function,
    row_address,
    store_row,
    variable,
)

__all__ = ["BLOCK", "brick_columns", "brick_step"]

BLOCK = 4
"""Columns whose products are summed at once; the derivatives are filled up to a multiple of it."""
Rows = list[ir.Value]


@cache
def brick_columns() -> Callable[..., None]:
    """Return the function that makes the columns of a tile.

    Returns:
        A function of addresses and numbers: columns ``(1 + angles, size, LANES)``, cosines and sines
        of the half angles ``(angles, 2, LANES)``, amplitudes below each CZ ``(pairs,)`` int64, pairs,
        qubits, size, and 1 for all columns or 0 for the state alone.
    """
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 7)(compiled(_columns()))


@cache
def brick_step() -> Callable[..., None]:
    """Return the function that solves a step's equations.

    Returns:
        A function of addresses and numbers: columns as above, filled up with zeros to ``1 + count``,
        wanted states ``(size, LANES)``, of which the state's differences are taken, space for
        ``(count, count, LANES)`` and ``(count, LANES)`` numbers, damping ``(LANES,)``, steps ``(count,
        LANES)``, count, a multiple of :data:`BLOCK`, and size.
    """
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 8)(compiled(_step()))


def _columns() -> ir.Function:
    module = ir.Module(name="brick columns")
    gate, start = _gate(module), _start(module)
    function, b = new_function(module, "columns", 7, internal=False)
    columns, turns, table, pairs, qubits, size, slopes = function.args

    def column(number: ir.Value) -> ir.Value:
        return row_address(b, columns, b.mul(number, size))

    def turn_of(pair: ir.Value) -> ir.Value:
        return row_address(b, turns, b.mul(INT64(2), b.add(qubits, b.mul(INT64(2), pair))))

    def born(pair: ir.Value) -> ir.Value:
        """Return the number of the first column of a pair's own angles."""
        return b.add(b.add(qubits, INT64(1)), b.mul(INT64(2), pair))

    one = INT64(1)
    with loop(b, b.add(one, b.mul(slopes, qubits))) as number:
        b.call(start, [column(number), turns, qubits, b.sub(number, one)])
    with loop(b, pairs) as pair:
        below = load_number(b, table, pair)
        b.call(gate, [column(INT64(0)), turn_of(pair), below, size])
        with b.if_then(b.icmp_signed("!=", slopes, INT64(0))):
            first, second = (column(b.add(born(pair), INT64(k))) for k in range(2))
            with groups(b, below, size) as rows:
                seen = [load_row(b, columns, row) for row in rows]
                for address, pattern in ((first, (2, 3, 0, 1)), (second, (1, 0, 3, 2))):
                    for row, source in zip(rows, pattern, strict=True):
                        # A higher one is the turned lower one.
                        half = constant(-0.5 if pattern[source] < source else 0.5)
                        store_row(b, address, row, b.fmul(half, seen[source]))
    with b.if_then(b.icmp_signed("!=", slopes, INT64(0))):
        with loop(b, b.add(qubits, one), one) as number, loop(b, pairs) as pair:
            below = load_number(b, table, pair)
            b.call(gate, [column(number), turn_of(pair), below, size])
        with loop(b, pairs) as origin, loop(b, INT64(2)) as side:
            number = b.add(born(origin), side)
            with loop(b, pairs, b.add(origin, one)) as pair:
                below = load_number(b, table, pair)
                b.call(gate, [column(number), turn_of(pair), below, size])
    b.ret_void()
    return function


def _gate(module: ir.Module) -> ir.Function:
    """Write the function that applies a CZ and the turns of its two qubits to a column."""
    function, b = new_function(module, "gate", 4, internal=True)
    column, turns, below, size = function.args
    c1, s1, c2, s2 = (load_row(b, turns, INT64(k)) for k in range(4))
    with groups(b, below, size) as rows:
        x = [load_row(b, column, row) for row in rows]
        x[3] = b.fsub(constant(-0.0), x[3])
        for (c, s), pairs in (((c1, s1), ((0, 2), (1, 3))), ((c2, s2), ((0, 1), (2, 3)))):
            for low, high in pairs:
                x[low], x[high] = (
                    fma(b, c, x[low], b.fsub(constant(-0.0), b.fmul(s, x[high]))),
                    fma(b, s, x[low], b.fmul(c, x[high])),
                )
        for row, value in zip(rows, x, strict=True):
            store_row(b, column, row, value)
    b.ret_void()
    return function


def _start(module: ir.Module) -> ir.Function:
    """Write the function that turns each qubit of \\|0>, or one of them by the derivative."""
    function, b = new_function(module, "start", 4, internal=True)
    column, turns, qubits, slope = function.args
    store_row(b, column, INT64(0), constant(1.0))
    with carrying(b, qubits, [INT64(1)]) as (number, width, new):
        place = b.sub(b.sub(qubits, INT64(1)), number)  # the last one's bit is the lowest
        row = b.mul(INT64(2), place)
        c, s = load_row(b, turns, row), load_row(b, turns, b.add(row, INT64(1)))
        here = b.icmp_signed("==", place, slope)
        low = b.select(here, b.fmul(constant(-0.5), s), c)
        high = b.select(here, b.fmul(constant(0.5), c), s)
        with loop(b, width[0]) as each:
            value = load_row(b, column, each)
            store_row(b, column, b.add(width[0], each), b.fmul(high, value))
            store_row(b, column, each, b.fmul(low, value))
        new.append(b.mul(width[0], INT64(2)))
    b.ret_void()
    return function


def _step() -> ir.Function:
    module = ir.Module(name="brick step")
    function, b = new_function(module, "step", 8, internal=False)
    columns, wanted, matrix, spare, damping, steps, count, size = function.args
    with loop(b, size) as row:
        store_row(b, wanted, row, b.fsub(load_row(b, wanted, row), load_row(b, columns, row)))
    slopes = row_address(b, columns, size)
    _products(b, slopes, wanted, matrix, steps, count, size)
    _solve(b, matrix, spare, load_row(b, damping, INT64(0)), steps, count)
    b.ret_void()
    return function


def _products(
    b: ir.IRBuilder,
    slopes: ir.Value,
    missing: ir.Value,
    matrix: ir.Value,
    steps: ir.Value,
    count: ir.Value,
    size: ir.Value,
) -> None:
    """Write the products of the columns with each other, and with what is missing."""
    wide = INT64(BLOCK)
    with loop(b, b.sdiv(count, wide)) as block:
        first = b.mul(block, wide)
        mine = [row_address(b, slopes, b.mul(b.add(first, INT64(k)), size)) for k in range(BLOCK)]
        with carrying(b, size, [constant(0.0)] * BLOCK) as (row, totals, new):
            each = load_row(b, missing, row)
            new += [
                fma(b, load_row(b, base, row), each, total)
                for base, total in zip(mine, totals, strict=True)
            ]
        for k, total in enumerate(totals):
            store_row(b, steps, b.add(first, INT64(k)), total)
        with loop(b, b.add(block, INT64(1))) as other:
            second = b.mul(other, wide)
            theirs = [
                row_address(b, slopes, b.mul(b.add(second, INT64(k)), size)) for k in range(BLOCK)
            ]
            with carrying(b, size, [constant(0.0)] * BLOCK**2) as (row, totals, new):
                left, right = ([load_row(b, base, row) for base in side] for side in (mine, theirs))
                new += [
                    fma(b, left[k // BLOCK], right[k % BLOCK], total)
                    for k, total in enumerate(totals)
                ]
            for k, total in enumerate(totals):
                at = b.mul(b.add(first, INT64(k // BLOCK)), count)
                store_row(b, matrix, b.add(at, b.add(second, INT64(k % BLOCK))), total)


def _solve(
    b: ir.IRBuilder,
    matrix: ir.Value,
    spare: ir.Value,
    damping: ir.Value,
    steps: ir.Value,
    count: ir.Value,
) -> None:
    """Solve the damped equations in place, by Cholesky's factors of the lower half."""

    def place(row: ir.Value, column: ir.Value) -> ir.Value:
        return b.add(b.mul(row, count), column)

    total = variable(b)
    with loop(b, count) as k:
        diagonal = b.fadd(load_row(b, matrix, place(k, k)), damping)
        # What is left of it is never less than the damping, but for rounding.
        large = b.fcmp_ordered(">", diagonal, damping)
        inverse = b.fdiv(constant(1.0), call(b, "sqrt", b.select(large, diagonal, damping)))
        store_row(b, matrix, place(k, k), inverse)
        after = b.add(k, INT64(1))
        with loop(b, count, after) as i:
            value = b.fmul(inverse, load_row(b, matrix, place(i, k)))
            store_row(b, matrix, place(i, k), value)
            store_row(b, spare, i, value)
        with loop(b, count, after) as i:
            factor = b.fsub(constant(-0.0), load_row(b, spare, i))
            row = b.mul(i, count)
            with loop(b, b.add(i, INT64(1)), after) as j:
                at = b.add(row, j)
                store_row(
                    b, matrix, at, fma(b, factor, load_row(b, spare, j), load_row(b, matrix, at))
                )
    with loop(b, count) as i:
        b.store(load_row(b, steps, i), total)
        with loop(b, i) as k:
            factor = b.fsub(constant(-0.0), load_row(b, matrix, place(i, k)))
            b.store(fma(b, factor, load_row(b, steps, k), b.load(total)), total)
        store_row(b, steps, i, b.fmul(load_row(b, matrix, place(i, i)), b.load(total)))
    with loop(b, count) as number:
        i = b.sub(b.sub(count, INT64(1)), number)
        value = b.fmul(load_row(b, matrix, place(i, i)), load_row(b, steps, i))
        store_row(b, steps, i, value)
        factor = b.fsub(constant(-0.0), value)
        with loop(b, i) as k:
            store_row(
                b, steps, k, fma(b, factor, load_row(b, matrix, place(i, k)), load_row(b, steps, k))
            )
