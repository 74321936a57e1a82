"""Columns: states or observables as real vectors over Pauli strings, one after the other.

A column starts small and takes in a qubit when the first block reaches it. Observables go backwards,
through the transposed matrices; a block outside of an observable's light cone leaves it as it is, since
channels keep the trace, and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..jit.columns import LEAST_DIGITS, with_neighbours
from .blocks import Block
from .column_order import smallest_first

__all__ = [
    "COLUMN_FLOPS",
    "MOST_BLOCKS",
    "ROW_DIGITS",
    "STEP_SECONDS",
    "Column",
    "Group",
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
ROW_DIGITS = 4
"""Digits of the rows of a part that goes through a group of blocks: 16 KB in float32."""
MOST_BLOCKS = 12
"""Blocks of a group, whose vectors are all held for a part on the way back."""
_SMALL_DIGITS = 6
"""Digits up to which a group may grow: such columns cost little but their records."""
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


@dataclass(frozen=True)
class Group:
    """Blocks through which a part of a column goes at a time."""

    digits: int
    """Digits of the column."""
    rows: tuple[int, ...]
    """Those on which the blocks act, ascending, and what :func:`with_neighbours` adds."""
    steps: tuple[Step, ...]

    @property
    def numbers(self) -> int:
        """Numbers of a part."""
        return int(4 ** (len(self.rows) + 2))


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

    @cached_property
    def groups(self) -> list[Group | Step]:
        """Blocks in groups, in another order where they act on other qubits, and new qubits between."""
        found: list[Group | Step] = []
        waiting: list[Step] = []
        for step in self.steps:
            if step.block >= 0:
                waiting.append(step)
                continue
            found += _grouped(waiting)
            found.append(step)
            waiting = []
        return found + _grouped(waiting)

    @property
    def kept_numbers(self) -> int:
        """Numbers that the way there keeps for the way back: the column before each group."""
        return sum(4**each.digits for each in self.groups if isinstance(each, Group))

    @property
    def part_numbers(self) -> int:
        """Numbers of the parts that are held at a time on the way back."""
        each = (
            group.numbers * (len(group.steps) + 1)
            for group in self.groups
            if isinstance(group, Group)
        )
        return max(each, default=0)

    def numbers(self, *, kept: bool) -> int:
        """Return how many numbers its work takes: if kept, what a backward pass needs."""
        if not kept:
            return 4**self.digits + self.part_numbers
        return 2 * 4**self.digits + self.kept_numbers + self.part_numbers

    def indices(self, weights: dict[int, int]) -> np.ndarray:
        """Return, for each number of the column, where it is if each qubit's digit counts so much."""
        found = np.zeros(1, np.int32)
        for qubit in reversed(self.qubits):
            found = np.add.outer(found, np.arange(4, dtype=np.int32) * weights[qubit]).ravel()
        return found.astype(np.int32)


def _grouped(steps: Sequence[Step]) -> list[Group]:
    """Return blocks in groups, each as early as the blocks before it on its qubits allow."""
    waiting, found = list(steps), []
    digits = 0
    while waiting:
        digits = max(digits, waiting[0].digits)  # a group before may have taken in more
        rows = with_neighbours(frozenset(waiting[0].at))
        taken, left, blocked = [waiting[0]], [], set[int]()
        for step in waiting[1:]:
            wider = with_neighbours(rows | frozenset(step.at))
            larger = max(digits, step.digits)
            fits = len(wider) <= min(ROW_DIGITS, larger - 2) and len(taken) < MOST_BLOCKS
            near = step.digits <= max(digits, _SMALL_DIGITS)
            if fits and near and not blocked.intersection(step.at):
                digits, rows = larger, wider
                taken.append(step)
            else:
                left.append(step)
                blocked.update(step.at)
        found.append(Group(digits, tuple(sorted(rows)), tuple(taken)))
        waiting = left
    return found


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
