"""Records of a column: which functions of machine code run in order, and on what.

An address in a record is a distance from a place that changes from run to run, its base; some move on
from one sample to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from ..jit.column_forms import FIELDS, Pattern

__all__ = [
    "Base",
    "Field",
    "Held",
    "Matrix",
    "Place",
    "Records",
    "Tables",
    "Want",
    "one_behind_the_other",
    "placed",
]


class Base(IntEnum):
    """What an address counts from."""

    NOWHERE = 0
    """0: the number itself."""
    VECTOR = 1
    """The column."""
    GRAD = 2
    """Its gradient."""
    PARTS = 3
    """The parts that are worked on."""
    KEPT = 4
    """What is kept for the way back."""
    INNER = 5
    """The records for each part."""
    TABLES = 6
    """Tables of products."""
    START = 7
    """Initial or product states."""
    START_GRAD = 8
    """Their gradient."""
    RESULT = 9
    """Results or their gradient."""
    ONE = 10
    """The number 1."""
    STACKS = 11
    """The first stack of matrices; the sums of each stack and the next stack follow."""


Field = tuple[int, int, int]
"""What an address counts from, the distance, and the distance to the next sample."""
Place = tuple[int, int] | Field
"""The same, or without a distance to the next sample."""
Held = Callable[[np.ndarray, type], int]
"""Gives the address of numbers that live as long as the runner."""


@dataclass(frozen=True)
class Matrix:
    """Where a block's matrix is."""

    stack: int
    """Which of the stacks: ``(matrices, rows, rows)`` or, if own, ``(matrices, batch, rows, rows)``."""
    row: int
    size: int
    """Rows of the matrix: 4 or 16."""
    pattern: Pattern
    """Entries that are not zero whatever the angles are."""
    wanted: Pattern
    """Entries that depend on angles."""
    own: bool = False
    """True if each sample has its own."""


@dataclass(frozen=True)
class Want:
    """What a backward pass is asked for."""

    stacks: tuple[bool, ...]
    start: bool


@dataclass
class Records:
    """Records that are being written."""

    bases: list[list[int]] = field(default_factory=list)
    numbers: list[list[int]] = field(default_factory=list)
    strides: list[list[int]] = field(default_factory=list)

    def add(self, function: int, *fields: Place | int) -> None:
        """Append a record.

        Args:
            function: Its address.
            fields: Up to seven numbers, or places.
        """
        full: list[Field] = [(Base.NOWHERE, function, 0)]
        for each in fields:
            given = (Base.NOWHERE, each) if isinstance(each, int) else each
            full.append((given[0], given[1], given[2] if len(given) == 3 else 0))
        full += [(Base.NOWHERE, 0, 0)] * (FIELDS - len(full))
        for into, part in zip(
            (self.bases, self.numbers, self.strides), zip(*full, strict=True), strict=True
        ):
            into.append(list(part))

    def table(self) -> np.ndarray:
        """Return bases, numbers and strides, ``(3, records, 8)``."""
        listed = np.array([self.bases, self.numbers, self.strides], np.int64)
        return listed.reshape(3, -1, FIELDS)


@dataclass
class Tables:
    """Records of a column, and those that are run for each part of a group, ``(3, records, 8)``."""

    outer: np.ndarray
    inner: np.ndarray


def one_behind_the_other(tables: Sequence[Tables]) -> Tables:
    """Return the tables of columns 0, 1, ... as that of one, which runs them in turn."""
    outer, inner, begin = [], [], 0
    for number, table in enumerate(tables):
        bases, fields, strides = table.outer
        # Each column counts from its own inner records, which follow those of the columns before.
        own = begin - number * table.inner[0].nbytes
        outer.append((bases, fields + number * strides + own * (bases == Base.INNER)))
        inner.append((table.inner[0], table.inner[1] + number * table.inner[2]))
        begin += table.inner[0].nbytes
    return Tables(*(_stacked(each) for each in (outer, inner)))


def _stacked(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    bases, fields = (np.concatenate(each) for each in zip(*parts, strict=True))
    return np.stack([bases, fields, np.zeros_like(fields)])


def placed(table: np.ndarray, addresses: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the records of columns or samples with their addresses, ``(numbers, records, 8)``.

    Args:
        table: From :class:`Tables`.
        addresses: Of each base, and of stacks and sums in turn.
        numbers: ``(numbers, 1, 1)``: which columns or samples.
    """
    bases, fields, strides = table
    return addresses[bases] + fields + numbers * strides
