"""Blocks of gates and channels through which trajectories go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .blocks import Block, fuse
from .channels import Channel, on_axes, pauli_matrix
from .lowering import Event

__all__ = ["Factor", "TrajectoryBlock", "TrajectoryPlan", "plan_blocks"]

Factor = tuple[str, int, np.ndarray]
"""("fixed", -, matrix), ("weights" or "inputs", angle, cosine and sine terms), ("noise", event,
operators)."""


@dataclass
class TrajectoryBlock:
    """A block of gates and channels, and where its qubits have to be."""

    axes: tuple[int, ...] | None
    """The permutation that brings its qubits to the front; None where they are."""
    factors: list[Factor] = field(default_factory=list)
    """What its matrix is the product of, the first rightmost."""


@dataclass
class TrajectoryPlan:
    """Blocks in order, and how qubits lie behind them."""

    blocks: list[TrajectoryBlock]
    order: list[int]
    """Qubits at the end, the first most significant."""
    edges: list[np.ndarray]
    """For each channel with several branches the upper ends of their chances on the line 0 to 1."""


def plan_blocks(
    events: Sequence[Event],
    rows: Mapping[int, tuple[str, int]],
    active: Sequence[int],
    covered: Sequence[int],
) -> TrajectoryPlan:
    """Return the blocks of a circuit, on two qubits each.

    Args:
        events: In order.
        rows: By identity of a rotation: "weights" or "inputs", and which of their angles it has.
        active: Qubits on which anything acts.
        covered: Those with an initial state, the first least significant.
    """
    groups = fuse(events, 2, split_samples=False)
    order = [q for q in active if q not in covered] + list(reversed(covered))
    blocks: list[TrajectoryBlock] = []
    edges: list[np.ndarray] = []
    for k, group in enumerate(groups):
        front = len(group.qubits)
        axes = None
        if set(order[:front]) != set(group.qubits):
            new = _with_front(order, groups, k)
            axes = tuple(order.index(q) for q in new)
            order = new
        block = TrajectoryBlock(axes)
        _add_factors(block, group, rows, list(reversed(order[:front])), edges)
        blocks.append(block)
    return TrajectoryPlan(blocks, order, edges)


def _with_front(order: Sequence[int], groups: Sequence[Block], k: int) -> list[int]:
    """Return qubits with those of a group in front, the others by when they are used next."""
    use = {q: j for j in range(len(groups) - 1, k, -1) for q in groups[j].qubits}
    rest = (q for q in order if q not in groups[k].qubits)
    return [*groups[k].qubits, *sorted(rest, key=lambda q: use.get(q, len(groups)))]


def _add_factors(
    block: TrajectoryBlock,
    group: Block,
    rows: Mapping[int, tuple[str, int]],
    register: list[int],
    edges: list[np.ndarray],
) -> None:
    """Add a group's factors to a block, and chances to the edges; fixed gates join what is next."""
    one = np.eye(2 ** len(register), dtype=complex)
    pending = one
    for event in group.events:
        if event.channel is None:
            name, row = rows[id(event)]
            p = on_axes(pauli_matrix(event.pauli), event.qubits, register, 2)
            block.factors.append((name, row, np.stack([pending, -1j * p @ pending])))
            pending = one
            continue
        assert isinstance(event.channel, Channel)  # readout comes after the measurement
        if len(event.channel.kraus) == 1:
            pending = on_axes(event.channel.kraus[0], event.qubits, register, 2) @ pending
        else:
            q, operators = event.channel.branches
            full = [on_axes(each, event.qubits, register, 2) for each in operators]
            block.factors.append(("noise", len(edges), np.stack(full) @ pending))
            edges.append(np.cumsum(q))
            pending = one
    if not block.factors:
        block.factors.append(("fixed", -1, pending))
    elif not np.array_equal(pending, one):
        name, row, array = block.factors[-1]
        block.factors[-1] = (name, row, pending @ array)
