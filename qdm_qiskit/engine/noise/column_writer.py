"""Records of one column: the way there and, if gradients are wanted, the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..jit.column_forms import Form
from ..jit.column_parts import RUN_DIGITS, apart, length, spread
from .column_part_writer import ColumnPlan, Functions, PartWriter, Script
from .column_reading import ReadTables
from .column_records import Base, Field, Tables, Want
from .column_steps import Column, Group, Step

__all__ = ["write_column"]


def write_column(
    plan: ColumnPlan,
    functions: Functions,
    column: Column,
    number: int,
    index: np.ndarray,
    read: np.ndarray | None,
    batch: int,
    want: Want | None,
    *,
    start: bool,
    keep: bool,
) -> Tables:
    """Return the records of a column forward or, if anything is wanted, back.

    If vectors are not kept, the way back begins with the way there.

    Args:
        plan: What all columns share.
        functions: Those of one precision.
        column: What is done.
        number: Which of the columns it is.
        index: Where each of its numbers goes in its result or, of a state, which of its numbers are
            read.
        read: The row of each digit's qubit among the vectors of product states, in which it is read;
            None if the column itself is the result.
        batch: Samples; of a state, or in which observables are read.
        want: What is wanted of a backward pass, or None.
        start: True if there are initial states, or product states to read in.
        keep: True if what the way there keeps stays until the way back.
    """
    tables = None if read is None else ReadTables(read, batch, functions.itemsize)
    bytes_apart = plan.kept_numbers * functions.itemsize if keep else 0
    script = Script(plan, functions, batch, bytes_apart)
    writer = _Writer(script, column, number, index, tables, start=start, keep=keep)
    undo = writer.forward(kept=keep or want is not None, read=want is None)
    if want is not None:
        if keep:
            script.clear()
        writer.seed(want)
        writer.back(undo, want)
    return script.tables()


@dataclass(frozen=True)
class _New:
    """A new qubit's vector, by which a column was multiplied."""

    numbers: int
    vector: int
    """Its address."""


@dataclass(frozen=True)
class _Blocks:
    """A group of blocks that a column went through, and where it was kept before."""

    group: Group
    slot: int


class _Writer:
    """Writer of one column's records into a script, see :func:`write_column`."""

    def __init__(
        self,
        script: Script,
        column: Column,
        number: int,
        index: np.ndarray,
        read: ReadTables | None,
        *,
        start: bool,
        keep: bool,
    ) -> None:
        self._script, self._column, self._index, self._read = script, column, index, read
        self._held, self._start = script.plan.held, start
        self._states, self._size = script.plan.zeros is not None, script.itemsize
        own = (script.plan.width if read is None else script.batch) * self._size
        self._result: Field = (Base.RESULT, number * own, 0)
        self._forms: tuple[Form, Form] = ("transposed", "forward")
        """Forms of a block's matrix there and back."""
        if self._states:
            self._result = (Base.RESULT, 0, own)
            self._forms = ("forward", "transposed")
        # A column that is read is read again on the way back.
        behind = column.kept_numbers * self._size
        stays = keep and read is not None
        self._vector: Field = (Base.VECTOR, 0, 0)
        if stays:
            self._vector = (Base.KEPT, behind, script.apart)
        self._stays = stays

    def forward(self, *, kept: bool, read: bool) -> list[_New | _Blocks]:
        """Write the way there; return what the way back needs, in the same order."""
        column, size, script = self._column, self._size, self._script
        self._begin()
        undo: list[_New | _Blocks] = []
        slot, filled = 0, column.start_digits
        for each in column.groups:
            if isinstance(each, Step):
                new = self._zero(each.qubit)
                size_before = apart(each.digits)
                script.add("grow", self._vector, 0, size_before, size_before, 0, new)
                undo.append(_New(apart(each.digits), new))
                continue
            if each.digits > filled and not self._states:
                base, place, stride = self._vector
                rest = length(each.digits) - length(filled)
                script.add("clear", 0, (base, place + length(filled) * size, stride), rest)
            filled = max(filled, each.digits)
            part = PartWriter(script, each)
            first = part.kept(slot) if kept else part.at(0)
            part.fetch(self._vector, first)
            for step in each.steps:
                part.apply(step, first, part.at(0), self._forms[0])
                first = part.at(0)
            part.put(first, self._vector)
            part.finish()
            undo.append(_Blocks(each, slot))
            slot += 4**each.digits * size
        if self._read is not None:
            self._products()
            if read:
                kind = (self._read.middle_rows,)
                tables = self._read.tables(self._held)
                script.add("read", self._vector, self._result, *tables, kind=kind)
        elif read:
            self._results("gather" if self._states else "scatter", self._vector)
        return undo

    def seed(self, want: Want) -> None:
        """Write the gradient at the end, and that of product states."""
        script, grad = self._script, (Base.GRAD, 0, 0)
        if self._read is None or self._read.digits < self._column.digits:
            script.add("clear", 0, grad, length(self._column.digits))
        if self._read is None:
            self._results("scatter" if self._states else "gather", grad, back=True)
            return
        if self._stays:
            self._products()
        tables, rows = self._read.tables(self._held), self._read.middle_rows
        script.add("seed", self._result, grad, *tables, kind=(rows,))
        if want.start:
            script.add("clear", 0, *self._read.gradients())
            kind = (rows, self._read.low_rows)
            script.add("unread", self._result, self._vector, *tables, kind=kind)
            start, to = (Base.START, 0), (Base.START_GRAD, 0)
            for level, table_grad, qubits in self._read.levels(self._held):
                script.add("unproducts", level, table_grad, start, to, *qubits)

    def back(self, undo: list[_New | _Blocks], want: Want) -> None:
        """Write the way back, as far as anything is wanted."""
        wanted = [
            k
            for k, each in enumerate(undo)
            if isinstance(each, _Blocks) and any(self._wants(s, want) for s in each.group.steps)
        ]
        grad = (Base.GRAD, 0, 0)
        to_start = want.start and self._states
        first = 0 if to_start else min(wanted, default=len(undo))
        for each in reversed(undo[first:]):
            if isinstance(each, _New):
                numbers = each.numbers
                self._script.add("shrink", grad, 0, numbers, numbers, 0, each.vector)
            else:
                self._back_through(each, want)
        if to_start:
            to = (Base.START_GRAD, 0, self._covered * self._size)
            self._script.add("gather", grad, to, self._covered, self._all())

    def _back_through(self, each: _Blocks, want: Want) -> None:
        """Write the way back through a group of blocks, the vectors between them made again."""
        steps, grad = each.group.steps, (Base.GRAD, 0, 0)
        part = PartWriter(self._script, each.group)
        before = [part.kept(each.slot), *(part.at(j) for j in range(1, len(steps)))]
        needed = [j for j, step in enumerate(steps) if self._wants(step, want)]
        for j in range(max(needed, default=0)):
            part.apply(steps[j], before[j], before[j + 1], self._forms[0])
        part.fetch(grad, part.at(0))
        for j in reversed(range(len(steps))):
            if j in needed:
                part.pull(steps[j], before[j], part.at(0), self._forms[0])
            else:
                part.apply(steps[j], part.at(0), part.at(0), self._forms[1])
        part.put(part.at(0), grad)
        part.finish()

    def _wants(self, step: Step, want: Want) -> bool:
        matrix = self._script.plan.matrices[step.block]
        return want.stacks[matrix.stack] and any(matrix.wanted)

    def _begin(self) -> None:
        """Write the vector at the start."""
        script = self._script
        script.add("clear", 0, self._vector, length(self._column.start_digits))
        if self._start and self._states:
            given = (Base.START, 0, self._covered * self._size)
            script.add("scatter", given, self._vector, self._covered, self._all())
        else:
            place = self._held(spread(np.array([self._column.start])), np.int32)
            script.add("scatter", (Base.ONE, 0), self._vector, 1, place)

    def _products(self) -> None:
        """Write the tables of products of the states in which the column is read."""
        assert self._read is not None
        for level, _, qubits in self._read.levels(self._held):
            self._script.add("products", level, (Base.START, 0), *qubits)

    def _results(self, name: str, vector: Field, *, back: bool = False) -> None:
        """Write results from a vector or, if back, a gradient from those of the results."""
        script, index = self._script, self._index
        if self._states:
            places = self._held(spread(index), np.int32)
            ends = (self._result, vector) if back else (vector, self._result)
            script.add(name, *ends, len(index), places)
            return
        run = 4**RUN_DIGITS  # each number has a place in the result, and the vector gaps
        for k in range(0, len(index), run):
            places = self._held(index[k : k + run], np.int32)
            at = (vector[0], vector[1] + int(spread(np.array([k]))[0]) * self._size, vector[2])
            ends = (self._result, at) if back else (at, self._result)
            script.add(name, *ends, len(index[k : k + run]), places)

    def _zero(self, qubit: int) -> int:
        """Return the address of a new qubit's vector."""
        assert self._script.plan.zeros is not None  # observables take in none
        real = np.float64 if self._size == 8 else np.float32
        return self._held(self._script.plan.zeros[qubit].ravel(), real)

    @property
    def _covered(self) -> int:
        """Numbers of an initial state."""
        grown = [step.digits for step in self._column.steps if step.block < 0]
        return int(4 ** min(grown, default=len(self._column.qubits)))

    def _all(self) -> int:
        return self._held(spread(np.arange(self._covered)), np.int32)
