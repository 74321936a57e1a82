"""What a program does to its state, step by step.

The state is a product of components, each a tensor ``(2**k, samples)`` over some of the qubits, batch
last: a gate on the leading qubits is then one matrix product, a permutation one gather of long rows. A
component that no input has reached has one column for all samples. Qubits that no gate has reached are
in |0> and in no component.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from .autograd_ops import permute_rows
from .constants import BlockHandle, Constants

Components = dict[int, Tensor]


@dataclass
class Frame:
    """What steps read while a program runs."""

    constants: Constants
    blocks: dict[tuple[int, ...], Tensor]
    """For each group of blocks ``(count, d, columns)``."""
    phases: dict[int, Tensor]
    """For each size of register ``(count, 2**k, 1)``."""
    samples: dict[int, Tensor]
    """Per-sample gates: key to ``(d, d, batch)``."""
    dtype: torch.dtype
    """Real; complex numbers have the same precision."""
    device: torch.device
    rows: dict[Any, tuple[Tensor, ...]] = field(default_factory=dict)
    """Stacks taken apart, filled by :meth:`row`."""
    leading: Mapping[Any, int] = field(default_factory=dict)
    """So many rows at the beginning of a stack are taken apart at first; all where it is not here."""

    def row(self, stack: Tensor, key: Any, row: int) -> Tensor:
        """One row of a stack; rows are taken apart at once, which costs one backward call."""
        found = self.rows.get(key)
        if found is None or row >= len(found):
            first = self.leading.get(key, 0)
            # On the way back every row that was taken apart gets a gradient, if only of zeros.
            part = stack[:first] if row < first < len(stack) else stack
            found = self.rows[key] = part.unbind(0)
        return found[row]

    def matrix(self, block: BlockHandle | None, fixed: int | None) -> Tensor:
        """The matrix of a block with weights, or of the fixed one that a constant holds."""
        if block is not None:
            return self.row(self.blocks[block.group], block.group, block.row)
        assert fixed is not None  # a block is one or the other
        return self.constants.number(fixed, self.dtype, self.device)


class Step(Protocol):
    """One step; it replaces components in place."""

    component: int

    def run(self, state: Components, frame: Frame) -> None:
        """Apply the step."""

    def describe(self) -> str:
        """One line for people."""


@dataclass
class Merge:
    """The tensor product of two components; ``low`` becomes the less significant part."""

    component: int
    low: int

    def run(self, state: Components, frame: Frame) -> None:
        """See :class:`Step`."""
        high, low = state[self.component], state.pop(self.low)
        if high.is_complex() != low.is_complex():
            dtype = high.dtype if high.is_complex() else low.dtype
            high, low = high.to(dtype), low.to(dtype)
        # Forward mode, which runs without gradients of this kind, needs the plain form.
        wanted = high.requires_grad or low.requires_grad
        product = _Outer.apply(high, low) if wanted else high.unsqueeze(1) * low.unsqueeze(0)
        state[self.component] = product.reshape(-1, product.shape[-1])

    def describe(self) -> str:
        """See :class:`Step`."""
        return f"join component {self.low} to {self.component}"


@dataclass
class Zero:
    """New qubits in |0> as a component of their own."""

    component: int
    count: int

    def run(self, state: Components, frame: Frame) -> None:
        """See :class:`Step`."""
        zero = torch.zeros(2**self.count, 1, dtype=frame.dtype, device=frame.device)
        zero[0] = 1
        state[self.component] = zero

    def describe(self) -> str:
        """See :class:`Step`."""
        return f"{self.count} qubits in |0>"


@dataclass
class Move:
    """A monomial: basis states move and get phases. CX, CZ, RZ, and changes of the qubits' order."""

    component: int
    source: int | None
    """Constant: row i of the result is row ``source[i]``; None if nothing moves."""
    inverse: int | None
    """Constant: the inverse of ``source``."""
    signs: int | None
    """Constant ``(2**k, 1)``: fixed factors, or None."""
    phases: tuple[int, int] | None
    """Where the phases that depend on weights stand, or None."""
    what: str

    def run(self, state: Components, frame: Frame) -> None:
        """See :class:`Step`."""
        x = state[self.component]
        if self.source is not None and self.inverse is not None:
            index = frame.constants.index
            x = permute_rows(x, index(self.source, frame.device), index(self.inverse, frame.device))
        if self.phases is not None:
            size, row = self.phases
            x = x * frame.row(frame.phases[size], size, row)
        elif self.signs is not None:
            x = x * frame.constants.number(self.signs, frame.dtype, frame.device)
        state[self.component] = x

    def describe(self) -> str:
        """See :class:`Step`."""
        return self.what


@dataclass
class Dense:
    """A block of gates as one matrix on neighbouring axes of a component."""

    component: int
    block: BlockHandle | None
    """A block with weights, or None for a fixed one."""
    fixed: int | None
    """Constant: the matrix of a fixed block."""
    high: int
    """Product of the axes above the block's."""
    fresh: int
    """Qubits of the block that are still in |0>; its least significant ones."""
    is_new: bool
    """Whether all of them are, so that there is no component yet."""
    num_qubits: int
    """Qubits of the block."""
    what: str

    def run(self, state: Components, frame: Frame) -> None:
        """See :class:`Step`."""
        matrix = frame.matrix(self.block, self.fixed)
        if self.block is None and self.fresh:
            matrix = matrix[:, :: 2**self.fresh]
        if self.is_new:
            state[self.component] = matrix
            return
        x = state[self.component]
        y = mixed_product(matrix, x.reshape(self.high, matrix.shape[1], -1))
        state[self.component] = y.reshape(-1, x.shape[-1])

    def describe(self) -> str:
        """See :class:`Step`."""
        return self.what


@dataclass
class PerSample:
    """A gate whose angles depend on inputs: every sample has its own matrix."""

    component: int
    key: int
    high: int
    is_new: bool
    what: str

    def run(self, state: Components, frame: Frame) -> None:
        """See :class:`Step`."""
        matrix = frame.samples[self.key]  # (d, d, batch)
        if self.is_new:
            state[self.component] = matrix[:, 0]
            return
        d, batch = matrix.shape[0], matrix.shape[-1]
        x = state[self.component]
        x = x.reshape(self.high, d, -1, x.shape[-1])
        y = (matrix[:, :, None, :] * x.unsqueeze(1)).sum(2)
        state[self.component] = y.reshape(-1, max(batch, x.shape[-1]))

    def describe(self) -> str:
        """See :class:`Step`."""
        return self.what


@dataclass
class Project:
    """Keep the part of the state in which a qubit has an outcome; reset it to 0 if asked."""

    component: int
    high: int
    outcome: int
    to_zero: bool
    what: str

    def run(self, state: Components, frame: Frame) -> None:
        """See :class:`Step`."""
        x = state[self.component]
        split = x.reshape(self.high, 2, -1)
        part = split[:, self.outcome]
        empty = torch.zeros_like(part)
        first = self.outcome == 0 or self.to_zero
        pair = [part, empty] if first else [empty, part]
        state[self.component] = torch.stack(pair, dim=1).reshape(x.shape)

    def describe(self) -> str:
        """See :class:`Step`."""
        return self.what


def leading_rows(steps: Sequence[Step]) -> dict[Any, int]:
    """Of each stack of blocks or phases the rows up to the last one that the steps use."""
    leading: dict[Any, int] = {}
    for step in steps:
        used: tuple[Any, int] | None = None
        if isinstance(step, Dense) and step.block is not None:
            used = step.block.group, step.block.row
        elif isinstance(step, Move):
            used = step.phases
        if used is not None:
            leading[used[0]] = max(leading.get(used[0], 0), used[1] + 1)
    return leading


def mixed_product(matrix: Tensor, x: Tensor) -> Tensor:
    """``matrix @ x`` for ``(high, d, columns)``; a real matrix or state halves the arithmetic."""
    if matrix.is_complex() == x.is_complex():
        return _product(matrix, x)
    if x.is_complex():
        pairs = torch.view_as_real(x)
        return torch.view_as_complex(_product(matrix, pairs.flatten(-2)).unflatten(-1, (-1, 2)))
    # As one complex product: two real ones, put together, take longer, and so does their gradient.
    return _product(matrix, x.to(matrix.dtype))


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    if len(x) == 1:
        return torch.mm(
            matrix, x.squeeze(0)
        )  # x[0] would fill a whole state with zeros on the way back
    # torch.matmul would fold the batch into the columns, which copies x and the result.
    return torch.bmm(matrix.expand(len(x), -1, -1), x)


class _Outer(torch.autograd.Function):
    """``(a, batch)`` and ``(b, batch)`` to ``(a, b, batch)``; a batch of 1 is every sample's.

    Autograd's own form conjugates and broadcasts more than it has to.
    """

    @staticmethod
    def forward(ctx: Any, high: Tensor, low: Tensor) -> Tensor:
        ctx.save_for_backward(high, low)
        return high.unsqueeze(1) * low.unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        high, low = ctx.saved_tensors
        to_high = to_low = None
        if ctx.needs_input_grad[0]:
            to_high = (grad * low.conj().resolve_conj()).sum(1)
            if high.shape[1] < grad.shape[2]:
                to_high = to_high.sum(1, keepdim=True)
        if ctx.needs_input_grad[1]:
            to_low = (grad * high.conj().resolve_conj().unsqueeze(1)).sum(0)
            if low.shape[1] < grad.shape[2]:
                to_low = to_low.sum(1, keepdim=True)
        return to_high, to_low


class _SquaredModulus(torch.autograd.Function):
    """``|x|**2``, perhaps of some rows only; autograd's own forms take up to seven times as long."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int, outcome: int) -> Tensor:
        ctx.place = axis, outcome
        ctx.save_for_backward(x)
        part = _part(x, axis, outcome)
        # A complex product runs at the speed of memory; abs() takes roots, and a sum over pairs of
        # real and imaginary parts is not vectorised (torch 2.13).
        return (part * part.conj()).real.reshape(-1, x.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        axis, outcome = ctx.place
        part = _part(x, axis, outcome)
        values = part * (2 * grad).reshape(part.shape)
        if axis < 0:
            return values, None, None
        full = torch.zeros_like(x)
        _part(full, axis, outcome).copy_(values)
        return full, None, None


def _part(x: Tensor, axis: int, outcome: int) -> Tensor:
    """The rows in which one of the axes has an outcome; all of them for the axis -1."""
    return x if axis < 0 else x.view(2**axis, 2, -1, x.shape[-1]).select(1, outcome)


def squared_modulus(state: Tensor, axis: int = -1, outcome: int = 0) -> Tensor:
    """``|x|**2`` of all rows, or of those in which an axis has an outcome.

    Args:
        state: ``(2**k, batch)``.
        axis: The k axes count from the most significant one; -1 for all rows.
        outcome: 0 or 1.

    Returns:
        Real, ``(2**k, batch)``, or half as many rows.
    """
    if state.is_complex():
        return _SquaredModulus.apply(state.contiguous(), axis, outcome)
    part = _part(state, axis, outcome)
    return (part * part).reshape(-1, state.shape[-1])
