"""Records that are run for each part of a group of blocks, into what is being written of a column."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..jit.column_forms import FIELDS, Form
from ..jit.column_parts import part_of, tiles_of
from .column_records import Base, Field, Held, Matrix, Place, Records, Tables
from .column_steps import Group, Step

__all__ = ["ColumnPlan", "Functions", "PartWriter", "Script"]


class Functions(Protocol):
    """The functions of machine code for one precision."""

    itemsize: int

    def address(self, name: str, *arguments: Any) -> int:
        """Return the address of a function."""


@dataclass(frozen=True)
class ColumnPlan:
    """What the columns of a program share."""

    matrices: dict[int, Matrix]
    """By block."""
    widths: dict[int, int]
    """Sums of each matrix of a stack."""
    width: int
    """Numbers of a column's result."""
    zeros: dict[int, np.ndarray] | None
    """For a state, the vector ``(4,)`` of each new qubit; None for observables."""
    kept_numbers: int
    """Numbers that the way there of a column keeps for the way back."""
    held: Held


@dataclass
class Script:
    """Records of a column as they are written."""

    plan: ColumnPlan
    functions: Functions
    batch: int
    apart: int
    """Bytes from what one column or sample keeps to what the next does."""
    outer: Records = field(default_factory=Records)
    inner: Records = field(default_factory=Records)
    """Those that are run for each part."""

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return self.functions.itemsize

    def add(self, name: str, *fields: Place | int, kind: tuple[Any, ...] = ()) -> None:
        """Append a record of the function of a name, and of a kind where there are several."""
        self.outer.add(self.functions.address(name, *kind), *fields)

    def clear(self) -> None:
        """Forget what was written."""
        self.outer, self.inner = Records(), Records()

    def matrix(self, block: int) -> tuple[Matrix, Field, Field]:
        """Return a block's matrix, where its entries are, and where the sums of their gradients are."""
        matrix = self.plan.matrices[block]
        places = []
        for numbers in (matrix.size**2, self.plan.widths[matrix.stack]):
            each = numbers * self.itemsize
            samples = self.batch if matrix.own else 1
            places.append((matrix.row * each * samples, each if matrix.own else 0))
        base = Base.STACKS + 2 * matrix.stack
        return matrix, (base, *places[0]), (base + 1, *places[1])

    def tables(self) -> Tables:
        """Return what was written."""
        inner, outer = self.inner.table(), self.outer.table()
        outer[2][outer[0] == Base.INNER] = inner[0].nbytes
        return Tables(outer, inner)


class PartWriter:
    """Writer of the records that are run for each part of a group.

    Args:
        script: What it writes into.
        group: The blocks.
    """

    def __init__(self, script: Script, group: Group) -> None:
        self._script, self._group = script, group
        self._part = part_of(group.digits, group.rows)
        self._bytes = group.numbers * script.itemsize
        self._shifts: list[np.ndarray] = []
        self._first = len(script.inner.bases)

    def at(self, number: int) -> Field:
        """Return the place of one of the parts that are worked on."""
        return (Base.PARTS, number * self._bytes, 0)

    def kept(self, slot: int) -> Field:
        """Return the place of the parts that are kept, the first of them."""
        return (Base.KEPT, slot, self._script.apart)

    def fetch(self, vector: Field, to: Field) -> None:
        """Bring a part of a vector."""
        places = self._script.plan.held(self._part.places, np.int32)
        function = self._script.functions.address("fetch", self._part.mode)
        self._record(function, vector, to, self._part.count, places, by_base=1)

    def put(self, part: Field, vector: Field) -> None:
        """Put a part of a vector back."""
        places = self._script.plan.held(self._part.places, np.int32)
        function = self._script.functions.address("put", self._part.mode)
        self._record(function, part, vector, self._part.count, places, by_base=2)

    def apply(self, step: Step, source: Field, target: Field, form: Form) -> None:
        """Apply a block to a part."""
        matrix, entry, _ = self._script.matrix(step.block)
        function = self._script.functions.address("apply", form, matrix.pattern)
        self._record(function, source, target, *self._tiles(step), entry)

    def pull(self, step: Step, before: Field, grad: Field, form: Form) -> None:
        """Take a gradient back through a block."""
        matrix, entry, sums = self._script.matrix(step.block)
        function = self._script.functions.address("pull", form, matrix.pattern, matrix.wanted)
        self._record(function, before, grad, *self._tiles(step), entry, sums)

    def finish(self) -> None:
        """Run what was written for each part."""
        held = self._script.plan.held
        count = len(self._script.inner.bases) - self._first
        shifts = held(np.stack(self._shifts), np.int64)
        bases = held(self._part.bases, np.int32)
        first = (Base.INNER, self._first * FIELDS * 8)
        self._script.add("parts_of", first, count, len(self._part.bases), bases, shifts)

    def _tiles(self, step: Step) -> tuple[int, int, int]:
        held, rows = self._script.plan.held, self._group.rows
        block = tuple(rows.index(digit) for digit in step.at)
        bases, strides = tiles_of(len(rows), block, self._script.itemsize)
        return len(bases), held(bases, np.int32), held(strides, np.int64)

    def _record(self, function: int, *fields: Place | int, by_base: int = 0) -> None:
        shifts = np.zeros((FIELDS, 2), np.int64)
        if by_base:
            shifts[by_base, 0] = self._script.itemsize
        for place, each in enumerate(fields, 1):
            if place != by_base and isinstance(each, tuple) and each[0] == Base.KEPT:
                shifts[place, 1] = self._bytes
        self._shifts.append(shifts)
        self._script.inner.add(function, *fields)
