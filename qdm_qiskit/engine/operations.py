"""The compiled form of a circuit: operations on qubits, and blocks that are folded into one matrix."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .expressions import Angle, shared_angles
from .gates import MATRICES


@dataclass(frozen=True)
class Operation:
    """One gate: fixed, or a function of angles."""

    qubits: tuple[int, ...]
    """Qiskit indices, the gate's own order (first = least significant)."""
    matrix: np.ndarray | None = None
    """The fixed matrix, or None."""
    gate: str = ""
    """Name in :data:`gates.MATRICES` for a parameterized gate."""
    angles: tuple[Angle, ...] = ()
    """The gate's angles."""

    @property
    def depends_on_inputs(self) -> bool:
        """Whether each sample of a batch has its own matrix."""
        return any(angle.depends_on_inputs for angle in self.angles)


@dataclass(frozen=True)
class Block:
    """Neighbouring operations; folded into one matrix when the whole batch shares them."""

    operations: tuple[Operation, ...]
    qubits: tuple[int, ...] = field(default=())
    """Support of a folded block, ascending; empty for a single operation."""


def fold(operations: list[Operation], max_qubits: int) -> list[Block]:
    """Group runs of input-independent operations whose joint support stays small.

    Operations are moved forward past others only when they share no qubit, so the product is the
    same circuit.

    Args:
        operations: In circuit order.
        max_qubits: Largest support of a block.

    Returns:
        Blocks in an order that multiplies to the same unitary.
    """
    open_blocks: list[tuple[set[int], list[Operation]]] = []
    for operation in operations:
        support = set(operation.qubits)
        place = None
        if not operation.depends_on_inputs:
            # Walk back while everything in between acts elsewhere.
            for position in reversed(range(len(open_blocks))):
                block_support, members = open_blocks[position]
                shared = not any(member.depends_on_inputs for member in members)
                if shared and len(block_support | support) <= max_qubits:
                    place = position
                if block_support & support:
                    break
        if place is None:
            open_blocks.append((support, [operation]))
        else:
            open_blocks[place][0].update(support)
            open_blocks[place][1].append(operation)
    return [
        Block(tuple(members), tuple(sorted(support)) if len(members) > 1 else ())
        for support, members in open_blocks
    ]


def apply_matrix(state: Tensor, matrix: Tensor, qubits: tuple[int, ...]) -> Tensor:
    """Apply a gate to a batch of states.

    Args:
        state: ``(batch, 2**n)``, qubit 0 least significant.
        matrix: ``(d, d)``, or ``(batch, d, d)`` with one matrix a sample.
        qubits: ``log2(d)`` Qiskit indices; the first is the matrix's least significant bit.

    Returns:
        ``(batch, 2**n)``.
    """
    batch, size = state.shape
    n = size.bit_length() - 1
    axes = [n - qubit for qubit in reversed(qubits)]
    rest = [axis for axis in range(1, n + 1) if axis not in axes]
    order = [0, *rest, *axes]
    split = state.reshape(batch, *[2] * n).permute(order)
    moved = split.reshape(batch, -1, 2 ** len(qubits)) @ matrix.transpose(-1, -2)
    inverse = [order.index(axis) for axis in range(n + 1)]
    return moved.reshape(batch, *[2] * n).permute(inverse).reshape(batch, size)


class MatrixSource:
    """Matrices of all operations for one set of inputs and weights.

    Angles of one gate name that the batch shares are evaluated together: a call of torch costs
    microseconds, whatever its size.
    """

    def __init__(
        self,
        operations: list[Operation],
        inputs: Tensor | None,
        weights: Tensor | None,
        like: Tensor,
        dtype: torch.dtype,
    ) -> None:
        self._matrices: dict[int, Tensor] = {}
        shared: dict[str, list[Operation]] = {}
        for operation in operations:
            if operation.matrix is not None:
                fixed = torch.tensor(operation.matrix, dtype=dtype, device=like.device)
                self._matrices[id(operation)] = fixed
            elif operation.depends_on_inputs:
                values = [angle.evaluate(inputs, weights, like) for angle in operation.angles]
                matrix = MATRICES[operation.gate](*torch.broadcast_tensors(*values))
                self._matrices[id(operation)] = matrix
            else:
                shared.setdefault(operation.gate, []).append(operation)
        for gate, members in shared.items():
            angles = [
                shared_angles([member.angles[k] for member in members], weights, like)
                for k in range(len(members[0].angles))
            ]
            stacked = MATRICES[gate](*angles).to(dtype)
            for member, matrix in zip(members, stacked.unbind(0), strict=True):
                self._matrices[id(member)] = matrix

    def __getitem__(self, operation: Operation) -> Tensor:
        return self._matrices[id(operation)]


def block_matrix(block: Block, matrices: MatrixSource, like: Tensor) -> Tensor:
    """The unitary of a folded block on its own qubits, ``(2**k, 2**k)``."""
    local = {qubit: position for position, qubit in enumerate(block.qubits)}
    columns = torch.eye(2 ** len(block.qubits), dtype=like.dtype, device=like.device)
    for operation in block.operations:
        qubits = tuple(local[qubit] for qubit in operation.qubits)
        columns = apply_matrix(columns, matrices[operation], qubits)
    return columns.transpose(0, 1)  # row j held the image of basis state j
