"""Machine code of the sweeps over blocks of SO(4), on a tile of real states.

A tile holds as many states as a vector has lanes; a lane never meets another, so what becomes of a
state does not depend on its neighbours, to the last bit. All sweeps of a tile are one call, whose
states stay in the core's cache.

A circuit of K blocks has K + 1 places between them, each with room for one state. On the way back
the room behind a block holds what all later blocks, undone, leave of the wanted state, and the room
before it what the earlier ones make of \\|0>; on the way forth they change roles, so one array of
states is enough.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from llvmlite import ir

from ..machine_code import INT64, carrying, compiled, loop
from .tile_code import (
    call,
    constant,
    dot,
    fma,
    groups,
    load_number,
    load_row,
    new_function,
    row_address,
    signed_sum,
    store_row,
    unit_vector,
    variable,
)

__all__ = ["block_sweeps"]


SQUARINGS = 4
"""Squarings of a form's square: as good as ``2**4`` alternating products, at once."""
TINY = 1e-30
"""Least size of a form that is scaled to 1 / 2."""


@cache
def block_sweeps(
    signed: tuple[tuple[tuple[int, int, int], ...], ...], momentum: float
) -> Callable[..., None]:
    """Return the function that sweeps over the blocks of a tile.

    Args:
        signed: For each pair of a block's 4 x 4 products the entries ``(row, column, sign)`` of its
            matrix.
        momentum: Share of its latest change that a quaternion is moved on by before a sweep.

    Returns:
        A function of addresses and numbers: rooms ``(blocks + 1, size, LANES)``, wanted states
        ``(size, LANES)``, quaternions ``(blocks, 8, LANES)``, which are changed, space for as many,
        amplitudes below each block ``(blocks,)`` int64, blocks, size, sweeps, and sweeps at the start
        and at the end without momentum.
    """
    function = _Writer(signed, momentum).sweeps()
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 9)(compiled(function))


class _Block(NamedTuple):
    """Addresses of the states before and behind a block, and of what it does to them."""

    here: ir.Value
    behind: ir.Value
    quaternions: ir.Value
    below: ir.Value
    size: ir.Value


def _block(
    b: ir.IRBuilder,
    rooms: ir.Value,
    vectors: ir.Value,
    table: ir.Value,
    k: ir.Value,
    size: ir.Value,
) -> _Block:
    return _Block(
        row_address(b, rooms, b.mul(k, size)),
        row_address(b, rooms, b.mul(b.add(k, INT64(1)), size)),
        row_address(b, vectors, b.mul(k, INT64(8))),
        load_number(b, table, k),
        size,
    )


class _Writer:
    def __init__(
        self,
        signed: tuple[tuple[tuple[int, int, int], ...], ...],
        momentum: float,
    ) -> None:
        self.signed, self.momentum = signed, momentum
        self.module = ir.Module(name="block sweeps")
        self.applied = self._applied()
        self.raised = self._raised()

    def sweeps(self) -> ir.Function:
        function, b = new_function(self.module, "sweeps", 9, internal=False)
        rooms, wanted, vectors, before, table, blocks, size, sweeps, free = function.args
        best = variable(b)
        factor = variable(b)
        last = b.mul(blocks, size)

        def block(k: ir.Value) -> _Block:
            return _block(b, rooms, vectors, table, k, size)

        with loop(b, sweeps) as sweep:
            pushed = b.and_(
                b.icmp_signed("<=", free, sweep),
                b.icmp_signed("<", sweep, b.sub(sweeps, free)),
            )
            with b.if_then(pushed):
                again = b.icmp_signed("<", free, sweep)
                share = b.select(again, b.load(factor), constant(0.0))
                with loop(b, blocks) as k:
                    self._push(b, vectors, before, k, share)
            with b.if_then(b.or_(pushed, b.icmp_signed("==", sweep, INT64(0)))):
                self._begin(b, rooms, size)
                with loop(b, blocks) as k:
                    self._apply(b, block(k), back=False)
            with loop(b, size) as row:
                store_row(b, rooms, b.add(last, row), load_row(b, wanted, row))
            with loop(b, blocks) as number:
                k = b.sub(b.sub(blocks, INT64(1)), number)
                each = block(k)
                self._raise(b, each)
                self._apply(b, each, back=True)
            self._begin(b, rooms, size)
            with loop(b, blocks) as k:
                each = block(k)
                self._raise(b, each)
                self._apply(b, each, back=False)
            with carrying(b, size, [constant(0.0)]) as (row, total, new):
                found = load_row(b, rooms, b.add(last, row))
                new.append(fma(b, found, load_row(b, wanted, row), total[0]))
            overlap = call(b, "fabs", total[0])
            gained = b.fcmp_ordered(">=", overlap, b.load(best))
            b.store(b.select(gained, constant(self.momentum), constant(0.0)), factor)
            b.store(overlap, best)
        b.ret_void()
        return function

    @staticmethod
    def _begin(b: ir.IRBuilder, rooms: ir.Value, size: ir.Value) -> None:
        """Put \\|0> into the first room."""
        with loop(b, size) as row:
            first = b.icmp_signed("==", row, INT64(0))
            store_row(b, rooms, row, b.select(first, constant(1.0), constant(0.0)))

    @staticmethod
    def _push(
        b: ir.IRBuilder, vectors: ir.Value, before: ir.Value, k: ir.Value, share: ir.Value
    ) -> None:
        """Move a block's quaternions on by a share of their latest change."""
        for side in range(2):
            rows = [b.add(b.mul(k, INT64(8)), INT64(4 * side + part)) for part in range(4)]
            new, old = ([load_row(b, each, row) for row in rows] for each in (vectors, before))
            moved = [fma(b, share, b.fsub(x, y), x) for x, y in zip(new, old, strict=True)]
            for row, value, unit in zip(rows, new, unit_vector(b, moved, new), strict=True):
                store_row(b, before, row, value)
                store_row(b, vectors, row, unit)

    def _apply(self, b: ir.IRBuilder, block: _Block, *, back: bool) -> None:
        source, goal = (block.behind, block.here) if back else (block.here, block.behind)
        arguments = [source, goal, block.quaternions, block.below, block.size]
        b.call(self.applied, [*arguments, INT64(int(back))])

    def _raise(self, b: ir.IRBuilder, block: _Block) -> None:
        arguments = [block.behind, block.here, block.quaternions, block.below, block.size]
        b.call(self.raised, arguments)

    def _applied(self) -> ir.Function:
        """Write the function that applies a block, or its inverse, to a state."""
        function, b = new_function(self.module, "applied", 6, internal=True)
        source, goal, vectors, below, size, back = function.args
        # The inverse of a quaternion is its conjugate.
        sign = b.select(b.icmp_signed("==", back, INT64(0)), constant(1.0), constant(-1.0))
        p, q = (
            [
                x if part == 0 else b.fmul(sign, x)
                for part in range(4)
                for x in [load_row(b, vectors, INT64(4 * side + part))]
            ]
            for side in range(2)
        )
        terms: dict[tuple[int, int], list[tuple[ir.Value, int]]] = {}
        for number, entries in enumerate(self.signed):
            product = b.fmul(p[number // 4], q[number % 4])
            for row, column, plus in entries:
                terms.setdefault((row, column), []).append((product, plus))
        matrix = {place: signed_sum(b, each) for place, each in terms.items()}
        with groups(b, below, size) as rows:
            seen = [load_row(b, source, row) for row in rows]
            for number, row in enumerate(rows):
                total = b.fmul(matrix[number, 0], seen[0])
                for column in range(1, 4):
                    total = fma(b, matrix[number, column], seen[column], total)
                store_row(b, goal, row, total)
        b.ret_void()
        return function

    def _raised(self) -> ir.Function:
        """Write the function that gives a block the quaternions that raise the overlap."""
        function, b = new_function(self.module, "raised", 5, internal=True)
        bra, ket, vectors, below, size = function.args
        p, q = (
            [load_row(b, vectors, INT64(4 * side + part)) for part in range(4)] for side in range(2)
        )
        above = b.sdiv(size, b.mul(below, INT64(4)))
        with carrying(b, above, [constant(0.0)] * 16) as (outer, sums, outer_new):
            first = b.mul(outer, b.mul(below, INT64(4)))
            with carrying(b, below, sums) as (inner, totals, new):
                rows = [b.add(b.add(first, inner), b.mul(below, INT64(k))) for k in range(4)]
                left, right = ([load_row(b, each, row) for row in rows] for each in (bra, ket))
                new += [fma(b, left[k // 4], right[k % 4], total) for k, total in enumerate(totals)]
            outer_new += totals
        form = [
            signed_sum(b, [(sums[4 * row + column], plus) for row, column, plus in entries])
            for entries in self.signed
        ]
        form = self._scaled(b, form)
        power = _square(b, [form[column::4] for column in range(4)])
        for _ in range(SQUARINGS):
            power = _square(b, power)
        new_q = unit_vector(b, [dot(b, row, q) for row in power], q)
        new_p = unit_vector(b, [dot(b, form[4 * i : 4 * i + 4], new_q) for i in range(4)], p)
        for row, value in enumerate([*new_p, *new_q]):
            store_row(b, vectors, INT64(row), value)
        b.ret_void()
        return function

    @staticmethod
    def _scaled(b: ir.IRBuilder, form: list[ir.Value]) -> list[ir.Value]:
        """Return a form whose largest entry is 1 / 2, so that its powers stay in range."""
        largest = constant(TINY)
        for each in form:
            size = call(b, "fabs", each)
            largest = b.select(b.fcmp_ordered(">", size, largest), size, largest)
        scale = b.fdiv(constant(0.5), largest)
        return [b.fmul(scale, each) for each in form]


def _square(b: ir.IRBuilder, rows: list[list[ir.Value]]) -> list[list[ir.Value]]:
    """Return the products of a matrix's rows with each other."""
    half = [[dot(b, rows[i], rows[j]) for j in range(i + 1)] for i in range(4)]
    return [[half[max(i, j)][min(i, j)] for j in range(4)] for i in range(4)]
