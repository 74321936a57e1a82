"""Steps that a program applies to its state.

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

from .autograd_ops import mixed_product, outer, permute_rows
from .constants import BlockHandle, Constants

__all__ = [
    "Components",
    "Dense",
    "Frame",
    "Merge",
    "Move",
    "PerSample",
    "Project",
    "StackKey",
    "Step",
    "Zero",
    "leading_rows",
]

Components = dict[int, Tensor]
StackKey = tuple[str, Any]
"""Kind and group of a stack of tensors: "block" or "phase", and its key there."""


@dataclass
class Frame:
    """Tensors that steps read while a program runs."""

    constants: Constants
    blocks: dict[tuple[int, ...], Tensor]
    """Blocks by group, ``(count, d, columns)``."""
    phases: dict[int, Tensor]
    """Phases by size of register, ``(count, 2**k, 1)``."""
    samples: dict[int, Tensor]
    """Per-sample gates by key, ``(d, d, batch)``."""
    dtype: torch.dtype
    """Real precision; complex numbers have the same."""
    device: torch.device
    rows: dict[Any, tuple[Tensor, ...]] = field(default_factory=dict)
    """Stacks taken apart, filled by :meth:`row`."""
    leading: Mapping[Any, int] = field(default_factory=dict)
    """First rows of a stack that are taken apart at first; all of a stack that is not here."""

    def row(self, stack: Tensor, key: Any, row: int) -> Tensor:
        """Return one row of a stack; all rows are taken apart at once, for one backward call."""
        found = self.rows.get(key)
        if found is None or row >= len(found):
            first = self.leading.get(key, 0)
            # On the way back every row that was taken apart gets a gradient, if only of zeros.
            part = stack[:first] if row < first < len(stack) else stack
            found = self.rows[key] = part.unbind(0)
        return found[row]

    def matrix(self, block: BlockHandle | None, fixed: int | None) -> Tensor:
        """Return the matrix of a block with weights, or of the fixed one that a constant holds."""
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
        """Return a line for people."""


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
        product = outer(high, low)
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
    """Constant of source rows: row i of the result is row ``source[i]``; None if nothing moves."""
    inverse: int | None
    """Constant: the inverse of ``source``."""
    signs: int | None
    """Constant ``(2**k, 1)``: fixed factors, or None."""
    phases: tuple[int, int] | None
    """Place of the phases that depend on weights, or None."""
    text: str

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
        return self.text


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
    """True if all of the block's qubits are in |0>, so that there is no component yet."""
    num_qubits: int
    """Qubits of the block."""
    text: str

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
        return self.text


@dataclass
class PerSample:
    """A gate whose angles depend on inputs: every sample has its own matrix."""

    component: int
    key: int
    high: int
    is_new: bool
    text: str

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
        return self.text


@dataclass
class Project:
    """A projection on one outcome of a qubit: that part of the state is kept; reset to 0 if
    asked."""

    component: int
    high: int
    outcome: int
    to_zero: bool
    text: str

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
        return self.text


def leading_rows(steps: Sequence[Step]) -> dict[Any, int]:
    """Return, for each stack of blocks or phases, how many first rows hold all that steps use."""
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
