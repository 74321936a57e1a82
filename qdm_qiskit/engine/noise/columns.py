"""Columns: states or observables as real vectors over Pauli strings, one after the other.

A column starts small and takes in a qubit when the first block reaches it. Observables go backwards,
through the transposed matrices; a block outside of an observable's light cone leaves it as it is, since
channels keep the trace, and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..jit.columns import LEAST_DIGITS
from .blocks import Block

__all__ = [
    "COLUMN_FLOPS",
    "STEP_SECONDS",
    "Column",
    "Step",
    "String",
    "keeps_trace",
    "observable_columns",
    "state_column",
]

COLUMN_FLOPS = 50e9
"""Real multiplications and additions in a second, of blocks on one core (float32)."""
STEP_SECONDS = 1e-6
"""Seconds that a step on the smallest vector takes, forward and back."""
_EXACT = 1e-12

String = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Step:
    """A block on a column, or a new qubit's vector that it is multiplied by."""

    digits: int
    """Digits of the column, at least :data:`LEAST_DIGITS`; of a new qubit its place."""
    block: int = -1
    """Index of the block."""
    at: tuple[int, ...] = ()
    """Digits on which it acts, the first the most significant in its matrix."""
    qubit: int = -1
    """The new qubit."""


@dataclass
class Column:
    """What is done to one column."""

    qubits: list[int] = field(default_factory=list)
    """The qubit of each digit at the end."""
    start: int = 0
    """Index of the string that an observable is."""
    start_digits: int = LEAST_DIGITS
    steps: list[Step] = field(default_factory=list)

    @property
    def digits(self) -> int:
        """Digits at the end."""
        return max(len(self.qubits), LEAST_DIGITS)

    def seconds(self) -> float:
        """Return the estimated time of a forward and a backward pass in float32 on one core."""
        total = 4 * 2 * 4**self.digits / COLUMN_FLOPS * 8  # reading the result, and its gradient
        for step in self.steps:
            rows = 4 ** len(step.at)
            total += STEP_SECONDS + 4 * 2 * 4**step.digits * rows / COLUMN_FLOPS
        return total

    def numbers(self, *, kept: bool) -> int:
        """Return how many numbers its work takes: if kept, those of all steps for a backward pass."""
        if not kept:
            return 4**self.digits
        return 2 * 4**self.digits + sum(4**step.digits for step in self.steps if step.block >= 0)

    def indices(self, weights: dict[int, int]) -> np.ndarray:
        """Return, for each number of the column, where it is if each qubit's digit counts so much."""
        found = np.zeros(1, np.int32)
        for qubit in reversed(self.qubits):
            found = np.add.outer(found, np.arange(4, dtype=np.int32) * weights[qubit]).ravel()
        return found.astype(np.int32)


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
        for k in late:
            qubits = blocks[k].qubits
            if exact[k] and not any(q in place for q in qubits):
                continue
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

    for k in reversed(past):
        qubits = blocks[k].qubits
        if len(qubits) == 1 and qubits[0] not in place:
            waiting.setdefault(qubits[0], []).append(k)  # while the column is small without it
        else:
            take_in(qubits)
            apply(k)
    take_in(sorted(needed))
    return column
