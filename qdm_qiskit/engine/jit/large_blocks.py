"""Blocks of many gates, whose matrices are built by running their gates on basis states.

The gates of a block map basis states to the columns of its matrix. On tiles that costs one run with a
sample for each column, where multiplying factors costs a matrix product for each layer of gates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..evolution.block_matrices import BlockBuilder
from ..evolution.constants import BlockHandle, Constants
from ..evolution.planner import are_real
from ..evolution.steps import Frame
from ..lowering.operations import Monomial, Operation
from .planner import TilePlanner, cheapest
from .steps import Tiles

__all__ = [
    "LEAST_GATES",
    "LargeBlock",
    "MixedBlockBuilder",
    "Runner",
]

LEAST_GATES = 40
"""Number of gates below which blocks are products of their factors."""


class Runner(Protocol):
    """Runner of the steps of a block."""

    def run(self, x: Tensor, frame: Frame, inputs: Tensor | None, weights: Tensor | None) -> Tensor:
        """Return the state after the steps, ``(2**k, batch)``, of one such state before them."""


class LargeBlock:
    """The matrix of one block with weights.

    Args:
        operations: Its gates in order; none depends on inputs.
        qubits: Its k qubits, least significant first.
        fresh: Number of first qubits that are in |0>, so that columns can be left out.
        runner: Makes a runner of the block's steps.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        qubits: Sequence[int],
        fresh: int,
        runner: Callable[[Tiles], Runner],
    ) -> None:
        self._stride = 2**fresh
        self._is_real = are_real(operations)
        self._size = 2 ** len(qubits)
        order = tuple(reversed(qubits))
        segments, self.cost = cheapest(operations, order, self._size // self._stride)
        self._constants = Constants()
        self._builder = BlockBuilder(self._constants)
        laid = TilePlanner(segments, order, self._builder, self._constants)
        self._builder.finish()
        self._runner = runner(Tiles(0, tuple(laid.steps), self._size, {}))

    def build(self, weights: Tensor, like: Tensor) -> Tensor:
        """Return ``(1, 2**k, 2**(k - fresh))``, for weights ``(num_weights,)``."""
        blocks, phases = self._builder.build(weights, like, differentiable=False)
        dtype = like.dtype.to_complex()
        start = torch.eye(self._size, dtype=dtype, device=like.device)[:, :: self._stride]
        frame = Frame(self._constants, blocks, phases, {}, like.dtype, like.device)
        found = self._runner.run(start, frame, None, weights)
        return (found.real if self._is_real else found).unsqueeze(0)


class MixedBlockBuilder:
    """Builder of small and large blocks of a program; used as a :class:`BlockBuilder` is.

    Args:
        constants: Collects fixed arrays.
        runner: Makes a runner of the steps of a large block.
    """

    def __init__(self, constants: Constants, runner: Callable[[Tiles], Runner]) -> None:
        self._constants, self._new_runner = constants, runner
        self._small = BlockBuilder(constants)
        self.saved = 0.0
        """Estimated microseconds that large blocks save over products of factors."""
        self._large: dict[tuple[int, ...], tuple[LargeBlock, BlockBuilder, BlockHandle]] = {}

    def add(
        self, operations: Sequence[Operation], qubits: Sequence[int], fresh: int
    ) -> BlockHandle:
        """See :meth:`BlockBuilder.add`."""
        if len(operations) >= LEAST_GATES:
            found = LargeBlock(operations, qubits, fresh, self._new_runner)
            product = BlockBuilder(self._constants)
            handle = product.add(operations, qubits, fresh)
            if found.cost < product.cost(handle):
                product.finish()
                group = (*handle.group, len(self._large))
                self._large[group] = found, product, handle
                self.saved += product.cost(handle) - found.cost
                return BlockHandle(group, 0)
        return self._small.add(operations, qubits, fresh)

    def add_phases(self, monomial: Monomial) -> tuple[int, int]:
        """See :meth:`BlockBuilder.add_phases`."""
        return self._small.add_phases(monomial)

    def finish(self) -> None:
        """See :meth:`BlockBuilder.finish`."""
        self._small.finish()

    def build(
        self, weights: Tensor | None, like: Tensor, *, differentiable: bool
    ) -> tuple[dict[tuple[int, ...], Tensor], dict[int, Tensor]]:
        """See :meth:`BlockBuilder.build`."""
        blocks, phases = self._small.build(weights, like, differentiable=differentiable)
        for group, (large, product, handle) in self._large.items():
            if weights is not None and weights.ndim == 1:
                blocks[group] = large.build(weights, like)
            else:  # the products of all rows of a table are made at once
                made, _ = product.build(weights, like, differentiable=differentiable)
                blocks[group] = made[handle.group]
        return blocks, phases
