"""Memory that columns take, in numbers, before it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..jit.column_forms import FIELDS, LEAST_READ
from ..jit.column_parts import length
from .column_reading import table_numbers
from .column_steps import Column, Group

__all__ = ["KEPT_BYTES", "RECORDS_AT_ONCE", "ColumnNeeds", "needs_of", "record_bytes"]

KEPT_BYTES = 2**24
"""Bytes of vectors of all columns that are kept from the way there to the way back."""
RECORDS_AT_ONCE = 32
"""Samples whose records are written at once."""


@dataclass(frozen=True)
class ColumnNeeds:
    """Numbers that the columns of a program take; of each part the column that takes most."""

    vector: int
    """A vector, its gaps too."""
    parts: int
    """The parts that a group of blocks works on at a time."""
    between: int
    """A column before each group of blocks."""
    kept: int
    """What the way there keeps for the way back: the same, and the column if it is read once more."""
    digits: int | None
    """Digits that are read in product states, if columns are; those of short ones are filled up."""

    def working(self, batch: int, *, backward: bool, keep: bool) -> list[int]:
        """Return the numbers that a thread works in: vector, gradient, parts, what is kept, tables.

        Args:
            batch: Samples in which columns are read.
            backward: True on the way back.
            keep: True if what the way there keeps has a place of its own.
        """
        return [
            self.vector,
            self.vector if backward else 0,
            self.parts,
            self.between if backward and not keep else 0,
            0 if self.digits is None else table_numbers(self.digits, batch),
        ]

    def keeps(self, count: int, itemsize: int) -> bool:
        """Return whether what the way there keeps stays until the way back.

        Args:
            count: Columns, or samples of a state.
            itemsize: Bytes of a number.
        """
        return count * self.kept * itemsize <= KEPT_BYTES


def needs_of(columns: Sequence[Column], *, read: bool) -> ColumnNeeds:
    """Return what columns take.

    Args:
        columns: All of a program.
        read: True if they are read in product states.
    """
    vector = max((length(column.digits) for column in columns), default=0)
    kept = max((column.kept_numbers for column in columns), default=0)
    return ColumnNeeds(
        vector,
        max((column.part_numbers for column in columns), default=0),
        kept,
        kept + (vector if read else 0),
        max(LEAST_READ, *(len(column.qubits) for column in columns)) if read else None,
    )


def record_bytes(columns: Sequence[Column], *, states: bool) -> int:
    """Return the bytes of the records there and back and, while they run, of those with addresses.

    Args:
        columns: All of a program.
        states: True if they are those of samples, of which :data:`RECORDS_AT_ONCE` are written at once.
    """
    counts = []
    for column in columns:
        groups = [each for each in column.groups if isinstance(each, Group)]
        # A group fetches, puts back and runs its parts; a block is applied twice, and pulled back.
        counts.append(12 + 8 * len(groups) + 4 * len(column.steps))
    kept = 3 * FIELDS * 8 * sum(counts)
    running = 3 * FIELDS * 8 * max(counts, default=0) * (RECORDS_AT_ONCE if states else 1)
    return kept + running
