"""Deep circuits without stored states: the backward pass undoes the forward pass.

Where autograd keeps the state before every step, this keeps none: gates are unitary, so each earlier
state is computed again from the later one, beside the gradient that travels back. Memory does not grow
with depth, and on a CPU state and gradient stay in the cache, which is most of the gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .steps import Dense, Frame, Move, Step

Rows = dict[tuple[str, Any], tuple[Tensor, ...]]
"""Matrices and phases by group and row."""
Tail = Sequence[Dense | Move]
"""Steps on one component that add no qubits."""


def split_tail(steps: Sequence[Step]) -> int:
    """Where the last run of :data:`Tail` steps on one component starts."""
    first = len(steps)
    for position in reversed(range(len(steps))):
        step = steps[position]
        plain = isinstance(step, Move) or (
            isinstance(step, Dense) and not step.fresh and not step.is_new
        )
        if not plain or (first < len(steps) and step.component != steps[first].component):
            break
        first = position
    return first


def run_adjoint(x: Tensor, tail: Sequence[Step], frame: Frame) -> Tensor:
    """Apply steps to a component.

    Args:
        x: ``(2**k, batch)``.
        tail: The steps from :func:`split_tail` on; their blocks are unitary.
        frame: Constants, block matrices and phases.

    Returns:
        ``(2**k, batch)`` complex, differentiable once in ``x``, the matrices and the phases.
    """
    groups = [("block", key) for key in frame.blocks] + [("phase", key) for key in frame.phases]
    stacks = [*frame.blocks.values(), *frame.phases.values()]
    if not x.is_complex():
        x = x.to(torch.complex64 if x.dtype == torch.float32 else torch.complex128)
    return _Adjoint.apply(x.contiguous(), tail, frame, groups, *stacks)


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, x: Tensor, tail: Tail, frame: Frame, groups: list[tuple[str, Any]], *stacks: Tensor
    ) -> Tensor:
        tensors = _apart(groups, stacks)
        state, spare = x, None
        for step in tail:
            target = torch.empty_like(x) if spare is None else spare
            if isinstance(step, Dense):
                _multiply(_matrix(step, frame, tensors), state, step.high, target)
            else:
                _move(step, frame, tensors, state, target)
            spare = None if state is x else state  # the caller's tensor is not ours to overwrite
            state = target
        ctx.tail, ctx.frame, ctx.groups = tail, frame, groups
        ctx.save_for_backward(state, *stacks)
        return state.clone() if state is x else state

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        final, *stacks = ctx.saved_tensors
        frame: Frame = ctx.frame
        tensors = _apart(ctx.groups, stacks)
        grads = {
            key: torch.zeros_like(stack) for key, stack in zip(ctx.groups, stacks, strict=True)
        }
        # The state and its gradient go back together: both are multiplied by the same adjoint.
        pair, spare = torch.stack([final, grad]), torch.empty(0)
        spare = torch.empty_like(pair)
        for step in reversed(ctx.tail):
            if isinstance(step, Dense):
                matrix = _matrix(step, frame, tensors)
                _multiply(matrix.mH, pair.flatten(0, 1), 2 * step.high, spare.flatten(0, 1))
                pair, spare = spare, pair
                if step.block is not None:
                    inner = _overlap(pair[1], pair[0], step.high, matrix)
                    grads["block", step.block.group][step.block.row] = matrix @ inner
            else:
                pair, spare = _move_back(step, frame, tensors, grads, pair, spare)
        return pair[1], None, None, None, *grads.values()


def _apart(groups: list[tuple[str, Any]], stacks: Sequence[Tensor]) -> Rows:
    return {key: stack.unbind(0) for key, stack in zip(groups, stacks, strict=True)}


def _matrix(step: Dense, frame: Frame, tensors: Rows) -> Tensor:
    if step.block is not None:
        return tensors["block", step.block.group][step.block.row]
    assert step.fixed is not None
    return frame.constants.number(step.fixed, frame.dtype, frame.device)


def _multiply(matrix: Tensor, x: Tensor, high: int, out: Tensor) -> None:
    """``matrix @ x`` on the axis below the first ``high``, into ``out``."""
    d = len(matrix)
    if not matrix.is_complex():
        x, out = torch.view_as_real(x), torch.view_as_real(out)
    x, out = x.reshape(high, d, -1), out.view(high, d, -1)
    if high == 1:
        torch.mm(matrix, x[0], out=out[0])
    else:
        torch.bmm(matrix.expand(high, -1, -1), x, out=out)


def _overlap(left: Tensor, right: Tensor, high: int, matrix: Tensor) -> Tensor:
    """``sum left right^dagger`` over all axes but the block's, ``(d, d)``."""
    d = len(matrix)
    if not matrix.is_complex():
        left, right = torch.view_as_real(left), torch.view_as_real(right)
    left, right = left.reshape(high, d, -1), right.reshape(high, d, -1)
    if high == 1:
        return left[0] @ right[0].mH
    return torch.bmm(left, right.mH).sum(0)


def _move(step: Move, frame: Frame, tensors: Rows, x: Tensor, out: Tensor) -> None:
    factors = _factors(step, frame, tensors)
    if step.source is not None:
        torch.index_select(x, 0, frame.constants.index(step.source, frame.device), out=out)
        x = out
    if factors is not None:
        torch.mul(x, factors, out=out)


def _move_back(
    step: Move,
    frame: Frame,
    tensors: Rows,
    grads: dict[tuple[str, Any], Tensor],
    pair: Tensor,
    spare: Tensor,
) -> tuple[Tensor, Tensor]:
    """Undo a monomial on state and gradient; the phases' gradient is their overlap, row by row."""
    factors = _factors(step, frame, tensors)
    if factors is not None:
        torch.mul(pair, factors.conj().resolve_conj(), out=pair)
        if step.phases is not None:
            size, row = step.phases
            inner = torch.linalg.vecdot(pair[0], pair[1], dim=-1)
            grads["phase", size][row] = factors * inner.unsqueeze(-1)
    if step.inverse is not None:
        index = frame.constants.index(step.inverse, frame.device)
        torch.index_select(pair, 1, index, out=spare)
        return spare, pair
    return pair, spare


def _factors(step: Move, frame: Frame, tensors: Rows) -> Tensor | None:
    if step.phases is not None:
        size, row = step.phases
        return tensors["phase", size][row]
    if step.signs is not None:
        return frame.constants.number(step.signs, frame.dtype, frame.device)
    return None
