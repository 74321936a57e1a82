"""The long part of a program on a CPU: all its steps on a few samples at a time, in machine code.

A tile of 16 samples goes through every step while it stays in the core's cache, so a step costs its
arithmetic and nothing else: no call of torch, no copy of the state in another order. The backward pass
undoes the steps from the final state, since all are unitary, and reads the gradients of the matrices on
the way; no state is kept in between. :mod:`tail` does the same in calls of torch, on any device.

As there, the gradient travels complex conjugate: what a matrix M does to the state, its transpose does
to that.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from .algebra import number_dtype, permute_rows
from .allocator import keep_freed_memory
from .blocks import BlockHandle
from .kernels import Kernels, kernels, widest
from .steps import Components, Frame, Move, mixed_product
from .tables import Constants
from .tile_code import FIELDS, READ_FIELDS

Key = tuple[str, Any]
"""("block" or "phase", group)."""
T = TypeVar("T")
THREAD_WORK = 2**18
"""Amplitudes times steps that a thread of its own is worth."""


@dataclass
class Scattered:
    """A block of gates on qubits anywhere in a component."""

    component: int
    block: BlockHandle | None
    """A block with weights, or None for a fixed one."""
    fixed: int | None
    """Constant: the matrix of a fixed block."""
    first: int
    """Constant: the rows of the state in which the block's qubits are 0."""
    offsets: np.ndarray
    """For each row of the block what is added to these."""
    active: np.ndarray
    """Rows of the block on which it differs from the identity."""
    order: int
    """Constant: all rows of the state, those of each row of the block together."""
    inverse: int
    """Constant: the inverse permutation."""
    what: str

    def run(self, state: Components, frame: Frame) -> None:
        """See :class:`~qdm_qiskit.engine.steps.Step`."""
        if self.block is not None:
            group = self.block.group
            matrix = frame.row(frame.blocks[group], group, self.block.row)
        else:
            assert self.fixed is not None
            matrix = frame.constants.number(self.fixed, frame.dtype, frame.device)
        x = state[self.component]
        order = frame.constants.index(self.order, frame.device)
        inverse = frame.constants.index(self.inverse, frame.device)
        y = permute_rows(x, order, inverse).view(1, len(matrix), -1)
        y = mixed_product(matrix, y).view(-1, x.shape[-1])
        state[self.component] = permute_rows(y, inverse, order)

    def describe(self) -> str:
        """See :class:`~qdm_qiskit.engine.steps.Step`."""
        return self.what


@dataclass(frozen=True, eq=False)
class Tiles:
    """The steps of a program that run tile by tile."""

    first: int
    """Their place among all steps."""
    steps: tuple[Scattered | Move, ...]
    num_rows: int
    """Of the component, ``2**k``."""
    leading: dict[Any, int]
    """Of the stacks that steps before use, the rows up to the last one that they use."""

    @cached_property
    def groups(self) -> tuple[Key, ...]:
        """Blocks and phases that the steps use."""
        return tuple(dict.fromkeys(users.key for users in self.users))

    @cached_property
    def users(self) -> tuple[_Users, ...]:
        """Steps with weights, by the stack and the part of a matrix that they take."""
        found: dict[tuple[Key, bytes], list[tuple[int, int, Any]]] = {}
        for position, step in enumerate(self.steps):
            if isinstance(step, Scattered) and step.block is not None:
                key: Key = ("block", step.block.group)
                entry = (position, step.block.row, step)
                found.setdefault((key, step.active.tobytes()), []).append(entry)
            elif isinstance(step, Move) and step.phases is not None:
                size, row = step.phases
                found.setdefault((("phase", size), b""), []).append((position, row, step))
        users = []
        for (key, _), entries in found.items():
            positions, rows, (step, *_) = zip(*entries, strict=True)
            if key[0] == "block":
                d = 2 ** key[1][0]
                inner = (step.active[:, None] * d + step.active[None, :]).reshape(-1)
                flat = (np.array(rows)[:, None] * d * d + inner).reshape(-1)
                users.append(_Users(key, positions, len(step.active), torch.tensor(flat)))
            else:
                flat = (np.array(rows)[:, None] * key[1] + np.arange(key[1])).reshape(-1)
                users.append(_Users(key, positions, 0, torch.tensor(flat)))
        return tuple(users)

    @cached_property
    def _tables(self) -> dict[tuple[Any, ...], _Table]:
        return {}

    def table(self, frame: Frame, stacks: Sequence[Tensor], lanes: int) -> _Table:
        """What the machine code reads that stays the same from run to run."""
        are_complex = tuple(stack.is_complex() for stack in stacks)
        key = (frame.dtype, lanes, are_complex)
        if key not in self._tables:
            self._tables[key] = _Table(self, frame, are_complex, lanes)
        return self._tables[key]


@dataclass(frozen=True, eq=False)
class _Users:
    """Steps that take the same part of matrices of one stack, or phases."""

    key: Key
    positions: tuple[int, ...]
    size: int
    """Rows of that part; 0 for phases."""
    flat: Tensor
    """Where all their entries stand in the flat stack."""

    def taken(self, stack: Tensor) -> Tensor:
        """``(steps, size, size)``, or ``(steps, rows)`` for phases."""
        flat = stack.reshape(-1)
        whole = len(self.flat) == len(flat) and self._in_order
        found = flat if whole else flat.index_select(0, self.flat)
        shape = (self.size, self.size) if self.size else (-1,)
        return found.view(len(self.positions), *shape)

    def given(self, found: Tensor, into: Tensor) -> None:
        """Put what was read for each step where its matrix stands."""
        if len(self.flat) == into.numel() and self._in_order:
            into.view(-1).copy_(found.reshape(-1))
        else:
            into.view(-1).index_copy_(0, self.flat, found.reshape(-1))

    @cached_property
    def _in_order(self) -> bool:
        return bool((self.flat == torch.arange(len(self.flat))).all())


class _Table:
    """Addresses and counts of all steps, for one precision and number of lanes."""

    def __init__(self, tiles: Tiles, frame: Frame, are_complex: Sequence[bool], lanes: int) -> None:
        self.kernels: Kernels = kernels(double=frame.dtype == torch.float64, lanes=lanes)
        self._keep: list[Any] = []
        """Arrays whose addresses are in the table."""
        size, steps = self.kernels.itemsize, tiles.steps
        is_complex = dict(zip(tiles.groups, are_complex, strict=True))
        self.static = np.zeros((len(steps), FIELDS), dtype=np.int64)
        self.reads = np.zeros((len(steps), READ_FIELDS), dtype=np.int64)
        self.slots: list[tuple[np.ndarray, int]] = []
        """For each of the users its steps, and the bytes of one's matrix or factors."""
        self.parts: list[tuple[int, tuple[int, ...], bool]] = []
        """For each of the users where its sums start, their shape, and whether they are complex."""
        self.num_sums = 0
        weighted = {position for users in tiles.users for position in users.positions}
        for position, step in enumerate(steps):
            if isinstance(step, Scattered):
                self._block(position, step, frame.constants)
            else:
                self._monomial(position, step, frame.constants, tiles.num_rows)
            if position not in weighted:
                self._fixed(position, step, frame)
        for users in tiles.users:
            count, complex_ = len(users.positions), is_complex[users.key]
            if users.size:
                entries = users.size**2
                apply = self.kernels.apply(users.size, real=not complex_)
                read = self.kernels.overlap(users.size, real=not complex_)
                shape: tuple[int, ...] = (users.size, users.size)
            else:
                entries = tiles.num_rows
                read, shape, complex_ = self.kernels.products(), (tiles.num_rows,), True
            reals = entries * (2 if complex_ else 1)
            places = np.array(users.positions)
            for position in users.positions:
                step = steps[position]
                if isinstance(step, Scattered):
                    self.static[position, 4] = apply
                else:
                    self.static[position, 4] = self._mover(step, "complex")
            self.reads[places, 0] = read
            self.reads[places, 1] = self.num_sums + reals * np.arange(count)
            self.slots.append((places, reals * size))
            self.parts.append((self.num_sums, (count, *shape), complex_))
            self.num_sums += reals * count

    def _address(self, array: np.ndarray) -> int:
        self._keep.append(array)
        return int(array.ctypes.data)

    def _block(self, position: int, step: Scattered, constants: Constants) -> None:
        first = constants.array(step.first).astype(np.int32)
        offsets = step.offsets[step.active].astype(np.int32)
        row = self.static[position]
        row[:4] = 0, len(first), self._address(first), self._address(offsets)

    def _monomial(self, position: int, step: Move, constants: Constants, rows: int) -> None:
        row = self.static[position]
        row[:2] = 2, rows
        if step.source is not None:
            source = constants.array(step.source).astype(np.int32)
            row[0], row[2] = 1, self._address(source)

    def _mover(self, step: Move, factors: str) -> int:
        make = self.kernels.turn if step.source is None else self.kernels.move
        return make(factors=factors)

    def _fixed(self, position: int, step: Scattered | Move, frame: Frame) -> None:
        """The functions and numbers of a step without weights."""
        row = self.static[position]
        if isinstance(step, Scattered):
            assert step.fixed is not None
            matrix = frame.constants.number(step.fixed, frame.dtype, frame.device)
            active = torch.from_numpy(step.active)
            matrix = matrix[active][:, active].contiguous()
            row[4] = self.kernels.apply(len(active), real=not matrix.is_complex())
            values = (matrix, matrix.mT.contiguous(), matrix.mH.resolve_conj().contiguous())
        elif step.signs is not None:
            factors = frame.constants.number(step.signs, frame.dtype, frame.device)
            row[4] = self._mover(step, "complex" if factors.is_complex() else "real")
            values = (factors, factors, factors.conj().resolve_conj().contiguous())
        else:
            row[4] = self._mover(step, "none")
            return
        self._keep += values
        row[5:8] = [each.data_ptr() for each in values]

    def filled(self, columns: dict[int, Sequence[Tensor]]) -> np.ndarray:
        """The table with the addresses of the users' matrices in some of its columns."""
        table = self.static.copy()
        for column, packs in columns.items():
            for (places, step), pack in zip(self.slots, packs, strict=True):
                table[places, column] = pack.data_ptr() + step * np.arange(len(places))
        return table


def run_tiles(x: Tensor, tiles: Tiles, frame: Frame) -> Tensor:
    """Apply the steps to their component.

    Args:
        x: ``(2**k, batch)`` on the CPU.
        tiles: At least one step; the blocks are unitary.
        frame: Constants, block matrices and phases.

    Returns:
        ``(2**k, batch)`` complex, differentiable in ``x``, the matrices and the phases.
    """
    stacks = [
        frame.blocks[key] if kind == "block" else frame.phases[key] for kind, key in tiles.groups
    ]
    x = x.to(number_dtype(frame.dtype, True))
    keep_freed_memory()
    return _Run.apply(x.contiguous(), tiles, frame, *stacks)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, tiles: Tiles, frame: Frame, *stacks: Tensor) -> Tensor:
        (rows, batch), lanes = x.shape, _lanes(x)
        table = tiles.table(frame, stacks, lanes)
        packs = _taken(tiles, stacks)
        steps = table.filled({5: packs})
        final = torch.empty_like(x)

        def run(first: int, end: int) -> None:
            scratch = x.new_empty(2, rows, lanes)
            table.kernels.forward(
                x.data_ptr(), final.data_ptr(), batch, rows, first, end,
                steps.ctypes.data, len(steps), scratch.data_ptr(),
            )  # fmt: skip

        _share(run, x, lanes, len(steps))
        ctx.tiles, ctx.frame = tiles, frame
        ctx.save_for_backward(x, final, *stacks)
        return final

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, final, *stacks = ctx.saved_tensors
        tiles: Tiles = ctx.tiles
        if torch.is_grad_enabled():
            return _through_plain_steps(grad, x, tiles, ctx.frame, stacks)
        (rows, batch), lanes = x.shape, _lanes(x)
        table = tiles.table(ctx.frame, stacks, lanes)
        packs = _taken(tiles, stacks)
        transposed = [pack.mT.contiguous() if pack.ndim == 3 else pack for pack in packs]
        adjoint = [each.conj().resolve_conj() if each.is_complex() else each for each in transposed]
        steps = table.filled({6: transposed, 7: adjoint})
        grad, result = grad.contiguous(), torch.empty_like(x)

        def run(first: int, end: int) -> Tensor:
            scratch = x.new_empty(3, rows, lanes)
            sums = torch.zeros(table.num_sums, dtype=ctx.frame.dtype)
            table.kernels.backward(
                final.data_ptr(), grad.data_ptr(), result.data_ptr(), batch, rows, first, end,
                steps.ctypes.data, table.reads.ctypes.data, len(steps),
                scratch.data_ptr(), sums.data_ptr(),
            )  # fmt: skip
            return sums

        found = _share(run, x, lanes, len(steps))
        sums = found[0] if len(found) == 1 else torch.stack(found).sum(0)
        return result, None, None, *_gradients(tiles, table, stacks, sums)


def _lanes(x: Tensor) -> int:
    """Samples of a tile: as many as the widest vectors take, fewer where there are fewer."""
    most = widest() // (x.element_size() // 2)
    few = max(1 << (x.shape[1] - 1).bit_length(), 2) if x.shape[1] else 2
    return min(most, few)


def _taken(tiles: Tiles, stacks: Sequence[Tensor]) -> list[Tensor]:
    """For each of the users its matrices or phases."""
    by_key = dict(zip(tiles.groups, stacks, strict=True))
    return [users.taken(by_key[users.key]) for users in tiles.users]


def _gradients(
    tiles: Tiles, table: _Table, stacks: Sequence[Tensor], sums: Tensor
) -> list[Tensor | None]:
    """The gradients of the stacks, from the overlaps of states and gradients."""
    inner = dict(zip(tiles.groups, map(torch.zeros_like, stacks), strict=True))
    for users, (start, shape, complex_) in zip(tiles.users, table.parts, strict=True):
        reals = (*shape, 2) if complex_ else shape
        found = sums[start : start + math.prod(reals)].view(reals)
        users.given(torch.view_as_complex(found) if complex_ else found, inner[users.key])
    return [
        torch.bmm(stack, each.mH) if kind == "block" else stack * each.conj()
        for ((kind, _), each), stack in zip(inner.items(), stacks, strict=True)
    ]


def _through_plain_steps(
    grad: Tensor, x: Tensor, tiles: Tiles, frame: Frame, stacks: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """The gradient with a graph of its own: autograd differentiates the plain steps.

    In aliases: x itself may depend on the same stacks, and that path is not taken here.
    """
    own = [each.view_as(each) if each.requires_grad else each for each in (x, *stacks)]
    tensors = dict(zip(tiles.groups, own[1:], strict=True))
    apart = replace(
        frame,
        blocks={key: value for (kind, key), value in tensors.items() if kind == "block"},
        phases={key: value for (kind, key), value in tensors.items() if kind == "phase"},
        rows={},
    )
    component = tiles.steps[0].component
    state: Components = {component: own[0]}
    for step in tiles.steps:
        step.run(state, apart)
    given = [each for each in own if each.requires_grad]
    found = iter(
        torch.autograd.grad(state[component], given, grad, create_graph=True, allow_unused=True)
    )
    to_x, *rest = [next(found) if each.requires_grad else None for each in own]
    return to_x, None, None, *rest


def _share(run: Callable[[int, int], T], x: Tensor, lanes: int, steps: int) -> list[T]:
    """Call a function with the first tile and the one after the last; in threads where it pays."""
    tiles = -(-x.shape[1] // lanes)
    worth = tiles * lanes * len(x) * steps // THREAD_WORK
    threads = max(min(torch.get_num_threads(), tiles, worth), 1)
    ends = [tiles * k // threads for k in range(threads + 1)]
    if threads == 1:
        return [run(0, tiles)]
    return list(_pool(os.getpid()).map(run, ends[:-1], ends[1:]))


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process; a fork has none of its parent's."""
    return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="qdm tiles")
