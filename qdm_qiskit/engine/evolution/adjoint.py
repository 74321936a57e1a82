"""Last steps of a program, on one component, with a backward pass of their own.

Autograd keeps the state before every step. Here one state for each stage is kept, or none: gates are
unitary, so an earlier state can be computed again from the later one. A stage is a run of blocks on
different qubits. These commute, so the gradients of all its blocks are read at its start, from the
state and the gradient there.

The gradient travels back complex conjugate: where a matrix M acts on the state, its transpose acts on
the gradient, and no product has to conjugate a whole state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .allocator import keep_freed_memory
from .steps import Dense, Frame, Move, StackKey, Step, leading_rows

__all__ = [
    "Stage",
    "Tail",
    "find_tail",
    "run_tail",
]


@dataclass(frozen=True)
class Stage:
    """Blocks on different qubits, or one monomial."""

    first: int
    """The first of its steps, counted in the tail."""
    steps: tuple[Dense | Move, ...]

    @cached_property
    def weighted(self) -> tuple[int, ...]:
        """Its steps that depend on weights."""
        return tuple(
            self.first + k
            for k, step in enumerate(self.steps)
            if (step.block if isinstance(step, Dense) else step.phases) is not None
        )

    @cached_property
    def read_at(self) -> int | None:
        """The step after which the state is read for gradients; None where there are none.

        Before blocks (step -1 is the start of all), after a monomial.
        """
        if not self.weighted:
            return None
        return self.first if isinstance(self.steps[0], Move) else self.first - 1


@dataclass(frozen=True)
class Tail:
    """The steps of a program from ``first`` on: blocks and monomials on one component."""

    first: int
    steps: tuple[Dense | Move, ...]
    stages: tuple[Stage, ...]
    kept: tuple[int, ...]
    """Steps after which the state is kept, unless it is computed again."""
    groups: tuple[StackKey, ...]
    """Blocks and phases that the steps use."""
    leading: dict[Any, int]
    """Number of first rows of each stack that the steps before the tail use."""

    @cached_property
    def axes(self) -> tuple[tuple[int, int], ...]:
        """Places where blocks act, without repetition: product of the axes above, and size."""
        return tuple(dict.fromkeys(_axis(step) for step in self.steps if isinstance(step, Dense)))

    @cached_property
    def axis_of(self) -> tuple[int, ...]:
        """Place of each step's axis in :attr:`axes`; -1 for a monomial."""
        place = {axis: k for k, axis in enumerate(self.axes)}
        return tuple(place[_axis(s)] if isinstance(s, Dense) else -1 for s in self.steps)

    @cached_property
    def users(self) -> tuple[_Users, ...]:
        """Steps with weights, by stack and by the product of the axes above their blocks."""
        found: dict[tuple[StackKey, int], dict[int, int]] = {}
        for position, step in enumerate(self.steps):
            if isinstance(step, Dense) and step.block is not None:
                key: StackKey = ("block", step.block.group)
                found.setdefault((key, step.high), {})[position] = step.block.row
            elif isinstance(step, Move) and step.phases is not None:
                size, row = step.phases
                found.setdefault((("phase", size), 1), {})[position] = row
        return tuple(
            _Users(key, high, tuple(rows), torch.tensor(list(rows.values())))
            for (key, high), rows in found.items()
        )


@dataclass(frozen=True, eq=False)
class _Users:
    """Steps that take matrices from one stack, to apply them below the same axes."""

    key: StackKey
    high: int
    positions: tuple[int, ...]
    rows: Tensor
    """Each step's row of the stack, on the CPU."""


def _axis(step: Dense) -> tuple[int, int]:
    return step.high, 2**step.num_qubits


def find_tail(steps: Sequence[Step]) -> Tail:
    """Return the last run of blocks and monomials on one component that add no qubits."""
    found: list[Dense | Move] = []
    for step in reversed(steps):
        plain = isinstance(step, Move) or (
            isinstance(step, Dense) and not step.fresh and not step.is_new
        )
        if not plain or (found and step.component != found[0].component):
            break
        assert isinstance(step, Dense | Move)  # as just seen
        found.insert(0, step)
    stages: list[Stage] = []
    used: set[int] = set()
    for position, step in enumerate(found):
        axes = _axes(step)
        if stages and axes and isinstance(stages[-1].steps[0], Dense) and not used & axes:
            stages[-1] = Stage(stages[-1].first, (*stages[-1].steps, step))
            used |= axes
        else:
            stages.append(Stage(position, (step,)))
            used = set(axes)
    read = {stage.read_at for stage in stages} - {None, -1, len(found) - 1}
    kept = tuple(sorted(position for position in read if position is not None))
    groups: dict[StackKey, None] = {}
    for step in found:
        if isinstance(step, Dense) and step.block is not None:
            groups["block", step.block.group] = None
        elif isinstance(step, Move) and step.phases is not None:
            groups["phase", step.phases[0]] = None
    first = len(steps) - len(found)
    leading = leading_rows(steps[:first])
    return Tail(first, tuple(found), tuple(stages), kept, tuple(groups), leading)


def _axes(step: Dense | Move) -> set[int]:
    """Return the places of a block's qubits; none for a monomial, which takes all."""
    if isinstance(step, Move):
        return set()
    above = step.high.bit_length() - 1
    return set(range(above, above + step.num_qubits))


def run_tail(x: Tensor, tail: Tail, frame: Frame, *, recompute: bool) -> Tensor:
    """Apply the steps to their component.

    Args:
        x: ``(2**k, batch)``.
        tail: At least one step; the blocks are unitary.
        frame: Constants, block matrices and phases.
        recompute: Compute states again on the way back, instead of keeping one for each stage.

    Returns:
        ``(2**k, batch)`` complex, differentiable in ``x``, the matrices and the phases.
    """
    stacks = [
        frame.blocks[key] if kind == "block" else frame.phases[key] for kind, key in tail.groups
    ]
    if not x.is_complex():
        x = x.to(x.dtype.to_complex())
    keep = not recompute and any(each.requires_grad for each in (x, *stacks))
    keep_freed_memory()
    return _Tail.apply(x.contiguous(), tail, frame, keep, *stacks)


class _Buffer:
    """A state and its views along the axes of a tail; a view costs as much as a call of torch."""

    __slots__ = ("_pairs", "_turned", "along", "tensor")

    def __init__(self, tensor: Tensor, along: Sequence[Tensor]) -> None:
        self.tensor, self.along = tensor, along
        self._pairs: dict[int, Tensor] = {}
        self._turned: dict[int, Tensor] = {}

    def pairs(self, axis: int) -> Tensor:
        """Return ``(high, d, rest)``, real and imaginary parts side by side."""
        if axis not in self._pairs:
            self._pairs[axis] = torch.view_as_real(self.along[axis]).flatten(-2)
        return self._pairs[axis]

    def turned(self, axis: int) -> Tensor:
        """Return ``(high, rest, d)``."""
        if axis not in self._turned:
            self._turned[axis] = self.along[axis].mT
        return self._turned[axis]


def _buffer(tensor: Tensor, tail: Tail) -> _Buffer:
    return _Buffer(tensor, [tensor.view(high, d, -1) for high, d in tail.axes])


def _buffers(count: int, like: Tensor, tail: Tail) -> list[_Buffer]:
    """Return empty states of the shape of ``like``, in one block of memory."""
    block = like.new_empty(count, *like.shape)
    along = [block.view(count, high, d, -1).unbind(0) for high, d in tail.axes]
    return [_Buffer(tensor, views) for tensor, *views in zip(block.unbind(0), *along, strict=True)]


class _Tail(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, tail: Tail, frame: Frame, keep: bool, *stacks: Tensor
    ) -> Tensor:
        matrices = _matrices(tail, frame, stacks, transpose=False)
        kept: dict[int, _Buffer] = {}
        if keep and tail.kept:
            kept = dict(zip(tail.kept, _buffers(len(tail.kept), x, tail), strict=True))
        state, here, there = (_buffer(each, tail) for each in (x, *map(torch.empty_like, (x, x))))
        for position, (axis, matrix) in enumerate(zip(tail.axis_of, matrices, strict=True)):
            out = kept.get(position)
            if out is None:
                out = there if state is here else here
            if axis >= 0:
                assert matrix is not None  # as every block has
                _multiply(matrix, axis, state, out)
            else:
                _move(tail.steps[position], frame, matrix, state.tensor, out.tensor)
            state = out
        final = state.tensor
        ctx.tail, ctx.frame, ctx.kept = tail, frame, kept if keep else None
        ctx.save_for_backward(x, final, *stacks)
        return final

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, final, *stacks = ctx.saved_tensors
        tail: Tail = ctx.tail
        if torch.is_grad_enabled():
            # A graph of the gradient is asked for: autograd differentiates the plain steps.
            # In aliases: x itself may depend on the same stacks, and that path is not the tail's.
            own = [each.view_as(each) if each.requires_grad else each for each in (x, *stacks)]
            value = _plain(own[0], tail, ctx.frame, own[1:])
            given = [each for each in own if each.requires_grad]
            found = iter(
                torch.autograd.grad(value, given, grad, create_graph=True, allow_unused=True)
            )
            to_x, *rest = [next(found) if each.requires_grad else None for each in own]
            return to_x, None, None, None, *rest
        conjugate = _buffer(torch.conj_physical(grad).contiguous(), tail)  # a copy, overwritten
        back = _Back(tail, ctx.frame, stacks, final)
        if ctx.kept is not None:
            kept = {**ctx.kept, -1: _buffer(x, tail), len(tail.steps) - 1: _buffer(final, tail)}
            gradient = back.run(conjugate, kept)
        else:
            gradient = back.run_again(conjugate, _buffer(final.clone(), tail))
        return gradient.conj(), None, None, None, *back.finished(stacks)


def _plain(x: Tensor, tail: Tail, frame: Frame, stacks: Sequence[Tensor]) -> Tensor:
    """Return the final state by calls that autograd differentiates."""
    tensors = dict(zip(tail.groups, stacks, strict=True))
    own = replace(
        frame,
        blocks={key: value for (kind, key), value in tensors.items() if kind == "block"},
        phases={key: value for (kind, key), value in tensors.items() if kind == "phase"},
        rows={},
    )
    component = tail.steps[0].component
    state = {component: x}
    for step in tail.steps:
        step.run(state, own)
    return state[component]


def _matrices(
    tail: Tail, frame: Frame, stacks: Sequence[Tensor], *, transpose: bool
) -> list[Tensor | None]:
    """Return each step's matrix, broadcast over the axes above it, or a monomial's factors."""
    found: list[Tensor | None] = [None] * len(tail.steps)
    tensors = dict(zip(tail.groups, stacks, strict=True))
    for users in tail.users:
        stack = tensors[users.key]
        rows = stack.index_select(0, users.rows.to(stack.device))
        if users.key[0] == "block":
            # A transposed matrix multiplies a little slower than a copy of it.
            rows = rows.mT.contiguous() if transpose else rows
            rows = rows.unsqueeze(1).expand(-1, users.high, -1, -1)
        for position, matrix in zip(users.positions, rows.unbind(0), strict=True):
            found[position] = matrix
    for position, step in enumerate(tail.steps):
        if isinstance(step, Dense) and step.fixed is not None:
            matrix = frame.constants.number(step.fixed, frame.dtype, frame.device)
            matrix = matrix.mT if transpose else matrix
            found[position] = matrix.expand(step.high, -1, -1)
        elif isinstance(step, Move) and step.signs is not None and step.phases is None:
            found[position] = frame.constants.number(step.signs, frame.dtype, frame.device)
    return found


class _Back:
    """A backward pass."""

    def __init__(self, tail: Tail, frame: Frame, stacks: Sequence[Tensor], like: Tensor) -> None:
        self.tail, self.frame = tail, frame
        self.matrices = _matrices(tail, frame, stacks, transpose=True)
        shapes = dict(zip(tail.groups, (stack.shape[1:] for stack in stacks), strict=True))
        self._found = [like.new_empty(len(users.rows), *shapes[users.key]) for users in tail.users]
        """``sum state gradient^dagger`` of each block over all other axes, before the block."""
        self._results: dict[int, Tensor] = {}
        """Place of the reading of each step with weights."""
        for users, found in zip(tail.users, self._found, strict=True):
            self._results.update(zip(users.positions, found.split(1), strict=True))
        self._sums: dict[int, Tensor] = {}
        self._scratch = [_buffer(torch.empty_like(like), tail)]

    def run(self, grad: _Buffer, kept: dict[int, _Buffer]) -> Tensor:
        """Return the conjugate gradient at the start, with states that were kept."""
        for stage in reversed(self.tail.stages):
            blocks = isinstance(stage.steps[0], Dense)
            if stage.read_at is not None and not blocks:
                self._read_phases(stage.first, kept[stage.read_at], grad)
            grad = self._undo(stage, grad, conjugate=True)
            if stage.read_at is not None and blocks:
                self._read_blocks(stage, kept[stage.read_at], grad)
        return grad.tensor

    def run_again(self, grad: _Buffer, state: _Buffer) -> Tensor:
        """Return the conjugate gradient at the start, with states computed again from the last."""
        for stage in reversed(self.tail.stages):
            blocks = isinstance(stage.steps[0], Dense)
            if stage.read_at is not None and not blocks:
                self._read_phases(stage.first, state, grad)
            grad = self._undo(stage, grad, conjugate=True)
            state = self._undo(stage, state, conjugate=False)
            if stage.read_at is not None and blocks:
                self._read_blocks(stage, state, grad)
        return grad.tensor

    def finished(self, stacks: Sequence[Tensor]) -> list[Tensor]:
        """Return the gradients of the matrices and phases."""
        read = dict(zip(self.tail.groups, map(torch.zeros_like, stacks), strict=True))
        for users, found in zip(self.tail.users, self._found, strict=True):
            inner = read[users.key]
            rows = users.rows.to(inner.device)
            inner.index_copy_(0, rows, found if inner.is_complex() else found.real)
        grads = []
        for ((kind, _), inner), stack in zip(read.items(), stacks, strict=True):
            # A block: from the reading before it to the gradient of the block itself.
            grads.append(torch.bmm(stack, inner.mH) if kind == "block" else stack * inner.conj())
        return grads

    def _undo(self, stage: Stage, x: _Buffer, *, conjugate: bool) -> _Buffer:
        """Apply the adjoint of a stage, or its transpose for a conjugate gradient; overwrites ``x``."""
        for position, step in enumerate(stage.steps, stage.first):
            matrix = self.matrices[position]
            if isinstance(step, Dense):
                assert matrix is not None  # as every block has
                out = self._scratch.pop()
                axis = self.tail.axis_of[position]
                _multiply(matrix if conjugate else matrix.conj(), axis, x, out)
                self._scratch.append(x)
                x = out
                continue
            if matrix is not None:
                factors = matrix if conjugate else matrix.conj().resolve_conj()
                torch.mul(x.tensor, factors, out=x.tensor)
            if step.inverse is not None:
                index = self.frame.constants.index(step.inverse, self.frame.device)
                out = self._scratch.pop()
                torch.index_select(x.tensor, 0, index, out=out.tensor)
                self._scratch.append(x)
                x = out
        return x

    def _read_blocks(self, stage: Stage, state: _Buffer, grad: _Buffer) -> None:
        for position in stage.weighted:
            axis = self.tail.axis_of[position]
            result, x = self._results[position], state.along[axis]
            high = self.tail.axes[axis][0]
            if high == 1:
                torch.bmm(x, grad.turned(axis), out=result)
                continue
            each = self._sums.get(axis)
            if each is None:
                each = self._sums[axis] = result.new_empty(high, *result.shape[1:])
            torch.bmm(x, grad.turned(axis), out=each)
            torch.sum(each, 0, keepdim=True, out=result)

    def _read_phases(self, position: int, state: _Buffer, grad: _Buffer) -> None:
        product = torch.mul(state.tensor, grad.tensor, out=self._scratch[-1].tensor)
        torch.sum(product, 1, keepdim=True, out=self._results[position][0])


def _multiply(matrix: Tensor, axis: int, x: _Buffer, out: _Buffer) -> None:
    """Apply a block on its axis."""
    if matrix.is_complex():
        torch.bmm(matrix, x.along[axis], out=out.along[axis])
    else:
        torch.bmm(matrix, x.pairs(axis), out=out.pairs(axis))


def _move(step: Dense | Move, frame: Frame, factors: Tensor | None, x: Tensor, out: Tensor) -> None:
    assert isinstance(step, Move)  # it has no axis
    if step.source is not None:
        torch.index_select(x, 0, frame.constants.index(step.source, frame.device), out=out)
        x = out
    if factors is not None:
        torch.mul(x, factors, out=out)
