"""Columns: states or observables as real vectors over Pauli strings, one after the other.

A column starts small and takes in a qubit when the first block reaches it. Observables go backwards,
through the transposed matrices; a block outside of an observable's light cone leaves it as it is, since
channels keep the trace, and is left out. Blocks come in an order in which few reach a large column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .blocks import Block
from .column_order import smallest_first
from .column_steps import Column, Step

__all__ = ["String", "keeps_trace", "observable_columns", "state_column"]

_EXACT = 1e-12

String = tuple[tuple[int, int], ...]
"""A Pauli string: qubits, and digits 1, 2, 3 for X, Y, Z."""


def keeps_trace(block: Block) -> bool:
    """Return whether the channels of a block keep the trace to rounding."""
    channels = [event.channel.transfer for event in block.events if event.channel is not None]
    return all(np.abs(each[0] - np.eye(1, len(each))[0]).max() < _EXACT for each in channels)


def observable_columns(
    blocks: Sequence[Block], late: Sequence[int], strings: Sequence[String]
) -> list[Column]:
    """Return a column for each Pauli string.

    Args:
        blocks: All blocks.
        late: Those that are applied to observables, from the last to the first.
        strings: On active qubits.
    """
    exact = {k: keeps_trace(blocks[k]) for k in late}
    found = []
    for string in strings:
        column = Column([q for q, _ in string])
        column.start = sum(digit * 4**k for k, (_, digit) in enumerate(string))
        column.start_digits = column.digits
        place = {q: k for k, q in enumerate(column.qubits)}
        reached, cone = set(column.qubits), list[int]()
        for k in late:
            if not exact[k] or not reached.isdisjoint(blocks[k].qubits):
                reached.update(blocks[k].qubits)
                cone.append(k)
        for j in smallest_first([blocks[k].qubits for k in cone], column.qubits):
            k = cone[j]
            qubits = blocks[k].qubits
            for qubit in qubits:
                if qubit not in place:
                    place[qubit] = len(column.qubits)
                    column.qubits.append(qubit)
            column.steps.append(Step(column.digits, k, tuple(place[q] for q in qubits)))
        found.append(column)
    return found


def state_column(
    blocks: Sequence[Block], covered: Sequence[int], strings: Sequence[String]
) -> Column:
    """Return the column of a state of which these strings are read; all samples have the same.

    Args:
        blocks: In order.
        covered: Qubits with an initial state, the first least significant.
        strings: On active qubits.
    """
    needed = {q for string in strings for q, _ in string}
    past: list[int] = []
    for k in reversed(range(len(blocks))):
        if needed.intersection(blocks[k].qubits) or not keeps_trace(blocks[k]):
            needed.update(blocks[k].qubits)
            past.append(k)
    column = Column(list(covered))
    column.start_digits = column.digits
    place = {q: k for k, q in enumerate(covered)}
    waiting: dict[int, list[int]] = {}

    def take_in(qubits: Sequence[int]) -> None:
        for qubit in qubits:
            if qubit not in place:
                column.steps.append(Step(len(column.qubits), qubit=qubit))
                place[qubit] = len(column.qubits)
                column.qubits.append(qubit)
                for k in waiting.pop(qubit, ()):
                    apply(k)

    def apply(k: int) -> None:
        at = tuple(place[q] for q in blocks[k].qubits)
        column.steps.append(Step(column.digits, k, at))

    past.reverse()
    for j in smallest_first([blocks[k].qubits for k in past], covered):
        k = past[j]
        qubits = blocks[k].qubits
        if len(qubits) == 1 and qubits[0] not in place:
            waiting.setdefault(qubits[0], []).append(k)  # while the column is small without it
        else:
            take_in(qubits)
            apply(k)
    take_in(sorted(needed))
    return column
