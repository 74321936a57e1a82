"""Columns run in machine code, with the gradients of the blocks' matrices on the way back.

The way back reads the vectors before each block, from the last to the first. Where those of all columns
are a few megabytes, they are kept from the way there. Where they are more, none is: each column is run
again just before, so that the work of one is all the memory that is needed, and stays near the core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..evolution.autograd_ops import in_full_precision, packed
from ..jit.columns import ColumnKernels, column_kernels, places
from ..jit.tile_work import share
from .columns import Column

__all__ = [
    "KEPT_BYTES",
    "KEPT_TABLES",
    "Again",
    "ColumnRunner",
    "Matrix",
]

_ALIGNED = 64
"""Bytes of the widest vectors, at multiples of which vectors begin."""
KEPT_BYTES = 2**24
"""Bytes of vectors of all columns that are kept from the way there to the way back."""
KEPT_TABLES = 32
"""Batch sizes, and wishes of a backward pass, whose records are kept."""
_AT_ONCE = 32
"""Samples whose records are written at once."""
_NOWHERE, _WORK, _GRAD, _START, _START_GRAD, _RESULT, _ONE, _STACKS = range(8)
"""Where addresses count from: 0, the vectors of a column, its gradient, initial states, their gradient,
results or their gradient, the number 1, and the first stack of matrices. The sums of each follow it."""

Again = Callable[[Tensor | None, Sequence[Tensor]], Tensor]
"""The same results from initial states and stacks, in calls that autograd knows."""


@dataclass(frozen=True)
class Matrix:
    """Where a block's matrix is."""

    stack: int
    """Which of the stacks: ``(matrices, rows, rows)`` or, if own, ``(matrices, batch, rows, rows)``."""
    row: int
    size: int
    """Rows of the matrix: 4 or 16."""
    own: bool = False
    """True if each sample has its own."""


@dataclass
class _Records:
    """Records of a column; addresses are distances from places that change from run to run."""

    bases: list[list[int]] = field(default_factory=list)
    numbers: list[list[int]] = field(default_factory=list)
    strides: list[list[int]] = field(default_factory=list)

    def add(self, function: int, *fields: tuple[int, int] | tuple[int, int, int] | int) -> None:
        """Append a record.

        Fields are numbers, or (base, distance), or those and the distance to the next sample.
        """
        full = [(_NOWHERE, function, 0)]
        for each in fields:
            given = (_NOWHERE, each) if isinstance(each, int) else each
            full.append((given[0], given[1], given[2] if len(given) == 3 else 0))
        full += [(_NOWHERE, 0, 0)] * (8 - len(full))
        for into, part in zip(
            (self.bases, self.numbers, self.strides), zip(*full, strict=True), strict=True
        ):
            into.append(list(part))

    def table(self) -> np.ndarray:
        """Return bases, numbers and strides, ``(3, records, 8)``."""
        return np.array([self.bases, self.numbers, self.strides], np.int64)


@dataclass(frozen=True)
class _Want:
    """What a backward pass is asked for."""

    stacks: tuple[bool, ...]
    start: bool


class ColumnRunner:
    """Columns of a program, for any batch and both precisions.

    Args:
        columns: Those of observables, or the one of a state that all samples share.
        matrices: By block.
        results: Of each column: where each of its numbers goes in its result or, of a state, which of
            its numbers are read.
        width: Numbers of a column's result.
        zeros: For a state, the vector ``(4,)`` of each new qubit; None for observables.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        matrices: dict[int, Matrix],
        results: Sequence[np.ndarray],
        width: int,
        zeros: dict[int, np.ndarray] | None = None,
    ) -> None:
        self.columns, self.matrices, self.results = list(columns), matrices, list(results)
        self.width, self.states = width, zeros is not None
        self._zeros = zeros or {}
        self._tables: dict[tuple[object, ...], list[np.ndarray]] = {}
        self._held: dict[tuple[bytes, np.dtype[Any]], np.ndarray] = {}
        self._largest = max((4**column.digits for column in columns), default=0)

    def numbers(self, *, kept: bool) -> int:
        """Return how many numbers the work of one column takes at most."""
        return max((column.numbers(kept=kept) for column in self.columns), default=0)

    def run(
        self, batch: int, start: Tensor | None, stacks: Sequence[Tensor], again: Again
    ) -> Tensor:
        """Return the results, ``(columns or batch, width)``, differentiable in start and stacks.

        Args:
            batch: Samples; of a state.
            start: ``(batch, 4**k)`` initial states, or None.
            stacks: As :class:`Matrix` names them, on the CPU and of one precision.
            again: The same, for gradients of gradients.
        """
        given = [each for each in (start, *stacks) if each is not None]
        keep = torch.is_grad_enabled() and any(each.requires_grad for each in given)
        count = batch if self.states else len(self.columns)
        size = count * self.numbers(kept=True) * given[0].element_size()
        work = given[0].new_empty(0)
        if keep and size <= KEPT_BYTES:
            work = torch.empty(size + _ALIGNED, dtype=torch.uint8)
        found: Tensor = _Run.apply(self, batch, work, start, again, *stacks)
        return found

    def execute(
        self,
        batch: int,
        dtype: torch.dtype,
        pointers: Sequence[int],
        want: _Want | None,
        kept: Tensor,
        *,
        start: bool,
    ) -> None:
        """Run all columns forward or, if something is wanted, back.

        Args:
            batch: Samples, of a state.
            dtype: Precision.
            pointers: Addresses from that of initial states on.
            want: What is wanted of a backward pass, or None.
            kept: Memory for the vectors of all columns; empty if they are made again on the way back.
            start: True if there are initial states.
        """
        kernels, keep = column_kernels(double=dtype == torch.float64), len(kept) > 0
        tables = self._records(kernels, batch, want, keep=keep, start=start)
        vectors = self.numbers(kept=keep or want is not None)
        distance = vectors * kernels.itemsize if keep else 0

        def run(first: int, end: int) -> None:
            work = kept
            if not keep:
                work = torch.empty(vectors * kernels.itemsize + _ALIGNED, dtype=torch.uint8)
            base = -(-work.data_ptr() // _ALIGNED) * _ALIGNED
            grad = base + (vectors - self._largest) * kernels.itemsize
            addresses = np.array([0, base, grad, *pointers], np.int64)
            for begin in range(first, end, _AT_ONCE):
                numbers = range(begin, min(begin + _AT_ONCE, end))
                parts = []
                for number in numbers:
                    bases, fields, strides = tables[0 if self.states else number]
                    rows = addresses[bases] + fields + number * strides
                    if keep:
                        rows += number * distance * ((bases == _WORK) | (bases == _GRAD))
                    parts.append(rows)
                table = np.concatenate(parts)
                kernels.run(table.ctypes.data, 0, len(table))

        count = batch if self.states else len(self.columns)
        share(run, count, self._largest, 1, max(len(each[0]) for each in tables))

    # ------------------------------------------------------------------ records

    def _records(
        self, kernels: ColumnKernels, batch: int, want: _Want | None, *, keep: bool, start: bool
    ) -> list[np.ndarray]:
        key = (kernels.itemsize, batch, want, keep, start)
        found = self._tables.get(key)
        if found is None:
            found = [
                _Writer(self, kernels, number, batch, start=start).write(want, keep=keep)
                for number in range(len(self.columns))
            ]
            if len(self._tables) >= KEPT_TABLES:
                self._tables.clear()
            self._tables[key] = found
        return found

    def held(self, array: np.ndarray, dtype: type) -> int:
        """Return the address of numbers that live as long as the runner."""
        kept: np.ndarray = np.ascontiguousarray(array, dtype)
        return self._held.setdefault((kept.tobytes(), kept.dtype), kept).ctypes.data

    def zero(self, qubit: int, dtype: type) -> int:
        """Return the address of a new qubit's vector."""
        return self.held(self._zeros[qubit].ravel(), dtype)


class _Writer:
    """Writer of the records of one column."""

    def __init__(
        self, runner: ColumnRunner, kernels: ColumnKernels, number: int, batch: int, *, start: bool
    ) -> None:
        self._runner, self._kernels, self._batch, self._start = runner, kernels, batch, start
        self._column = runner.columns[number]
        self._index = runner.results[number]
        self._size = kernels.itemsize
        self._records = _Records()
        own = runner.width * self._size
        self._result = (_RESULT, 0, own) if runner.states else (_RESULT, number * own)
        self._forms = ("forward", "transposed") if runner.states else ("transposed", "forward")

    def write(self, want: _Want | None, *, keep: bool) -> np.ndarray:
        """Return the records forward or, if anything is wanted, back.

        If vectors are not kept, the way back begins with the way there.
        """
        undo = self._forward(kept=keep or want is not None, read=want is None)
        if want is not None:
            if keep:
                self._records = _Records()
            self._seed()
            self._back(undo, want)
        return self._records.table()

    def _add(self, name: str, *fields: Any, kind: tuple[Any, ...] = ()) -> None:
        self._records.add(self._kernels.address(name, *kind), *fields)

    def _forward(self, *, kept: bool, read: bool) -> list[tuple[Any, ...]]:
        """Write the way there; return what the way back needs, in the same order."""
        column, size, states = self._column, self._size, self._runner.states
        self._begin()
        undo: list[tuple[Any, ...]] = []
        slot, filled = 0, column.start_digits
        for step in column.steps:
            if step.block < 0:
                real = np.float64 if size == 8 else np.float32
                new = self._runner.zero(step.qubit, real)
                self._add("grow", (_WORK, slot), 0, 4**step.digits, 0, 0, new)
                undo.append(("shrink", 4**step.digits, new))
                continue
            if step.digits > filled and not states:
                rest = 4**step.digits - 4**filled
                self._add("clear", 0, (_WORK, slot + 4**filled * size), rest)
            filled = max(filled, step.digits)
            matrix, where = self._runner.matrices[step.block], places(step.digits, step.at)
            tiles = len(where.bases), where.bases.ctypes.data, where.places.ctypes.data
            each = matrix.size**2 * size
            entry = (matrix.row * each, 0)
            if matrix.own:
                entry = (matrix.row * each * self._batch, each)
            after = slot + 4**step.digits * size if kept else slot
            at = (_STACKS + 2 * matrix.stack, *entry)
            kind = (matrix.size, where.mode, self._forms[0])
            self._add("apply", (_WORK, slot), (_WORK, after), *tiles, at, kind=kind)
            undo.append(("block", slot, matrix, where.mode, tiles, entry))
            slot = after
        if read:
            name = "gather" if states else "scatter"
            place = self._runner.held(self._index, np.int32)
            self._add(name, (_WORK, slot), self._result, len(self._index), place)
        return undo

    def _begin(self) -> None:
        """Write the vector at the start."""
        self._add("clear", 0, (_WORK, 0), 4**self._column.start_digits)
        if self._start:
            self._add("scatter", (_START, 0, self._covered * self._size), (_WORK, 0),
                      self._covered, self._all())  # fmt: skip
        else:
            place = self._runner.held(np.array([self._column.start]), np.int32)
            self._add("scatter", (_ONE, 0), (_WORK, 0), 1, place)

    def _seed(self) -> None:
        """Write the gradient at the end."""
        self._add("clear", 0, (_GRAD, 0), 4**self._column.digits)
        place = self._runner.held(self._index, np.int32)
        name = "scatter" if self._runner.states else "gather"
        self._add(name, self._result, (_GRAD, 0), len(self._index), place)

    def _back(self, undo: list[tuple[Any, ...]], want: _Want) -> None:
        wanted = [
            k for k, each in enumerate(undo) if each[0] == "block" and want.stacks[each[2].stack]
        ]
        first = 0 if want.start else min(wanted, default=len(undo))
        for k in reversed(range(first, len(undo))):
            if undo[k][0] == "shrink":
                _, number, new = undo[k]
                self._add("shrink", (_GRAD, 0), 0, number, 0, 0, new)
                continue
            _, slot, matrix, mode, tiles, entry = undo[k]
            at = (_STACKS + 2 * matrix.stack, *entry)
            if want.stacks[matrix.stack]:
                sums = (at[0] + 1, *entry)
                kind = (matrix.size, mode, self._forms[0])
                self._add("pull", (_WORK, slot), (_GRAD, 0), *tiles, at, sums, kind=kind)
            else:
                kind = (matrix.size, mode, self._forms[1])
                self._add("apply", (_GRAD, 0), (_GRAD, 0), *tiles, at, kind=kind)
        if want.start:
            self._add("gather", (_GRAD, 0), (_START_GRAD, 0, self._covered * self._size),
                      self._covered, self._all())  # fmt: skip

    @property
    def _covered(self) -> int:
        """Numbers of an initial state."""
        grown = [step.digits for step in self._column.steps if step.block < 0]
        return int(4 ** min(grown, default=len(self._column.qubits)))

    def _all(self) -> int:
        return self._runner.held(np.arange(self._covered), np.int32)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        runner: ColumnRunner,
        batch: int,
        kept: Tensor,
        start: Tensor | None,
        again: Again,
        *stacks: Tensor,
    ) -> Tensor:
        given = start is not None
        state = packed(start) if start is not None else None
        tables = [packed(stack) for stack in stacks]
        like = tables[0]
        result = like.new_zeros(batch if runner.states else len(runner.columns), runner.width)
        pointers = _pointers(state, None, result, tables, [None] * len(tables))
        runner.execute(batch, like.dtype, pointers, None, kept, start=given)
        ctx.runner, ctx.batch, ctx.again, ctx.kept = runner, batch, again, kept
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
        want = _Want(tuple(needs[5:]), bool(needs[3]))
        sums = [
            torch.zeros_like(stack) if each else None
            for stack, each in zip(tables, want.stacks, strict=True)
        ]
        start_grad = torch.empty_like(state) if want.start and state is not None else None
        grad = packed(grad)
        pointers = _pointers(state, start_grad, grad, tables, sums)
        given = state is not None
        runner.execute(ctx.batch, grad.dtype, pointers, want, ctx.kept, start=given)
        kernels = column_kernels(double=grad.dtype == torch.float64)
        found: list[Tensor | None] = []
        for each in sums:
            if each is None:
                found.append(None)
                continue
            rows = each.shape[-1]
            ordered = kernels.in_order(each, rows)
            if not runner.states:
                ordered = ordered.transpose(1, 2)
            found.append(ordered.reshape(each.shape))
        return None, None, None, start_grad, None, *found


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
    if not value.requires_grad:  # no block that anything turns is in a light cone
        return (None,) * (len(aliases) + 4)
    wanted = [each for each in aliases if each is not None and each.requires_grad]
    found = iter(torch.autograd.grad(value, wanted, grad, create_graph=True, allow_unused=True))
    to_start, *rest = [
        next(found) if each is not None and each.requires_grad else None for each in aliases
    ]
    return None, None, None, to_start, None, *rest
