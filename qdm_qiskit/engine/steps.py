"""What a program does to its state, step by step.

The state is a product of components, each a tensor ``(2**k, samples)`` over some of the qubits, batch
last: a gate on the leading qubits is then one matrix product, a permutation one gather of long rows. A
component that no input has reached has one column for all samples. Qubits that no gate has reached are
in |0> and in no component.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .blocks import BlockHandle, Constants, permute_rows

Components = dict[int, Tensor]


@dataclass
class Frame:
    """What steps read while a program runs."""

    constants: Constants
    blocks: dict[tuple[int, int], tuple[Tensor, ...]]
    phases: dict[int, tuple[Tensor, ...]]
    samples: dict[int, Tensor]
    """Per-sample gates: key to ``(d, d, batch)``."""
    dtype: torch.dtype
    """Real; complex numbers have the same precision."""
    device: torch.device


class Step(Protocol):
    """One step; it replaces components in place."""

    def run(self, state: Components, frame: Frame) -> None:
        """Apply the step."""

    def describe(self) -> str:
        """One line for people."""


@dataclass
class Merge:
    """The tensor product of two components; ``low`` becomes the less significant part."""

    high: int
    low: int

    def run(self, state: Components, frame: Frame) -> None:
        """See :class:`Step`."""
        high, low = state[self.high], state.pop(self.low)
        product = high.unsqueeze(1) * low.unsqueeze(0)
        state[self.high] = product.reshape(-1, product.shape[-1])

    def describe(self) -> str:
        """See :class:`Step`."""
        return f"join component {self.low} to {self.high}"


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
            x = x * frame.phases[size][row]
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
    what: str

    def run(self, state: Components, frame: Frame) -> None:
        """See :class:`Step`."""
        if self.block is not None:
            matrix = frame.blocks[self.block.group][self.block.row]
        else:
            assert self.fixed is not None
            matrix = frame.constants.number(self.fixed, frame.dtype, frame.device)
        if self.is_new:
            state[self.component] = matrix[:, :1]
            return
        if self.fresh:
            matrix = matrix[:, :: 2**self.fresh]
        x = state[self.component]
        samples = x.shape[-1]
        if self.high == 1:
            y = mixed_product(matrix, x.reshape(matrix.shape[1], -1))
        else:
            y = mixed_product(matrix, x.reshape(self.high, matrix.shape[1], -1))
        state[self.component] = y.reshape(-1, samples)

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


def mixed_product(matrix: Tensor, x: Tensor) -> Tensor:
    """``matrix @ x`` where either may be real; a real factor halves the arithmetic."""
    if matrix.is_complex() == x.is_complex():
        return torch.matmul(matrix, x)
    if x.is_complex():
        pairs = torch.view_as_real(x.contiguous())
        y = torch.matmul(matrix, pairs.flatten(-2))
        return torch.view_as_complex(y.unflatten(-1, (-1, 2)))
    return torch.complex(torch.matmul(matrix.real, x), torch.matmul(matrix.imag, x))
