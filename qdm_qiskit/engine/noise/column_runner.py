"""Columns run in machine code, with the gradients of the blocks' matrices on the way back.

The way back reads the vectors before each group of blocks, from the last to the first; those between
its blocks are made again, part by part. Where those of all columns are a few megabytes, they are kept
from the way there. Where they are more, none is: each column is run again just before, so that the work
of one is all the memory that is needed, and stays near the core.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..evolution.autograd_ops import in_full_precision, packed
from ..jit.columns import ColumnKernels, column_kernels, part_of, tiles_of
from ..jit.emit_columns import FIELDS, LANES, Form, Pattern, entries
from ..jit.emit_products import LOW_DIGITS
from ..jit.tile_work import share
from .columns import Column, Group, Step

__all__ = [
    "HELD_BYTES",
    "KEPT_BYTES",
    "KEPT_TABLES",
    "Again",
    "ColumnRunner",
    "Matrix",
    "table_numbers",
]

_ALIGNED = 64
"""Bytes of the widest vectors, at multiples of which vectors begin."""
KEPT_BYTES = 2**24
"""Bytes of vectors of all columns that are kept from the way there to the way back."""
HELD_BYTES = 2**27
"""Bytes that a thread holds, at most, to work in the next time."""
KEPT_TABLES = 32
"""Batch sizes, and wishes of a backward pass, whose records are kept."""
_AT_ONCE = 32
"""Samples whose records are written at once."""
(
    _NOWHERE,
    _VECTOR,
    _GRAD,
    _PARTS,
    _KEPT,
    _INNER,
    _TABLES,
    _START,
    _START_GRAD,
    _RESULT,
    _ONE,
    _STACKS,
) = range(12)
"""Where addresses count from: 0, a column's vector, its gradient, the parts that are worked on, what is
kept for the way back, the records for each part, tables of products, initial or product states, their
gradient, results or their gradient, the number 1, and the first stack of matrices. The sums of each
follow it."""

_Field = tuple[int, int, int]
"""What an address counts from, the distance, and the distance to the next sample."""
Again = Callable[[Tensor | None, Sequence[Tensor]], Tensor]
"""The same results from initial states and stacks, in calls that autograd knows."""


class _Memory(threading.local):
    """Memory of a thread to work in, up to :data:`HELD_BYTES` of which it holds for the next time.

    The system hands out memory page by page, and writes zeros to it first: up to a fifth of a step.
    """

    def __init__(self) -> None:
        self._held = np.empty(0, np.uint8)

    def bytes(self, size: int) -> np.ndarray:
        """Return bytes that nobody else has before the next call."""
        if size > HELD_BYTES:
            return np.empty(size, np.uint8)
        if size > len(self._held):
            self._held = np.empty(0, np.uint8)  # not both at a time
            self._held = np.empty(size, np.uint8)  # numpy asks for large pages, torch does not
        return self._held


_memory = _Memory()


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


@dataclass
class _Records:
    """Records of a column; addresses are distances from places that change from run to run."""

    bases: list[list[int]] = field(default_factory=list)
    numbers: list[list[int]] = field(default_factory=list)
    strides: list[list[int]] = field(default_factory=list)

    def add(self, function: int, *fields: tuple[int, int] | tuple[int, int, int] | int) -> None:
        """Append a record.

        Fields are numbers, or (base, distance), or those and the distance to the next sample.
        """
        full = [(_NOWHERE, function, 0)]
        for each in fields:
            given = (_NOWHERE, each) if isinstance(each, int) else each
            full.append((given[0], given[1], given[2] if len(given) == 3 else 0))
        full += [(_NOWHERE, 0, 0)] * (FIELDS - len(full))
        for into, part in zip(
            (self.bases, self.numbers, self.strides), zip(*full, strict=True), strict=True
        ):
            into.append(list(part))

    def table(self) -> np.ndarray:
        """Return bases, numbers and strides, ``(3, records, 8)``."""
        listed = np.array([self.bases, self.numbers, self.strides], np.int64)
        return listed.reshape(3, -1, FIELDS)


@dataclass
class _Tables:
    """Records of a column, and those that are run for each part of a group."""

    outer: np.ndarray
    inner: np.ndarray


@dataclass(frozen=True)
class _Want:
    """What a backward pass is asked for."""

    stacks: tuple[bool, ...]
    start: bool


class ColumnRunner:
    """Columns of a program, for any batch and both precisions.

    Args:
        columns: Those of observables, or the one of a state that all samples share.
        matrices: By block.
        results: Of each column: where each of its numbers goes in its result or, of a state, which of
            its numbers are read.
        width: Numbers of a column's result.
        zeros: For a state, the vector ``(4,)`` of each new qubit; None for observables.
        read: Of each observable the row of each digit's qubit among the vectors of product states, in
            which it is read, two at least; None if the column itself is the result.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        matrices: dict[int, Matrix],
        results: Sequence[np.ndarray],
        width: int,
        zeros: dict[int, np.ndarray] | None = None,
        read: Sequence[np.ndarray] | None = None,
    ) -> None:
        self.columns, self.matrices, self.results = list(columns), matrices, list(results)
        self.width, self.states = width, zeros is not None
        self._zeros, self.read = zeros or {}, read
        self._tables: dict[tuple[object, ...], list[_Tables]] = {}
        self._held: dict[tuple[bytes, np.dtype[Any]], np.ndarray] = {}
        self._places: dict[int, Tensor] = {}
        self._largest = max((4**column.digits for column in columns), default=0)
        self.kept_numbers = max((column.kept_numbers for column in columns), default=0)
        """Numbers that the way there of a column keeps for the way back."""
        if read is not None:
            self.kept_numbers += self._largest
        self._parts = max((column.part_numbers for column in columns), default=0)
        widths: dict[int, int] = {}
        for each in matrices.values():
            width = max(widths.get(each.stack, 0), len(entries(each.wanted)), 1)
            widths[each.stack] = width
        self._widths = {stack: -(-width // LANES) * LANES for stack, width in widths.items()}
        """Sums of each matrix of a stack."""

    def run(
        self, batch: int, start: Tensor | None, stacks: Sequence[Tensor], again: Again
    ) -> Tensor:
        """Return the results, differentiable in start and stacks.

        They are ``(batch, width)`` of a state, ``(columns, batch)`` of observables that are read in
        product states, else ``(columns, width)``.

        Args:
            batch: Samples; of a state, or in which observables are read: a multiple of 16.
            start: ``(batch, 4**k)`` initial states, vectors ``(qubits, 4, batch)`` of product states in
                which observables are read, or None.
            stacks: As :class:`Matrix` names them, on the CPU and of one precision.
            again: The same, for gradients of gradients.
        """
        given = [each for each in (start, *stacks) if each is not None]
        keep = torch.is_grad_enabled() and any(each.requires_grad for each in given)
        count = batch if self.states else len(self.columns)
        size = count * self.kept_numbers * given[0].element_size()
        work = given[0].new_empty(0)
        if keep and size <= KEPT_BYTES:
            work = torch.empty(size + _ALIGNED, dtype=torch.uint8)
        found: Tensor = _Run.apply(self, batch, work, start, again, *stacks)
        return found

    def gradients(
        self, stacks: Sequence[Tensor], wanted: Sequence[bool], start: Tensor | None
    ) -> tuple[list[Tensor | None], Tensor | None, Tensor]:
        """Return numbers for the sums of wanted stacks and of the start, and what columns share."""
        sums: list[Tensor | None] = []
        shapes: list[torch.Size] = []
        for number, (stack, each) in enumerate(zip(stacks, wanted, strict=True)):
            shape = (*stack.shape[:-2], self._widths.get(number, LANES))
            own = stack.dim() > 3
            sums.append(stack.new_zeros(shape) if each and own else None)
            shapes.append(torch.Size(shape if each and not own else (0,)))
        read = start is not None and self.read is not None
        shapes.append(start.shape if start is not None and read else torch.Size((0,)))
        sizes = [shape.numel() for shape in shapes]
        shared = stacks[0].new_zeros(sum(sizes))
        parts = [part.view(shape) for part, shape in zip(shared.split(sizes), shapes, strict=True)]
        for number, (part, size) in enumerate(zip(parts[:-1], sizes[:-1], strict=True)):
            if size:
                sums[number] = part
        start_grad = parts[-1] if read else None if start is None else torch.empty_like(start)
        return sums, start_grad, shared

    def gradient(self, sums: Tensor, stack: Tensor, number: int) -> Tensor:
        """Return the gradient of a stack of matrices from the sums of their wanted entries."""
        if number not in self._places:
            rows = stack.shape[-1]
            # What fills the sums up goes to a number that is left out.
            places = np.full((len(stack), sums.shape[-1]), rows**2)
            for each in self.matrices.values():
                if each.stack == number:
                    listed = [r * rows + c for r, c in entries(each.wanted)]
                    places[each.row, : len(listed)] = listed
            self._places[number] = torch.from_numpy(places)
        index = self._places[number]
        if sums.dim() > index.dim():
            index = index.unsqueeze(1).expand_as(sums)
        full = sums.new_zeros(*stack.shape[:-2], stack.shape[-1] ** 2 + 1)
        full.scatter_(-1, index, sums)
        return full[..., :-1].reshape(stack.shape)

    def execute(
        self,
        batch: int,
        dtype: torch.dtype,
        pointers: Sequence[int],
        want: _Want | None,
        kept: Tensor,
        *,
        start: bool,
        shared: Tensor | None = None,
    ) -> None:
        """Run all columns forward or, if something is wanted, back.

        Args:
            batch: Samples, of a state.
            dtype: Precision.
            pointers: Addresses from that of initial states on.
            want: What is wanted of a backward pass, or None.
            kept: Memory for the vectors of all columns; empty if they are made again on the way back.
            start: True if there are initial states.
            shared: Zeros to which all columns add their gradients.
        """
        kernels, keep = column_kernels(double=dtype == torch.float64), len(kept) > 0
        tables = self._records(kernels, batch, want, keep=keep, start=start)
        backward = want is not None
        made_again = self.kept_numbers if backward and not keep else 0
        tables_of = 0 if self.read is None else table_numbers(self.columns, batch)
        sizes = [
            self._largest,
            self._largest if backward else 0,
            self._parts,
            made_again,
            tables_of,
        ]
        aligned = [-(-size * kernels.itemsize // _ALIGNED) * _ALIGNED for size in sizes]
        at_once = _AT_ONCE if self.states else 1

        def run(first: int, end: int) -> None:
            work = _memory.bytes(sum(aligned) + _ALIGNED)
            place = -(-work.ctypes.data // _ALIGNED) * _ALIGNED
            vector, grad, parts, again, products = (
                place + sum(aligned[:number]) for number in range(len(aligned))
            )
            if keep:
                again = -(-kept.data_ptr() // _ALIGNED) * _ALIGNED
            addresses = np.array([0, vector, grad, parts, again, 0, products, *pointers], np.int64)
            own = None
            if shared is not None and end - first < count:
                own = torch.zeros_like(shared)  # threads must not add to the same numbers
                distance = addresses - shared.data_ptr()
                inside = (distance >= 0) & (distance < shared.numel() * shared.element_size())
                addresses[inside] += own.data_ptr() - shared.data_ptr()
            for begin in range(first, end, at_once):
                table = tables[0 if self.states else begin]
                numbers = np.arange(begin, min(begin + at_once, end))[:, None, None]
                inner = _placed(table.inner, addresses, numbers)
                addresses[_INNER] = inner.ctypes.data - begin * inner[0].nbytes
                outer = _placed(table.outer, addresses, numbers)
                kernels.run(outer.ctypes.data, 0, outer.shape[0] * outer.shape[1])
            if own is not None and shared is not None:
                with lock:
                    shared.add_(own)

        count, lock = batch if self.states else len(self.columns), threading.Lock()
        share(run, count, self._largest, 1, max(len(each.steps) for each in self.columns) or 1)

    # ------------------------------------------------------------------ records

    def _records(
        self, kernels: ColumnKernels, batch: int, want: _Want | None, *, keep: bool, start: bool
    ) -> list[_Tables]:
        key = (kernels.itemsize, batch, want, keep, start)
        found = self._tables.get(key)
        if found is None:
            found = [
                _Writer(self, kernels, number, batch, start=start, keep=keep).write(want, keep=keep)
                for number in range(len(self.columns))
            ]
            if len(self._tables) >= KEPT_TABLES:
                self._tables.clear()
            self._tables[key] = found
        return found

    def width_of(self, stack: int) -> int:
        """Return the sums of each matrix of a stack."""
        return self._widths[stack]

    def held(self, array: np.ndarray, dtype: type) -> int:
        """Return the address of numbers that live as long as the runner."""
        kept: np.ndarray = np.ascontiguousarray(array, dtype)
        return self._held.setdefault((kept.tobytes(), kept.dtype), kept).ctypes.data

    def zero(self, qubit: int, dtype: type) -> int:
        """Return the address of a new qubit's vector."""
        return self.held(self._zeros[qubit].ravel(), dtype)


def _placed(table: np.ndarray, addresses: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the records of columns or samples with their addresses, ``(numbers, records, 8)``."""
    bases, fields, strides = table
    return addresses[bases] + fields + numbers * strides


class _Writer:
    """Writer of the records of one column."""

    def __init__(
        self,
        runner: ColumnRunner,
        kernels: ColumnKernels,
        number: int,
        batch: int,
        *,
        start: bool,
        keep: bool,
    ) -> None:
        self._runner, self._kernels, self._batch, self._start = runner, kernels, batch, start
        self._column = runner.columns[number]
        self._index = runner.results[number]
        self._size = kernels.itemsize
        self._outer, self._inner = _Records(), _Records()
        own = (runner.width if runner.read is None else batch) * self._size
        self._result = (_RESULT, 0, own) if runner.states else (_RESULT, number * own)
        self._read = None if runner.read is None else _Read(runner.read[number], batch, self._size)
        self._forms: tuple[Form, Form] = ("transposed", "forward")
        """Forms of a block's matrix there and back."""
        if runner.states:
            self._forms = ("forward", "transposed")
        self._apart = runner.kept_numbers * self._size if keep else 0
        """Bytes from what one column or sample keeps to what the next does."""
        # A column that is read is read again on the way back.
        behind = self._column.kept_numbers * self._size
        stays = keep and self._read is not None
        self._vector = (_KEPT, behind, self._apart) if stays else (_VECTOR, 0, 0)

    def write(self, want: _Want | None, *, keep: bool) -> _Tables:
        """Return the records forward or, if anything is wanted, back.

        If vectors are not kept, the way back begins with the way there.
        """
        undo = self._forward(kept=keep or want is not None, read=want is None)
        if want is not None:
            if keep:
                self._outer, self._inner = _Records(), _Records()
            self._seed(want)
            self._back(undo, want)
        inner = self._inner.table()
        outer = self._outer.table()
        outer[2][outer[0] == _INNER] = inner[0].nbytes
        return _Tables(outer, inner)

    def _add(self, name: str, *fields: Any, kind: tuple[Any, ...] = ()) -> None:
        self._outer.add(self._kernels.address(name, *kind), *fields)

    def _forward(self, *, kept: bool, read: bool) -> list[tuple[Any, ...]]:
        """Write the way there; return what the way back needs, in the same order."""
        column, size, states = self._column, self._size, self._runner.states
        self._begin()
        undo: list[tuple[Any, ...]] = []
        slot, filled = 0, column.start_digits
        for each in column.groups:
            if isinstance(each, Step):
                real = np.float64 if size == 8 else np.float32
                new = self._runner.zero(each.qubit, real)
                self._add("grow", self._vector, 0, 4**each.digits, 0, 0, new)
                undo.append(("shrink", 4**each.digits, new))
                continue
            if each.digits > filled and not states:
                base, place, apart = self._vector
                rest = 4**each.digits - 4**filled
                self._add("clear", 0, (base, place + 4**filled * size, apart), rest)
            filled = max(filled, each.digits)
            part = _PartWriter(self, each)
            first = part.kept(slot) if kept else part.at(0)
            part.fetch(self._vector, first)
            for step in each.steps:
                part.apply(step, first, part.at(0), self._forms[0])
                first = part.at(0)
            part.put(first, self._vector)
            part.finish()
            undo.append(("group", each, slot))
            slot += 4**each.digits * size
        if self._read is not None:
            self._products()
            if read:
                kind = (self._read.middle_rows,)
                self._add("read", self._vector, self._result, *self._read.tables(self), kind=kind)
        elif read:
            name = "gather" if states else "scatter"
            place = self._runner.held(self._index, np.int32)
            self._add(name, self._vector, self._result, len(self._index), place)
        return undo

    def _begin(self) -> None:
        """Write the vector at the start."""
        self._add("clear", 0, self._vector, 4**self._column.start_digits)
        if self._start and self._runner.states:
            self._add("scatter", (_START, 0, self._covered * self._size), self._vector,
                      self._covered, self._all())  # fmt: skip
        else:
            place = self._runner.held(np.array([self._column.start]), np.int32)
            self._add("scatter", (_ONE, 0), self._vector, 1, place)

    def _products(self) -> None:
        """Write the tables of products of the states in which the column is read."""
        assert self._read is not None
        for level, _, qubits in self._read.levels(self):
            self._add("products", level, (_START, 0), *qubits)

    def _seed(self, want: _Want) -> None:
        """Write the gradient at the end, and that of product states."""
        if self._read is None or self._read.digits < self._column.digits:
            self._add("clear", 0, (_GRAD, 0), 4**self._column.digits)
        if self._read is not None:
            if self._apart:
                self._products()
            tables, rows = self._read.tables(self), self._read.middle_rows
            self._add("seed", self._result, (_GRAD, 0), *tables, kind=(rows,))
            if want.start:
                self._add("clear", 0, *self._read.gradients())
                kind = (rows, self._read.low_rows)
                self._add("unread", self._result, self._vector, *tables, kind=kind)
                for level, grad, qubits in self._read.levels(self):
                    self._add("unproducts", level, grad, (_START, 0), (_START_GRAD, 0), *qubits)
            return
        place = self._runner.held(self._index, np.int32)
        name = "scatter" if self._runner.states else "gather"
        self._add(name, self._result, (_GRAD, 0), len(self._index), place)

    def _wants(self, step: Step, want: _Want) -> bool:
        matrix = self._runner.matrices[step.block]
        return want.stacks[matrix.stack] and any(matrix.wanted)

    def _back(self, undo: list[tuple[Any, ...]], want: _Want) -> None:
        wanted = [
            k
            for k, each in enumerate(undo)
            if each[0] == "group" and any(self._wants(step, want) for step in each[1].steps)
        ]
        to_start = want.start and self._runner.states
        first = 0 if to_start else min(wanted, default=len(undo))
        for k in reversed(range(first, len(undo))):
            if undo[k][0] == "shrink":
                _, number, new = undo[k]
                self._add("shrink", (_GRAD, 0), 0, number, 0, 0, new)
                continue
            _, group, slot = undo[k]
            part = _PartWriter(self, group)
            before = [part.kept(slot), *(part.at(j) for j in range(1, len(group.steps)))]
            needed = [j for j, step in enumerate(group.steps) if self._wants(step, want)]
            for j in range(max(needed, default=0)):
                part.apply(group.steps[j], before[j], before[j + 1], self._forms[0])
            part.fetch((_GRAD, 0), part.at(0))
            for j in reversed(range(len(group.steps))):
                if j in needed:
                    part.pull(group.steps[j], before[j], part.at(0), self._forms[0])
                else:
                    part.apply(group.steps[j], part.at(0), part.at(0), self._forms[1])
            part.put(part.at(0), (_GRAD, 0))
            part.finish()
        if to_start:
            self._add("gather", (_GRAD, 0), (_START_GRAD, 0, self._covered * self._size),
                      self._covered, self._all())  # fmt: skip

    @property
    def _covered(self) -> int:
        """Numbers of an initial state."""
        grown = [step.digits for step in self._column.steps if step.block < 0]
        return int(4 ** min(grown, default=len(self._column.qubits)))

    def _all(self) -> int:
        return self._runner.held(np.arange(self._covered), np.int32)

    # ------------------------------------------------------------------ what groups write

    def address(self, name: str, *kind: Any) -> int:
        """Return the address of a function."""
        return self._kernels.address(name, *kind)

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return self._size

    @property
    def apart(self) -> int:
        """Bytes from what one column or sample keeps to what the next does."""
        return self._apart

    def held(self, array: np.ndarray, dtype: type) -> int:
        """Return the address of numbers that live as long as the runner."""
        return self._runner.held(array, dtype)

    def matrix(self, block: int) -> tuple[Matrix, _Field, _Field]:
        """Return a block's matrix, where its entries are, and where the sums of their gradients are."""
        matrix, size = self._runner.matrices[block], self._size
        places = []
        for numbers in (matrix.size**2, self._runner.width_of(matrix.stack)):
            each = numbers * size
            samples = self._batch if matrix.own else 1
            places.append((matrix.row * each * samples, each if matrix.own else 0))
        base = _STACKS + 2 * matrix.stack
        return matrix, (base, *places[0]), (base + 1, *places[1])

    def inner(self, function: int, *fields: Any) -> None:
        """Append a record that is run for each part."""
        self._inner.add(function, *fields)

    @property
    def inner_count(self) -> int:
        """Records that are run for each part, so far."""
        return len(self._inner.bases)

    def outer(self, name: str, *fields: Any) -> None:
        """Append a record."""
        self._add(name, *fields)


class _Read:
    """Tables of products of the states in which a column is read, and where they are.

    Args:
        qubits: The row of each digit's qubit among the vectors.
        batch: Samples, a multiple of 16.
        itemsize: Bytes of a number.
    """

    def __init__(self, qubits: np.ndarray, batch: int, itemsize: int) -> None:
        split = _split(len(qubits))
        self._qubits = np.split(np.asarray(qubits, np.int32), np.cumsum(split)[:-1])
        self._row, self._batch = batch * itemsize, batch
        self.digits = len(qubits)
        starts = np.cumsum([0, *(_rows_of_levels(digits) for digits in split)])
        self._starts, self._all = starts[:-1] * self._row, int(starts[-1])
        self._tops = self._starts + [_rows_of_levels(digits - 1) * self._row for digits in split]
        self._sizes = [4**digits for digits in split]
        self.low_rows, self.middle_rows = (min(size, LANES) for size in self._sizes[:2])

    def tables(self, writer: _Writer) -> tuple[Any, ...]:
        """Return the high, the middle and the low table, their shape, and the samples."""
        distance = self._all * self._row
        shape = writer.held(np.array([*reversed(self._sizes), distance]), np.int64)
        high, middle, low = ((_TABLES, int(top)) for top in reversed(self._tops))
        return high, middle, low, shape, self._batch

    def levels(self, writer: _Writer) -> Iterator[tuple[Any, Any, tuple[int, int, int]]]:
        """Yield the levels of each table, their gradients, and its qubits, digits and samples."""
        for start, qubits in zip(self._starts, self._qubits, strict=True):
            level, grad = ((_TABLES, int(start + k * self._all * self._row)) for k in range(2))
            yield level, grad, (writer.held(qubits, np.int32), len(qubits), self._batch)

    def gradients(self) -> tuple[Any, int]:
        """Return where the gradients of all tables are, and how many numbers."""
        return (_TABLES, self._all * self._row), self._all * self._batch


def table_numbers(columns: Sequence[Column], batch: int) -> int:
    """Return how many numbers the tables take in which a column is read, with their gradients."""
    digits = max((len(column.qubits) for column in columns), default=0)
    rows = sum(_rows_of_levels(each) for each in _split(digits))
    return 2 * rows * -(-batch // LANES) * LANES


def _split(digits: int) -> list[int]:
    """Return the digits of the low, the middle and the high table."""
    low = min(digits, LOW_DIGITS)
    middle = min(digits - low, LOW_DIGITS)
    return [low, middle, digits - low - middle]


def _rows_of_levels(digits: int) -> int:
    """Return the rows of the tables of 0 up to some digits."""
    return int((4 ** (digits + 1) - 1) // 3)


class _PartWriter:
    """Writer of the records that are run for each part of a group."""

    def __init__(self, writer: _Writer, group: Group) -> None:
        self._writer, self._group = writer, group
        self._part = part_of(group.digits, group.rows)
        self._bytes = group.numbers * writer.itemsize
        self._shifts: list[np.ndarray] = []
        self._first = writer.inner_count

    def at(self, number: int) -> _Field:
        """Return the place of one of the parts that are worked on."""
        return (_PARTS, number * self._bytes, 0)

    def kept(self, slot: int) -> _Field:
        """Return the place of the parts that are kept, the first of them."""
        return (_KEPT, slot, self._writer.apart)

    def fetch(self, vector: tuple[int, ...], to: _Field) -> None:
        """Bring a part of a vector."""
        places = self._writer.held(self._part.places, np.int32)
        function = self._writer.address("fetch", self._part.mode)
        self._record(function, vector, to, self._part.count, places, by_base=1)

    def put(self, part: _Field, vector: tuple[int, ...]) -> None:
        """Put a part of a vector back."""
        places = self._writer.held(self._part.places, np.int32)
        function = self._writer.address("put", self._part.mode)
        self._record(function, part, vector, self._part.count, places, by_base=2)

    def apply(self, step: Step, source: _Field, target: _Field, form: Form) -> None:
        """Apply a block to a part."""
        matrix, entry, _ = self._writer.matrix(step.block)
        function = self._writer.address("apply", form, matrix.pattern)
        self._record(function, source, target, *self._tiles(step), entry)

    def pull(self, step: Step, before: _Field, grad: _Field, form: Form) -> None:
        """Take a gradient back through a block."""
        matrix, entry, sums = self._writer.matrix(step.block)
        function = self._writer.address("pull", form, matrix.pattern, matrix.wanted)
        self._record(function, before, grad, *self._tiles(step), entry, sums)

    def finish(self) -> None:
        """Run what was written for each part."""
        count = self._writer.inner_count - self._first
        shifts = self._writer.held(np.stack(self._shifts), np.int64)
        bases = self._writer.held(self._part.bases, np.int32)
        first = (_INNER, self._first * FIELDS * 8)
        self._writer.outer("parts_of", first, count, len(self._part.bases), bases, shifts)

    def _tiles(self, step: Step) -> tuple[int, int, int]:
        block = tuple(self._group.rows.index(digit) for digit in step.at)
        bases, strides = tiles_of(len(self._group.rows), block, self._writer.itemsize)
        return len(bases), self._writer.held(bases, np.int32), self._writer.held(strides, np.int64)

    def _record(self, function: int, *fields: Any, by_base: int = 0) -> None:
        shifts = np.zeros((FIELDS, 2), np.int64)
        if by_base:
            shifts[by_base, 0] = self._writer.itemsize
        for place, each in enumerate(fields, 1):
            if place != by_base and isinstance(each, tuple) and each[0] == _KEPT:
                shifts[place, 1] = self._bytes
        self._shifts.append(shifts)
        self._writer.inner(function, *fields)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        runner: ColumnRunner,
        batch: int,
        kept: Tensor,
        start: Tensor | None,
        again: Again,
        *stacks: Tensor,
    ) -> Tensor:
        given = start is not None
        state = packed(start) if start is not None else None
        tables = [packed(stack) for stack in stacks]
        like = tables[0]
        if runner.read is not None:
            result = like.new_empty(len(runner.columns), batch)
        else:
            result = like.new_zeros(batch if runner.states else len(runner.columns), runner.width)
        pointers = _pointers(state, None, result, tables, [None] * len(tables))
        runner.execute(batch, like.dtype, pointers, None, kept, start=given)
        ctx.runner, ctx.batch, ctx.again, ctx.kept = runner, batch, again, kept
        ctx.save_for_backward(start, *stacks)
        return result

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        start, *stacks = ctx.saved_tensors
        runner: ColumnRunner = ctx.runner
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled():
            return _through_torch(ctx.again, grad, start, stacks)
        state = None if start is None else packed(start)
        tables = [packed(stack) for stack in stacks]
        want = _Want(tuple(needs[5:]), bool(needs[3]))
        begins = state if want.start else None
        sums, start_grad, shared = runner.gradients(tables, want.stacks, begins)
        grad = packed(grad)
        pointers = _pointers(state, start_grad, grad, tables, sums)
        given = state is not None
        runner.execute(ctx.batch, grad.dtype, pointers, want, ctx.kept, start=given, shared=shared)
        found = [
            None if each is None else runner.gradient(each, stack, number)
            for number, (each, stack) in enumerate(zip(sums, tables, strict=True))
        ]
        return None, None, None, start_grad, None, *found


def _pointers(
    state: Tensor | None,
    start_grad: Tensor | None,
    result: Tensor,
    stacks: Sequence[Tensor],
    sums: Sequence[Tensor | None],
) -> list[int]:
    """Return the addresses from that of initial states on."""
    one = _one(result.dtype)
    pairs = [each for pair in zip(stacks, sums, strict=True) for each in pair]
    tensors = [state, start_grad, result, one, *pairs]
    return [0 if each is None else each.data_ptr() for each in tensors]


_ONES = {dtype: torch.ones(1, dtype=dtype) for dtype in (torch.float32, torch.float64)}


def _one(dtype: torch.dtype) -> Tensor:
    return _ONES[dtype]


def _through_torch(
    again: Again, grad: Tensor, state: Tensor | None, stacks: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Return the gradient with a graph of its own, in aliases of what was given."""
    aliases = [
        each.view_as(each) if each is not None and each.requires_grad else each
        for each in (state, *stacks)
    ]
    value = again(aliases[0], [each for each in aliases[1:] if each is not None])
    if not value.requires_grad:  # no block that anything turns is in a light cone
        return (None,) * (len(aliases) + 4)
    wanted = [each for each in aliases if each is not None and each.requires_grad]
    found = iter(torch.autograd.grad(value, wanted, grad, create_graph=True, allow_unused=True))
    to_start, *rest = [
        next(found) if each is not None and each.requires_grad else None for each in aliases
    ]
    return None, None, None, to_start, None, *rest
