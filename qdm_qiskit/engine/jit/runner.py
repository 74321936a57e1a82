"""Last steps of a program on a CPU: all of them on a few samples at a time, in machine code.

A tile of 16 samples goes through every step while it stays in the core's cache, so a step costs its
arithmetic and nothing else: no call of torch, no copy of the state in another order. The backward pass
undoes the steps from the final state, since all are unitary, and reads the gradients of the matrices on
the way; no state is kept in between. :mod:`..evolution.adjoint` does the same in calls of torch, on
any device.

The gradient travels complex conjugate, as there: where a matrix M acts on the state, its transpose
acts on the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...errors import InvalidData
from ..evolution.allocator import keep_freed_memory
from ..evolution.autograd_ops import in_full_precision, packed, squared_modulus
from ..evolution.steps import Components, Frame
from .step_table import TileTable
from .steps import Tiles
from .tile_work import lanes_of, share, summed, versions

__all__ = [
    "TileRunner",
]


class TileRunner:
    """Runner of the steps of a program, tile by tile.

    Args:
        tiles: At least one step; blocks are unitary.
    """

    def __init__(self, tiles: Tiles) -> None:
        self.tiles = tiles
        self._tables: dict[tuple[Any, ...], TileTable] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without addresses: a copy makes tables of its own."""
        return {**self.__dict__, "_tables": {}}

    def run(
        self,
        x: Tensor,
        frame: Frame,
        inputs: Tensor | None,
        weights: Tensor | None,
        diagonals: Tensor | None = None,
    ) -> Tensor:
        """Apply the steps to their component.

        Args:
            x: ``(2**k, batch)`` on the CPU; one column for all samples where the batch is that of the
                inputs.
            frame: Constants, block matrices and phases.
            inputs, weights: For gates by themselves.
            diagonals: ``(count, 2**k)`` real, of observables; None for the states.

        Returns:
            ``(2**k, batch)`` complex, or ``(count, batch)`` real expectation values; differentiable in
            all but the diagonals.
        """
        tiles = self.tiles
        stacks = [
            frame.blocks[key] if kind == "block" else frame.phases[key]
            for kind, key in tiles.groups
        ]
        like = x.real if x.is_complex() else x
        given: list[Tensor | None] = []
        for vector, source in zip(tiles.angles, (weights, inputs), strict=True):
            if not vector.angles or vector.is_bare:
                given.append(source if vector.angles else None)
            else:
                given.append(vector.evaluate(inputs, weights, like))
        if given[1] is not None:
            x = x.expand(-1, len(given[1]) if tiles.angles[1].is_bare else given[1].shape[1])
        x = x.to(frame.dtype.to_complex())
        keep_freed_memory()
        final: Tensor = _Run.apply(packed(x), *given, self, frame, diagonals, *stacks)
        return final

    def thetas(self, given: Sequence[Tensor | None]) -> tuple[Tensor | None, Tensor | None]:
        """Return shared angles ``(angles, 1)``, and each sample's own ``(angles, batch)``.

        Args:
            given: Angles of each of them, or the tensor of which they are columns.
        """
        shared, own = (
            vector.evaluate(each, each, each) if each is not None and vector.is_bare else each
            for vector, each in zip(self.tiles.angles, given, strict=True)
        )
        return None if shared is None else shared.unsqueeze(1), own

    def table(self, frame: Frame, stacks: Sequence[Tensor], lanes: int) -> TileTable:
        """Return the table for a precision, which stays the same from run to run."""
        are_complex = tuple(stack.is_complex() for stack in stacks)
        key = (frame.dtype, lanes, are_complex)
        if key not in self._tables:
            self._tables[key] = TileTable(self.tiles, frame, are_complex, lanes)
        return self._tables[key]


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shared: Tensor | None,
        own: Tensor | None,
        runner: TileRunner,
        frame: Frame,
        diagonals: Tensor | None,
        *stacks: Tensor,
    ) -> Tensor:
        (rows, batch), lanes = x.shape, lanes_of(x.shape[1], x.element_size() // 2)
        table = runner.table(frame, stacks, lanes)
        packs = _taken(runner.tiles, stacks)
        entries = _entries(runner.tiles, table, *runner.thetas((shared, own)), lanes)
        steps = table.steps(packs, entries)
        final = torch.empty_like(x)
        values, readout = final, (0, 0, 0, 0)
        if diagonals is not None:
            values = diagonals.new_empty(len(diagonals), -(-batch // lanes) * lanes)
            expect = table.kernels.expect()
            readout = expect, diagonals.data_ptr(), len(diagonals), values.data_ptr()

        def run(first: int, end: int) -> None:
            scratch = x.new_empty(2, rows, lanes)
            table.kernels.forward(
                x.data_ptr(), final.data_ptr(), batch, rows, first, end,
                steps.ctypes.data, len(steps), scratch.data_ptr(), *readout,
            )  # fmt: skip

        share(run, batch, rows, lanes, len(steps))
        ctx.runner, ctx.frame, ctx.table = runner, frame, table
        ctx.steps, ctx.held = steps, (packs, entries)  # the table holds addresses of these
        # The gradient needs these for their shapes only, so they may change until then.
        ctx.angles, ctx.versions = (shared, own), versions(shared, own)
        ctx.diagonals = diagonals
        ctx.save_for_backward(x, final, *stacks)
        return final if diagonals is None else values[:, :batch]

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, final, *stacks = ctx.saved_tensors
        runner: TileRunner = ctx.runner
        if torch.is_grad_enabled():
            if versions(*ctx.angles) != ctx.versions:
                raise InvalidData(
                    "Weights or inputs were changed in place between the forward pass and a backward "
                    "pass with create_graph; change copies of them."
                )
            given = (x, *ctx.angles, *stacks)
            return _through_plain_steps(grad, given, runner, ctx.frame, ctx.diagonals)
        (rows, batch), table = x.shape, ctx.table
        lanes = table.kernels.lanes
        steps, slopes = ctx.steps, None
        if ctx.needs_input_grad[2]:
            count = len(runner.tiles.angles[1].angles)
            slopes = x.new_empty(count, -(-batch // lanes) * lanes, dtype=ctx.frame.dtype)
        readings = table.readings(slopes=slopes is not None)
        result, diagonals, readout = torch.empty_like(x), ctx.diagonals, (0, 0, 0)
        if diagonals is not None:
            grad = torch.nn.functional.pad(grad, (0, -batch % lanes))
            readout = table.kernels.seed(), diagonals.data_ptr(), len(diagonals)
        grad = packed(grad)

        def run(first: int, end: int) -> Tensor:
            scratch = x.new_empty(3, rows, lanes)

            def undo(start: int, stop: int, sums: Tensor) -> None:
                table.kernels.backward(
                    final.data_ptr(), grad.data_ptr(), result.data_ptr(), batch, rows, start, stop,
                    steps.ctypes.data, readings.ctypes.data, len(steps), scratch.data_ptr(),
                    sums.data_ptr(), 0 if slopes is None else slopes.data_ptr(), *readout,
                )  # fmt: skip

            return summed(undo, first, end, x.new_zeros(table.num_sums, dtype=ctx.frame.dtype))

        found = share(run, batch, rows, lanes, len(steps))
        sums = found[0] if len(found) == 1 else torch.stack(found).sum(0)
        sums = sums.to(ctx.frame.dtype)
        found_slopes = (
            sums[table.first_gate_sum :] if ctx.needs_input_grad[1] else None,
            None if slopes is None else slopes[:, :batch],
        )
        to_angles = [
            vector.pull_back(each, source) if each is not None and vector.is_bare else each
            for vector, each, source in zip(
                runner.tiles.angles, found_slopes, ctx.angles, strict=True
            )
        ]
        return result, *to_angles, None, None, None, *_gradients(runner.tiles, table, stacks, sums)


def _entries(
    tiles: Tiles, table: TileTable, shared: Tensor | None, own: Tensor | None, lanes: int
) -> list[Tensor]:
    """Return the matrices of each shape of gates, ``(gates, entries, 1 or whole tiles)``."""
    found = []
    for entries, (shape, _, theta) in zip(table.entries, tiles.split(shared, own), strict=True):
        values, _ = entries.values(theta)
        missing = 0 if shape.shared else -values.shape[-1] % lanes
        values = torch.nn.functional.pad(values, (0, missing)) if missing else values
        found.append(packed(values))
    return found


def _taken(tiles: Tiles, stacks: Sequence[Tensor]) -> list[Tensor]:
    """Return the matrices or phases of each of the users."""
    given = zip(tiles.users, tiles.of_users(stacks), strict=True)
    return [users.taken(stack) for users, stack in given]


def _gradients(
    tiles: Tiles, table: TileTable, stacks: Sequence[Tensor], sums: Tensor
) -> list[Tensor | None]:
    """Return the gradients of the stacks, from the overlaps of states and gradients."""
    inner = dict(zip(tiles.groups, map(torch.zeros_like, stacks), strict=True))
    for users, (start, shape, complex_) in zip(tiles.users, table.sums, strict=True):
        reals = (*shape, 2) if complex_ else shape
        found = sums[start : start + math.prod(reals)].view(reals)
        users.given(torch.view_as_complex(found) if complex_ else found, inner[users.key])
    return [
        torch.bmm(stack, each.mH) if kind == "block" else stack * each.conj()
        for ((kind, _), each), stack in zip(inner.items(), stacks, strict=True)
    ]


def _through_plain_steps(
    grad: Tensor,
    given: Sequence[Tensor | None],
    runner: TileRunner,
    frame: Frame,
    diagonals: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """Return the gradient with a graph of its own: autograd differentiates the plain steps.

    In aliases: the state may depend on the same stacks, and that path is not taken here.
    """
    tiles = runner.tiles
    given = [
        each.view_as(each) if each is not None and each.requires_grad else each for each in given
    ]
    start = given[0]
    assert start is not None  # there is always a state
    stacks = [each for each in given[3:] if each is not None]
    tensors = dict(zip(tiles.groups, stacks, strict=True))
    apart = replace(
        frame,
        blocks={key: value for (kind, key), value in tensors.items() if kind == "block"},
        phases={key: value for (kind, key), value in tensors.items() if kind == "phase"},
        samples=tiles.entries(*runner.thetas(given[1:3])),
        rows={},
    )
    component = tiles.steps[0].component
    state: Components = {component: start}
    for step in tiles.steps:
        step.run(state, apart)
    value = state[component]
    if diagonals is not None:
        value = diagonals @ squared_modulus(value)
    wanted = [each for each in given if each is not None and each.requires_grad]
    found = iter(torch.autograd.grad(value, wanted, grad, create_graph=True, allow_unused=True))
    to_x, to_shared, to_own, *rest = [
        next(found) if each is not None and each.requires_grad else None for each in given
    ]
    return to_x, to_shared, to_own, None, None, None, *rest
