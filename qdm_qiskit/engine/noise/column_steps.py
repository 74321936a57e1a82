"""Steps of a column, and groups of them through which it goes part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..jit.column_parts import LEAST_DIGITS, with_neighbours

__all__ = [
    "COLUMN_FLOPS",
    "MOST_BLOCKS",
    "ROW_DIGITS",
    "STEP_SECONDS",
    "Column",
    "Group",
    "Step",
]

COLUMN_FLOPS = 110e9
"""Real multiplications and additions in a second of one core's time (float32), as if no entry of a
block were zero: the median of steps on 8 and 9 qubits, by ``benchmarks/noise.py --cost``."""
STEP_SECONDS = 1e-6
"""Seconds that a step on the smallest vector takes, forward and back."""
ROW_DIGITS = 4
"""Digits of the rows of a part that goes through a group of blocks: 16 KB in float32."""
MOST_BLOCKS = 12
"""Blocks of a group, whose vectors are all held for a part on the way back."""
_SMALL_DIGITS = 6
"""Digits up to which a group may grow: such columns cost little but their records."""


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

    @cached_property
    def kept_numbers(self) -> int:
        """Numbers that the way there keeps for the way back: the column before each group."""
        return sum(4**each.digits for each in self.groups if isinstance(each, Group))

    @cached_property
    def part_numbers(self) -> int:
        """Numbers of the parts that are held at a time on the way back."""
        each = (
            group.numbers * (len(group.steps) + 1)
            for group in self.groups
            if isinstance(group, Group)
        )
        return max(each, default=0)

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
