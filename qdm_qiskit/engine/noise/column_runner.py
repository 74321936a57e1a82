"""Columns run in machine code, with the gradients of the blocks' matrices on the way back.

The way back reads the vectors before each group of blocks, from the last to the first; those between
its blocks are made again, part by part. Where those of all columns are a few megabytes, they are kept
from the way there. Where they are more, none is: each column is run again just before, so that the work
of one is all the memory that is needed, and stays near the core.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..evolution.autograd_ops import in_full_precision, packed
from ..jit.columns import ColumnKernels, column_kernels
from ..jit.tile_work import share
from .column_memory import RECORDS_AT_ONCE, needs_of
from .column_part_writer import ColumnPlan
from .column_records import Base, Matrix, Tables, Want, one_behind_the_other, placed
from .column_steps import Column
from .column_sums import MatrixSums
from .column_team import Team, run_together, the_team
from .column_writer import write_column
from .working_memory import working_memory

__all__ = ["KEPT_TABLES", "Again", "ColumnRunner"]

_ALIGNED = 64
"""Bytes of the widest vectors, at multiples of which vectors begin."""
KEPT_TABLES = 32
"""Batch sizes, and wishes of a backward pass, whose records are kept."""

SHORT = 2**10
"""Most numbers of columns that run one behind the other: less work than finding their addresses."""

Again = Callable[[Tensor | None, Sequence[Tensor]], Tensor]
"""The same results from initial states and stacks, in calls that autograd knows."""


class ColumnRunner:
    """Columns of a program, for any batch and both precisions.

    Args:
        columns: Those of observables, or the one of a state that all samples share.
        matrices: By block.
        results: Of each column: where each of its numbers goes in its result or, of a state, which of
            its numbers are read.
        width: Numbers of a column's result.
        zeros: For a state, the vector ``(4,)`` of each new qubit; None for observables.
        read: Of each observable the row of each digit's qubit among the vectors of product states, in
            which it is read, two at least; None if the column itself is the result.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        matrices: dict[int, Matrix],
        results: Sequence[np.ndarray],
        width: int,
        zeros: dict[int, np.ndarray] | None = None,
        read: Sequence[np.ndarray] | None = None,
    ) -> None:
        self.columns, self.matrices, self.results = list(columns), matrices, list(results)
        self.width, self.states, self.read = width, zeros is not None, read
        self.sums = MatrixSums(matrices)
        self._tables: dict[tuple[object, ...], list[Tables]] = {}
        self._held: dict[tuple[bytes, np.dtype[Any]], np.ndarray] = {}
        self.needs = needs_of(columns, read=read is not None)
        self._plan = ColumnPlan(
            matrices, self.sums.widths, width, zeros, self.needs.kept, self._address
        )

    def run(
        self, batch: int, start: Tensor | None, stacks: Sequence[Tensor], again: Again
    ) -> Tensor:
        """Return the results, differentiable in start and stacks.

        They are ``(batch, width)`` of a state, ``(columns, batch)`` of observables that are read in
        product states, else ``(columns, width)``.

        Args:
            batch: Samples; of a state, or in which observables are read: a multiple of 16.
            start: ``(batch, 4**k)`` initial states, vectors ``(qubits, 4, batch)`` of product states in
                which observables are read, or None.
            stacks: As :class:`Matrix` names them, on the CPU and of one precision.
            again: The same, for gradients of gradients.
        """
        given = [each for each in (start, *stacks) if each is not None]
        keep = torch.is_grad_enabled() and any(each.requires_grad for each in given)
        count = batch if self.states else len(self.columns)
        size = given[0].element_size()
        work = given[0].new_empty(0)
        team = the_team() if self.states and start is None else None
        if keep and self.needs.keeps(count, size):
            work = torch.empty(count * self.needs.kept * size + _ALIGNED, dtype=torch.uint8)
        found: Tensor = _Run.apply(self, batch, work, team, start, again, *stacks)
        return found

    def execute(
        self,
        batch: int,
        dtype: torch.dtype,
        pointers: Sequence[int],
        want: Want | None,
        kept: Tensor,
        *,
        start: bool,
        shared: Tensor | None = None,
        team: Team | None = None,
    ) -> None:
        """Run all columns forward or, if something is wanted, back.

        Args:
            batch: Samples, of a state.
            dtype: Precision.
            pointers: Addresses from that of initial states on.
            want: What is wanted of a backward pass, or None.
            kept: Memory for the vectors of all columns; empty if they are made again on the way back.
            start: True if there are initial states.
            shared: Zeros to which all columns add their gradients.
            team: Who runs the columns of a state together; each gets the gradients of its own parts.
        """
        kernels, keep = column_kernels(double=dtype == torch.float64), len(kept) > 0
        tables = self._records(kernels, batch, want, keep=keep, start=start)
        backward = want is not None
        sizes = self.needs.working(batch, backward=backward, keep=keep)
        aligned = [-(-size * kernels.itemsize // _ALIGNED) * _ALIGNED for size in sizes]
        at_once = RECORDS_AT_ONCE if self.states else 1
        if team is not None:
            at_once = 1
            seen = team.memory(aligned[0] + aligned[1])
            seen_by_all = seen, seen + aligned[0]
            aligned[:2] = 0, 0

        def run(first: int, end: int) -> None:
            work = working_memory(sum(aligned) + _ALIGNED)
            place = -(-work.ctypes.data // _ALIGNED) * _ALIGNED
            vector, grad, parts, again, products = (
                place + sum(aligned[:number]) for number in range(len(aligned))
            )
            if keep:
                again = -(-kept.data_ptr() // _ALIGNED) * _ALIGNED
            if team is not None:
                vector, grad = seen_by_all
            addresses = np.array([0, vector, grad, parts, again, 0, products, *pointers], np.int64)
            own = None
            if shared is not None and end - first < count:
                own = torch.zeros_like(shared)  # threads must not add to the same numbers
                distance = addresses - shared.data_ptr()
                inside = (distance >= 0) & (distance < shared.numel() * shared.element_size())
                addresses[inside] += own.data_ptr() - shared.data_ptr()
            for begin in range(first, end, at_once):
                table = tables[0 if self.states else begin]
                numbers = np.arange(begin, min(begin + at_once, end))[:, None, None]
                inner = placed(table.inner, addresses, numbers)
                addresses[Base.INNER] = inner.ctypes.data - begin * inner[0].nbytes
                outer = placed(table.outer, addresses, numbers)
                if team is not None:
                    run_together(kernels.run, outer[0], team, kernels.address)
                    continue
                kernels.run(outer.ctypes.data, 0, outer.shape[0] * outer.shape[1])
            if own is not None and shared is not None:
                with lock:
                    shared.add_(own)

        count, lock = batch if self.states else len(tables), threading.Lock()
        if team is not None:
            run(0, count)
            return
        share(run, count, self.needs.vector, 1, max(len(each.steps) for each in self.columns) or 1)

    # ------------------------------------------------------------------ records

    def _records(
        self, kernels: ColumnKernels, batch: int, want: Want | None, *, keep: bool, start: bool
    ) -> list[Tables]:
        key = (kernels.itemsize, batch, want, keep, start)
        found = self._tables.get(key)
        if found is None:
            read = self.read if self.read is not None else [None] * len(self.columns)
            each = zip(self.columns, self.results, read, strict=True)
            found = [
                write_column(
                    self._plan, kernels, column, number, index, rows, batch, want,
                    start=start, keep=keep,
                )
                for number, (column, index, rows) in enumerate(each)
            ]  # fmt: skip
            if not self.states and self.needs.vector <= SHORT:
                found = [one_behind_the_other(found)]
            if len(self._tables) >= KEPT_TABLES:
                self._tables.clear()
            self._tables[key] = found
        return found

    def _address(self, array: np.ndarray, dtype: type) -> int:
        """Return the address of numbers that live as long as the runner."""
        kept: np.ndarray = np.ascontiguousarray(array, dtype)
        return self._held.setdefault((kept.tobytes(), kept.dtype), kept).ctypes.data


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        runner: ColumnRunner,
        batch: int,
        kept: Tensor,
        team: Team | None,
        start: Tensor | None,
        again: Again,
        *stacks: Tensor,
    ) -> Tensor:
        given = start is not None
        state = packed(start) if start is not None else None
        tables = [packed(stack) for stack in stacks]
        like = tables[0]
        if runner.read is not None:
            result = like.new_empty(len(runner.columns), batch)
        else:
            result = like.new_zeros(batch if runner.states else len(runner.columns), runner.width)
        pointers = _pointers(state, None, result, tables, [None] * len(tables))
        runner.execute(batch, like.dtype, pointers, None, kept, start=given, team=team)
        ctx.runner, ctx.batch, ctx.again, ctx.kept = runner, batch, again, kept
        ctx.team = team
        ctx.save_for_backward(start, *stacks)
        return result

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        start, *stacks = ctx.saved_tensors
        runner: ColumnRunner = ctx.runner
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled():
            return _through_torch(ctx.again, grad, start, stacks)
        state = None if start is None else packed(start)
        tables = [packed(stack) for stack in stacks]
        want = Want(tuple(needs[6:]), bool(needs[4]))
        read = state if want.start and runner.read is not None else None
        sums, start_grad, shared = runner.sums.zeros(tables, want.stacks, read)
        if want.start and state is not None and read is None:
            start_grad = torch.empty_like(state)
        grad = packed(grad)
        pointers = _pointers(state, start_grad, grad, tables, sums)
        given = state is not None
        runner.execute(
            ctx.batch,
            grad.dtype,
            pointers,
            want,
            ctx.kept,
            start=given,
            shared=shared,
            team=ctx.team,
        )
        if ctx.team is not None:
            for each in (shared, *sums):
                if each is not None and each.numel() and (each is shared or each.dim() > 2):
                    ctx.team.add(each)  # those of samples of their own are no part of the shared
        found = [
            None if each is None else runner.sums.gradient(each, stack, number)
            for number, (each, stack) in enumerate(zip(sums, tables, strict=True))
        ]
        return None, None, None, None, start_grad, None, *found


def _pointers(
    state: Tensor | None,
    start_grad: Tensor | None,
    result: Tensor,
    stacks: Sequence[Tensor],
    sums: Sequence[Tensor | None],
) -> list[int]:
    """Return the addresses from that of initial states on."""
    one = _one(result.dtype)
    pairs = [each for pair in zip(stacks, sums, strict=True) for each in pair]
    tensors = [state, start_grad, result, one, *pairs]
    return [0 if each is None else each.data_ptr() for each in tensors]


_ONES = {dtype: torch.ones(1, dtype=dtype) for dtype in (torch.float32, torch.float64)}


def _one(dtype: torch.dtype) -> Tensor:
    return _ONES[dtype]


def _through_torch(
    again: Again, grad: Tensor, state: Tensor | None, stacks: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Return the gradient with a graph of its own, in aliases of what was given."""
    aliases = [
        each.view_as(each) if each is not None and each.requires_grad else each
        for each in (state, *stacks)
    ]
    value = again(aliases[0], [each for each in aliases[1:] if each is not None])
    wanted = [each for each in aliases if each is not None and each.requires_grad]
    if value.requires_grad:
        found = iter(
            torch.autograd.grad(value, wanted, grad, create_graph=True, materialize_grads=True)
        )
    else:  # no block that anything turns is in a light cone
        found = iter([torch.zeros_like(each) for each in wanted])
    to_start, *rest = [
        next(found) if each is not None and each.requires_grad else None for each in aliases
    ]
    return None, None, None, None, to_start, None, *rest
