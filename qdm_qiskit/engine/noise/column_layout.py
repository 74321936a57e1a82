"""A noisy program laid out as columns: their matrices, and what is read of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from qiskit.circuit import Parameter
from torch import Tensor

from ..jit.column_forms import LANES, LEAST_READ, Pattern
from .base import Arguments
from .blocks import Block
from .column_records import Matrix
from .column_runner import ColumnRunner
from .column_steps import Column
from .columns import String
from .lowering import Event
from .matrices import BlockMatrices, Masks, SampleMatrices
from .pictures import Picture, Pictures

__all__ = [
    "ColumnLayout",
    "ObservableLayout",
    "StateLayout",
    "late_blocks",
    "runs_on_columns",
]

_ZERO = np.array([1.0, 0.0, 0.0, 1.0])
"""The Pauli vector of |0>."""
_NOTHING = np.zeros(0, np.int32)
_StackKey = tuple[str, int]
"""("fixed", "weights" or "inputs", rows)."""


def runs_on_columns(arguments: Arguments) -> bool:
    """Return whether machine code can run what is given; transforms of functions know no such code."""
    forward_mode = torch.autograd.forward_ad._current_level >= 0
    transformed = torch._C._are_functorch_transforms_active()
    return arguments.like.device.type == "cpu" and not forward_mode and not transformed


class ColumnLayout:
    """Blocks as matrices of columns.

    Args:
        blocks: All blocks of the program; those that are used have at most two qubits.
        used: Indices of those that columns go through.
        inputs: The parameters that each sample has its own values of.
        weights: The parameters that all samples share.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        used: Sequence[int],
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
    ) -> None:
        self._shared = BlockMatrices()
        own: dict[int, list[tuple[Event, tuple[int, ...]]]] = {}
        fixed: dict[int, list[np.ndarray]] = {}
        found: dict[int, tuple[_StackKey, int]] = {}
        masks: dict[int, Masks] = {}
        for k in used:
            block = blocks[k]
            size = 4 ** len(block.qubits)
            if block.per_sample:
                each = own.setdefault(size, [])
                found[k] = (("inputs", size), len(each))
                each.append((block.events[0], block.qubits))
                continue
            kind, row = self._shared.add(block.events, block.qubits)
            masks[k] = self._shared.masks((kind, row))
            if kind == "fixed":
                matrices = fixed.setdefault(size, [])
                found[k] = (("fixed", size), len(matrices))
                matrices.append(self._shared.fixed(row))
            else:
                found[k] = (("weights", size), row)
        self._shared.finish(inputs, weights)
        self._own = {size: SampleMatrices(each, inputs, weights) for size, each in own.items()}
        self._fixed = {size: np.stack(each) for size, each in fixed.items()}
        self._order: list[_StackKey] = sorted({key for key, _ in found.values()})
        number = {key: k for k, key in enumerate(self._order)}
        for k, (key, row) in found.items():
            if key[0] == "inputs":
                masks[k] = self._own[key[1]].masks[row]
            elif key[0] == "weights":
                found[k] = (key, self._shared.row(key[1], row))
        self.matrices = {
            k: Matrix(
                number[key],
                row,
                key[1],
                _pattern(masks[k][0]),
                _pattern(masks[k][1]),
                own=key[0] == "inputs",
            )
            for k, (key, row) in found.items()
        }
        self.joined = self._shared.joined.union(*(each.joined for each in self._own.values()))
        """Of "inputs" and "weights", those with a graph from all of them to the matrices."""
        self._tensors: dict[tuple[object, torch.dtype], Tensor] = {}

    def _stacks(self, arguments: Arguments) -> list[Tensor]:
        """Return the matrices of all blocks."""
        like = arguments.like
        shared = self._shared.stacks(arguments.weights, like)
        found = []
        for kind, size in self._order:
            if kind == "fixed":
                found.append(self._constant(("fixed", size), self._fixed[size], like))
            elif kind == "weights":
                found.append(shared[size])
            else:
                found.append(self._own[size].build(arguments, like))
        return found

    def _constant(self, key: object, array: np.ndarray, like: Tensor) -> Tensor:
        place = (key, like.dtype)
        if place not in self._tensors:
            self._tensors[place] = torch.tensor(array, dtype=like.dtype)
        return self._tensors[place]


class ObservableLayout(ColumnLayout):
    """Observables evolved backwards, each on its own, to where the samples' states begin.

    Args:
        pictures: Blocks, with those that observables go through.
        columns: The observables.
        active: All qubits that are acted on.
        inputs: The parameters that each sample has its own values of.
        weights: The parameters that all samples share.
    """

    def __init__(
        self,
        pictures: Pictures,
        columns: Sequence[Column],
        active: Sequence[int],
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
    ) -> None:
        late = late_blocks(pictures)
        super().__init__(pictures.blocks, late, inputs, weights)
        self.forward = pictures.forward
        self._rows: list[int | None] | None = None
        """The component of each active qubit, None for |0>, if no component has more than one."""
        self.width = 4 ** len(active)
        if all(len(order) == 1 for order in pictures.forward.orders.values()):
            component = {order[0]: c for c, order in pictures.forward.orders.items()}
            self._rows = [component.get(q) for q in active]
            place = {q: row for row, q in enumerate(active)}
            # A string on one qubit is read on another one, too, whose vector is the last: the identity.
            rows = [[place[q] for q in each.qubits] for each in columns]
            read = [
                np.array([*each, *[len(active)] * (LEAST_READ - len(each))], np.int32)
                for each in rows
            ]
            self.runner = ColumnRunner(
                columns, self.matrices, [_NOTHING] * len(columns), self.width, read=read
            )
            return
        fresh, self._shared_parts, self._halves = _parts(pictures.forward, active)
        order = list(fresh)
        for c in (*self._shared_parts, *self._halves[0], *self._halves[1]):
            order += pictures.forward.orders[c]
        weight = {q: 4 ** (len(order) - 1 - k) for k, q in enumerate(order)}
        self._fresh: np.ndarray = np.ones(1)
        for _ in fresh:
            self._fresh = np.kron(self._fresh, _ZERO)
        known: dict[tuple[int, ...], np.ndarray] = {}
        for column in columns:
            key = tuple(column.qubits)
            if key not in known:
                known[key] = column.indices(weight)
        results = [known[tuple(column.qubits)] for column in columns]
        self.runner = ColumnRunner(columns, self.matrices, results, self.width)

    def evaluate(self, arguments: Arguments, state: dict[int, Tensor]) -> Tensor:
        """Return the values ``(strings, batch or 1)``.

        Args:
            arguments: What was given.
            state: Components of the states, as the forward picture leaves them.
        """
        stacks = self._stacks(arguments)
        runner = self.runner
        if self._rows is not None:
            return self._read(arguments, state, stacks)

        def again(start: Tensor | None, given: Sequence[Tensor]) -> Tensor:
            rows = [_evolved(column, self.matrices, given, None)[0] for column in runner.columns]
            found = []
            for row, index in zip(rows, runner.results, strict=True):
                place = torch.from_numpy(index.astype(np.int64))
                found.append(row.new_zeros(self.width).index_add(0, place, row[: len(place)]))
            return torch.stack(found)

        x = runner.run(arguments.batch, None, stacks, again)
        return self._contract(x, state, arguments.like)

    def _read(self, arguments: Arguments, state: dict[int, Tensor], stacks: list[Tensor]) -> Tensor:
        """Return the values of observables in product states."""
        assert self._rows is not None
        runner, like = self.runner, arguments.like
        batch = max((each.shape[1] for each in state.values()), default=1)
        filled = -(-batch // LANES) * LANES
        zero = self._constant("zero", _ZERO[:, None], like)
        each = [zero if c is None else state[c] for c in (*self._rows, None)]
        vectors = torch.stack([x if x.shape[1] == batch else x.expand(4, batch) for x in each])
        if filled > batch:
            vectors = torch.nn.functional.pad(vectors, (0, filled - batch))

        def again(start: Tensor | None, given: Sequence[Tensor]) -> Tensor:
            assert start is not None
            assert runner.read is not None
            found = []
            for column, rows in zip(runner.columns, runner.read, strict=True):
                x = _evolved(column, self.matrices, given, None)[0, : 4 ** len(rows)]
                x = x.unsqueeze(1).expand(-1, filled)
                for row in reversed(rows):  # the most significant digit first
                    x = (x.unflatten(0, (4, -1)) * start[row][:, None]).sum(0)
                found.append(x[0])
            return torch.stack(found)

        return runner.run(filled, vectors, stacks, again)[:, :batch]

    def _contract(self, x: Tensor, state: dict[int, Tensor], like: Tensor) -> Tensor:
        """Return the values of observables ``(m, 4**n)`` in the product state."""
        m = len(x)
        vector = self._constant("fresh", self._fresh[:, None], like)
        for c in self._shared_parts:
            vector = _product([vector, state[c]])
        if len(vector) > 1:
            x = torch.matmul(vector.t(), x.view(m, len(vector), -1)).squeeze(1)
        if not self._halves[0]:
            return x.reshape(m, 1)
        first, *second = (_product([state[c] for c in half]) for half in self._halves if half)
        if second:
            x = (x.reshape(m * len(first), -1) @ second[0]).view(m, len(first), -1)
            return (x * first).sum(1)
        return x @ first


class StateLayout(ColumnLayout):
    """The state of each sample evolved forwards, on its own.

    Args:
        blocks: All blocks in order.
        column: What is done to a state.
        strings: What is read.
        inputs: The parameters that each sample has its own values of.
        weights: The parameters that all samples share.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        column: Column,
        strings: Sequence[String],
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
    ) -> None:
        used = [step.block for step in column.steps if step.block >= 0]
        super().__init__(blocks, used, inputs, weights)
        weight = {q: 4**k for k, q in enumerate(column.qubits)}
        rows = [sum(digit * weight[q] for q, digit in string) for string in strings]
        self._rows = np.array(rows, np.int32)
        zeros = dict.fromkeys(column.qubits, _ZERO)
        self.runner = ColumnRunner([column], self.matrices, [self._rows], len(strings), zeros)

    def evaluate(self, arguments: Arguments, start: Tensor | None) -> Tensor:
        """Return the values ``(strings, batch)``.

        Args:
            arguments: What was given.
            start: ``(batch, 4**k)`` Pauli vectors of the initial states.
        """
        column = self.runner.columns[0]

        def again(begin: Tensor | None, given: Sequence[Tensor]) -> Tensor:
            x = _evolved(column, self.matrices, given, begin, states=arguments.batch)
            return x.index_select(1, torch.from_numpy(self._rows.astype(np.int64)))

        return self.runner.run(arguments.batch, start, self._stacks(arguments), again).t()


def late_blocks(pictures: Pictures) -> list[int]:
    """Return the blocks that observables go through, from the last to the first."""
    assert pictures.backward is not None  # observables are evolved
    return [action.block for action in pictures.backward.actions if action.kind == "apply"]


def _pattern(mask: np.ndarray) -> Pattern:
    return tuple(int(row @ (1 << np.arange(len(row)))) for row in mask)


def _parts(
    picture: Picture, active: Sequence[int]
) -> tuple[list[int], list[int], tuple[list[int], list[int]]]:
    """Return qubits that are in |0>, components that samples share, and two halves of the others."""
    reached = {q for order in picture.orders.values() for q in order}
    shared = [c for c in picture.orders if not picture.batched[c]]
    own = [c for c in picture.orders if picture.batched[c]]
    halves: tuple[list[int], list[int]] = ([], [])

    def qubits(half: list[int]) -> int:
        return sum(len(picture.orders[c]) for c in half)

    for c in sorted(own, key=lambda c: -len(picture.orders[c])):
        min(halves, key=qubits).append(c)
    # The first half is held once for each string and sample, so it is the smaller one.
    if halves[1] and qubits(halves[1]) < qubits(halves[0]):
        halves = (halves[1], halves[0])
    return [q for q in active if q not in reached], shared, halves


def _product(parts: Sequence[Tensor]) -> Tensor:
    """Return the tensor product of components ``(4**k, batch)``."""
    return reduce(lambda x, y: (x.unsqueeze(1) * y.unsqueeze(0)).flatten(0, 1), parts)


def _evolved(
    column: Column,
    matrices: dict[int, Matrix],
    stacks: Sequence[Tensor],
    start: Tensor | None,
    *,
    states: int = 0,
) -> Tensor:
    """Return a column at its end in calls that autograd knows, ``(samples, 4**digits)``.

    Args:
        column: What is done.
        matrices: By block.
        stacks: As for :meth:`ColumnRunner.run`.
        start: Initial states.
        states: Number of samples of a state; 0 for an observable.
    """
    count, size = max(states, 1), 4**column.start_digits
    if start is None:
        x = stacks[0].new_zeros(count, size)
        x[:, column.start] = 1
    else:
        x = torch.nn.functional.pad(start, (0, size - start.shape[1]))
    for step in column.steps:
        if step.block < 0:
            low = 4**step.digits
            new = x.new_tensor(_ZERO)
            x = (new[:, None] * x[:, None, :low]).flatten(1)
            size = 4 ** max(step.digits + 1, column.start_digits)
            x = torch.nn.functional.pad(x, (0, size - x.shape[1]))
            continue
        x = torch.nn.functional.pad(x, (0, 4**step.digits - x.shape[1]))
        where = matrices[step.block]
        matrix = stacks[where.stack][where.row]
        matrix = matrix if states else matrix.mT
        axes = [step.digits - digit for digit in step.at]
        front = list(range(1, 1 + len(axes)))
        split = x.reshape(count, *[4] * step.digits).movedim(axes, front)
        turned = matrix @ split.reshape(count, where.size, -1)
        x = turned.reshape(split.shape).movedim(front, axes).reshape(count, -1)
    return x
