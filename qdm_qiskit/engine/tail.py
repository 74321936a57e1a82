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
Rows = dict[Key, tuple[Tensor, ...]]
"""Matrices and phases by group and row."""


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


class _Tail(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, x: Tensor, tail: Tail, frame: Frame, keep: bool, *stacks: Tensor
    ) -> Tensor:
        rows, kept, scratch = _apart(tail.groups, stacks), {}, []
        buffers = list(x.new_empty(len(tail.kept), *x.shape).unbind(0)) if keep else []
        state = x
        for position, step in enumerate(tail.steps):
            if buffers and position in tail.kept:
                out = kept[position] = buffers.pop()
            else:
                out = next((each for each in scratch if each is not state), None)
                if out is None:
                    out = torch.empty_like(x)
                    scratch.append(out)
            if isinstance(step, Dense):
                _multiply(_matrix(step, frame, rows), state, step.high, out)
            else:
                _move(step, frame, rows, state, out)
            state = out
        ctx.tail, ctx.frame, ctx.kept = tail, frame, kept if keep else None
        ctx.save_for_backward(x, state, *stacks)
        return state

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        x, final, *stacks = ctx.saved_tensors
        groups = ctx.tail.groups
        if torch.is_grad_enabled():
            # A graph of the gradient is asked for: autograd differentiates the plain steps.
            value = _plain(x, ctx.tail, ctx.frame, stacks)
            given = [each for each in (x, *stacks) if each.requires_grad]
            found = iter(
                torch.autograd.grad(value, given, grad, create_graph=True, allow_unused=True)
            )
            to_x, *rest = [next(found) if each.requires_grad else None for each in (x, *stacks)]
            return to_x, None, None, None, *rest
        back = _Back(
            ctx.tail,
            ctx.frame,
            _apart(groups, stacks),
            _apart(groups, [stack.mT for stack in stacks]),
            {key: torch.zeros_like(stack) for key, stack in zip(groups, stacks, strict=True)},
        )
        conjugate = torch.conj_physical(grad).contiguous()  # a copy, which is written to
        if ctx.kept is not None:
            kept = {**ctx.kept, -1: x, len(ctx.tail.steps) - 1: final}
            gradient = back.run(conjugate, kept)
        else:
            gradient = back.run_again(conjugate, final)
        for (kind, group), stack in zip(groups, stacks, strict=True):
            if kind == "block":  # from what was read before the blocks to what a block is worth
                back.grads[kind, group] = torch.bmm(stack, back.grads[kind, group].mH)
        return gradient.conj(), None, None, None, *back.grads.values()


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


@dataclass
class _Back:
    """One backward pass."""

    tail: Tail
    frame: Frame
    rows: Rows
    transposed: Rows
    grads: dict[Key, Tensor]
    """Of the blocks, what is read before them: ``sum state gradient^dagger`` over all other axes."""

    def run(self, grad: Tensor, kept: dict[int, Tensor]) -> Tensor:
        """The conjugate gradient at the start, with states that were kept."""
        scratch = [torch.empty_like(grad)]
        for stage in reversed(self.tail.stages):
            step = stage.steps[0]
            if isinstance(step, Move) and stage.read_at is not None:
                self._read_phases(step, kept[stage.read_at], grad)
            grad = self._undo(stage, grad, scratch, conjugate=True)
            if isinstance(step, Dense) and stage.read_at is not None:
                self._read_blocks(stage, kept[stage.read_at], grad)
        return grad

    def run_again(self, grad: Tensor, state: Tensor) -> Tensor:
        """The conjugate gradient at the start, with the states computed again from the last one."""
        scratch = [torch.empty_like(grad)]
        state, others = state.clone(), [torch.empty_like(grad)]
        for stage in reversed(self.tail.stages):
            step = stage.steps[0]
            if isinstance(step, Move) and stage.read_at is not None:
                self._read_phases(step, state, grad)
            grad = self._undo(stage, grad, scratch, conjugate=True)
            state = self._undo(stage, state, others, conjugate=False)
            if isinstance(step, Dense) and stage.read_at is not None:
                self._read_blocks(stage, state, grad)
        return grad

    def _undo(self, stage: Stage, x: Tensor, scratch: list[Tensor], *, conjugate: bool) -> Tensor:
        """The adjoint of a stage, or its transpose for a conjugate gradient; overwrites ``x``."""
        for step in stage.steps:
            if isinstance(step, Dense):
                matrix = _matrix(step, self.frame, self.transposed, transpose=True)
                out = scratch.pop()
                _multiply(matrix if conjugate else matrix.conj(), x, step.high, out)
                scratch.append(x)
                x = out
                continue
            factors = _factors(step, self.frame, self.rows)
            if factors is not None:
                torch.mul(x, factors if conjugate else factors.conj().resolve_conj(), out=x)
            if step.inverse is not None:
                index = self.frame.constants.index(step.inverse, self.frame.device)
                out = scratch.pop()
                torch.index_select(x, 0, index, out=out)
                scratch.append(x)
                x = out
        return x

    def _read_blocks(self, stage: Stage, state: Tensor, grad: Tensor) -> None:
        for step in stage.steps:
            if not isinstance(step, Dense) or step.block is None:
                continue
            shape = (step.high, 2**step.num_qubits, -1)
            left, right = state.reshape(shape), grad.reshape(shape)
            found = torch.bmm(left, right.mT)
            found = found[0] if step.high == 1 else found.sum(0)
            into = self.grads["block", step.block.group][step.block.row]
            into.copy_(found if into.is_complex() else found.real)

    def _read_phases(self, step: Move, state: Tensor, grad: Tensor) -> None:
        assert step.phases is not None  # the caller has looked
        size, row = step.phases
        inner = (state * grad).sum(1, keepdim=True)
        self.grads["phase", size][row] = self.rows["phase", size][row] * inner.conj()


def _apart(groups: Sequence[Key], stacks: Sequence[Tensor]) -> Rows:
    return {key: stack.unbind(0) for key, stack in zip(groups, stacks, strict=True)}


def _matrix(step: Dense, frame: Frame, rows: Rows, *, transpose: bool = False) -> Tensor:
    """From ``rows``, which may be transposed already, or the fixed one."""
    if step.block is not None:
        return rows["block", step.block.group][step.block.row]
    assert step.fixed is not None
    matrix = frame.constants.number(step.fixed, frame.dtype, frame.device)
    return matrix.mT if transpose else matrix


def _multiply(matrix: Tensor, x: Tensor, high: int, out: Tensor) -> None:
    """``matrix @ x`` on the axis below the first ``high``, into ``out``."""
    d = len(matrix)
    if not matrix.is_complex():
        x, out = torch.view_as_real(x), torch.view_as_real(out)
    if high == 1:
        torch.mm(matrix, x.view(d, -1), out=out.view(d, -1))
    else:
        x, out = x.view(high, d, -1), out.view(high, d, -1)
        torch.bmm(matrix.expand(high, -1, -1), x, out=out)


def _move(step: Move, frame: Frame, rows: Rows, x: Tensor, out: Tensor) -> None:
    factors = _factors(step, frame, rows)
    if step.source is not None:
        torch.index_select(x, 0, frame.constants.index(step.source, frame.device), out=out)
        x = out
    if factors is not None:
        torch.mul(x, factors, out=out)


def _factors(step: Move, frame: Frame, rows: Rows) -> Tensor | None:
    if step.phases is not None:
        size, row = step.phases
        return rows["phase", size][row]
    if step.signs is not None:
        return frame.constants.number(step.signs, frame.dtype, frame.device)
    return None
