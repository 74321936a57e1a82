"""The long part of a program, on one component, with a backward pass of its own.

Autograd keeps the state before every step. Here one state for each stage is kept, or none: gates are
unitary, so an earlier state can be computed again from the later one. A stage is a run of blocks on
different qubits. These commute, so the gradients of all its blocks are read at its start, from the
state and the gradient there.

The gradient travels back complex conjugate: what a matrix M does to the state, its transpose does
to that, and no product has to conjugate a whole state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .steps import Dense, Frame, Move, Step

Key = tuple[str, Any]
"""("block" or "phase", group)."""


@dataclass(frozen=True)
class Stage:
    """Blocks on different qubits, or one monomial."""

    first: int
    """Its first step."""
    steps: tuple[Dense | Move, ...]

    @property
    def read_at(self) -> int | None:
        """The step after which the state is where gradients are read; None where there are none.

        Before blocks (step -1 is the start of all), after a monomial.
        """
        step = self.steps[0]
        if isinstance(step, Move):
            return self.first if step.phases is not None else None
        weighted = any(isinstance(each, Dense) and each.block is not None for each in self.steps)
        return self.first - 1 if weighted else None


@dataclass(frozen=True)
class Tail:
    """The steps of a program from ``first`` on: blocks and monomials on one component."""

    first: int
    steps: tuple[Dense | Move, ...]
    stages: tuple[Stage, ...]
    kept: frozenset[int]
    """Steps after which the state is kept, unless it is computed again."""
    groups: tuple[Key, ...]
    """Blocks and phases that the steps use."""


def find_tail(steps: Sequence[Step]) -> Tail:
    """The last run of blocks and monomials on one component that add no qubits."""
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
    kept = frozenset(position for position in read if position is not None)
    groups: dict[Key, None] = {}
    for step in found:
        if isinstance(step, Dense) and step.block is not None:
            groups["block", step.block.group] = None
        elif isinstance(step, Move) and step.phases is not None:
            groups["phase", step.phases[0]] = None
    return Tail(len(steps) - len(found), tuple(found), tuple(stages), kept, tuple(groups))


def _axes(step: Dense | Move) -> set[int]:
    """The places of a block's qubits; none for a monomial, which takes all."""
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
        x = x.to(torch.complex64 if x.dtype == torch.float32 else torch.complex128)
    keep = not recompute and any(each.requires_grad for each in (x, *stacks))
    return _Tail.apply(x.contiguous(), tail, frame, keep, *stacks)


class _Buffer:
    """A state and its views along its axes; making a view takes as long as a call of torch."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self._views: dict[tuple[int, int, bool], Tensor] = {}

    def view(self, step: Dense, real: bool) -> Tensor:
        """``(high, d, rest)`` around a block's axis; real and imaginary parts side by side."""
        key = (step.high, step.num_qubits, real)
        found = self._views.get(key)
        if found is None:
            tensor = torch.view_as_real(self.tensor) if real else self.tensor
            found = self._views[key] = tensor.view(step.high, 2**step.num_qubits, -1)
        return found

    def turned(self, step: Dense) -> Tensor:
        """``(high, rest, d)``."""
        key = (step.high, -step.num_qubits, False)
        found = self._views.get(key)
        if found is None:
            found = self._views[key] = self.view(step, False).mT
        return found


class _Tail(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, x: Tensor, tail: Tail, frame: Frame, keep: bool, *stacks: Tensor
    ) -> Tensor:
        matrices = _Matrices(tail, frame, stacks, transpose=False)
        kept: dict[int, _Buffer] = {}
        buffers = list(x.new_empty(len(tail.kept), *x.shape).unbind(0)) if keep else []
        state, scratch = _Buffer(x), [_Buffer(torch.empty_like(x)), _Buffer(torch.empty_like(x))]
        for position, step in enumerate(tail.steps):
            if buffers and position in tail.kept:
                out = kept[position] = _Buffer(buffers.pop())
            else:
                out = scratch[1] if state is scratch[0] else scratch[0]
            if isinstance(step, Dense):
                _multiply(matrices, step, state, out)
            else:
                _move(step, frame, matrices.phases(step), state.tensor, out.tensor)
            state = out
        final = state.tensor
        ctx.tail, ctx.frame, ctx.kept = tail, frame, kept if keep else None
        ctx.save_for_backward(x, final, *stacks)
        return final

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        x, final, *stacks = ctx.saved_tensors
        if torch.is_grad_enabled():
            # A graph of the gradient is asked for: autograd differentiates the plain steps.
            value = _plain(x, ctx.tail, ctx.frame, stacks)
            given = [each for each in (x, *stacks) if each.requires_grad]
            found = iter(
                torch.autograd.grad(value, given, grad, create_graph=True, allow_unused=True)
            )
            to_x, *rest = [next(found) if each.requires_grad else None for each in (x, *stacks)]
            return to_x, None, None, None, *rest
        back = _Back(ctx.tail, ctx.frame, stacks)
        conjugate = _Buffer(torch.conj_physical(grad).contiguous())  # a copy, which is written to
        if ctx.kept is not None:
            kept = {**ctx.kept, -1: _Buffer(x), len(ctx.tail.steps) - 1: _Buffer(final)}
            gradient = back.run(conjugate, kept)
        else:
            gradient = back.run_again(conjugate, _Buffer(final.clone()))
        return gradient.conj(), None, None, None, *back.finished(stacks)


def _plain(x: Tensor, tail: Tail, frame: Frame, stacks: Sequence[Tensor]) -> Tensor:
    """The same by autograd."""
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


class _Matrices:
    """The blocks of a tail, each broadcast over the axes above it, by group and row."""

    def __init__(
        self, tail: Tail, frame: Frame, stacks: Sequence[Tensor], *, transpose: bool
    ) -> None:
        self.frame, self.transpose = frame, transpose
        self._stacks = {
            key: stack.mT if transpose and key[0] == "block" else stack
            for key, stack in zip(tail.groups, stacks, strict=True)
        }
        self._rows: dict[tuple[Any, int], tuple[Tensor, ...]] = {}

    def block(self, step: Dense) -> Tensor:
        """``(high, d, d)``."""
        if step.block is None:
            assert step.fixed is not None
            matrix = self.frame.constants.number(step.fixed, self.frame.dtype, self.frame.device)
            return (matrix.mT if self.transpose else matrix).expand(step.high, -1, -1)
        key = (step.block.group, step.high)
        if key not in self._rows:
            stack = self._stacks["block", step.block.group]
            self._rows[key] = stack.unsqueeze(1).expand(-1, step.high, -1, -1).unbind(0)
        return self._rows[key][step.block.row]

    def phases(self, step: Move) -> Tensor | None:
        """The factors of a monomial, ``(2**k, 1)``, or None."""
        if step.phases is not None:
            size, row = step.phases
            if (size, 0) not in self._rows:
                self._rows[size, 0] = self._stacks["phase", size].unbind(0)
            return self._rows[size, 0][row]
        if step.signs is not None:
            return self.frame.constants.number(step.signs, self.frame.dtype, self.frame.device)
        return None


class _Back:
    """One backward pass."""

    def __init__(self, tail: Tail, frame: Frame, stacks: Sequence[Tensor]) -> None:
        self.tail, self.frame = tail, frame
        self.matrices = _Matrices(tail, frame, stacks, transpose=True)
        self.found: dict[Key, dict[int, Tensor]] = {key: {} for key in tail.groups}
        """Of the blocks, ``sum state gradient^dagger`` over all other axes, before them."""

    def run(self, grad: _Buffer, kept: dict[int, _Buffer]) -> Tensor:
        """The conjugate gradient at the start, with states that were kept."""
        scratch = [_Buffer(torch.empty_like(grad.tensor))]
        for stage in reversed(self.tail.stages):
            step = stage.steps[0]
            if isinstance(step, Move) and stage.read_at is not None:
                self._read_phases(step, kept[stage.read_at], grad)
            grad = self._undo(stage, grad, scratch, conjugate=True)
            if isinstance(step, Dense) and stage.read_at is not None:
                self._read_blocks(stage, kept[stage.read_at], grad)
        return grad.tensor

    def run_again(self, grad: _Buffer, state: _Buffer) -> Tensor:
        """The conjugate gradient at the start, with the states computed again from the last one."""
        scratch = [_Buffer(torch.empty_like(grad.tensor))]
        others = [_Buffer(torch.empty_like(grad.tensor))]
        for stage in reversed(self.tail.stages):
            step = stage.steps[0]
            if isinstance(step, Move) and stage.read_at is not None:
                self._read_phases(step, state, grad)
            grad = self._undo(stage, grad, scratch, conjugate=True)
            state = self._undo(stage, state, others, conjugate=False)
            if isinstance(step, Dense) and stage.read_at is not None:
                self._read_blocks(stage, state, grad)
        return grad.tensor

    def finished(self, stacks: Sequence[Tensor]) -> list[Tensor]:
        """The gradients of the matrices and phases."""
        grads = []
        for (key, found), stack in zip(self.found.items(), stacks, strict=True):
            if len(found) < len(stack):  # other rows are used before the tail, or not at all
                inner = stack.new_zeros(stack.shape)
                for row, value in found.items():
                    inner[row] = value
            else:
                inner = torch.stack([found[row] for row in range(len(stack))])
            # A block: from what was read before it to what the block itself is worth.
            grads.append(torch.bmm(stack, inner.mH) if key[0] == "block" else stack * inner.conj())
        return grads

    def _undo(
        self, stage: Stage, x: _Buffer, scratch: list[_Buffer], *, conjugate: bool
    ) -> _Buffer:
        """The adjoint of a stage, or its transpose for a conjugate gradient; overwrites ``x``."""
        for step in stage.steps:
            if isinstance(step, Dense):
                out = scratch.pop()
                _multiply(self.matrices, step, x, out, conjugate=not conjugate)
                scratch.append(x)
                x = out
                continue
            factors = self.matrices.phases(step)
            if factors is not None:
                factors = factors if conjugate else factors.conj().resolve_conj()
                torch.mul(x.tensor, factors, out=x.tensor)
            if step.inverse is not None:
                index = self.frame.constants.index(step.inverse, self.frame.device)
                out = scratch.pop()
                torch.index_select(x.tensor, 0, index, out=out.tensor)
                scratch.append(x)
                x = out
        return x

    def _read_blocks(self, stage: Stage, state: _Buffer, grad: _Buffer) -> None:
        for step in stage.steps:
            if not isinstance(step, Dense) or step.block is None:
                continue
            found = torch.bmm(state.view(step, False), grad.turned(step))
            found = found[0] if step.high == 1 else found.sum(0)
            real = not self.matrices.block(step).is_complex()
            self.found["block", step.block.group][step.block.row] = found.real if real else found

    def _read_phases(self, step: Move, state: _Buffer, grad: _Buffer) -> None:
        assert step.phases is not None  # the caller has looked
        size, row = step.phases
        self.found["phase", size][row] = (state.tensor * grad.tensor).sum(1, keepdim=True)


def _multiply(
    matrices: _Matrices, step: Dense, x: _Buffer, out: _Buffer, *, conjugate: bool = False
) -> None:
    """A block, or its complex conjugate, on its axis."""
    matrix = matrices.block(step)
    if conjugate:
        matrix = matrix.conj()
    real = not matrix.is_complex()
    torch.bmm(matrix, x.view(step, real), out=out.view(step, real))


def _move(step: Move, frame: Frame, factors: Tensor | None, x: Tensor, out: Tensor) -> None:
    if step.source is not None:
        torch.index_select(x, 0, frame.constants.index(step.source, frame.device), out=out)
        x = out
    if factors is not None:
        torch.mul(x, factors, out=out)
