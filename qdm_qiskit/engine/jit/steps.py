"""Steps on tiles: blocks, gates and monomials on qubits anywhere in one component.

Each step also knows how to run in calls of torch, which autograd can differentiate twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..evolution.autograd_ops import mixed_product, packed, permute_rows
from ..evolution.constants import BlockHandle
from ..evolution.gate_entries import Entries
from ..evolution.steps import Components, Frame, Move, StackKey
from ..lowering.angles import Angle, AngleVector
from ..lowering.gate_forms import GateForm

__all__ = [
    "Angled",
    "GateShape",
    "Scattered",
    "T",
    "TileStep",
    "Tiles",
    "Users",
]

T = TypeVar("T")


@dataclass
class Scattered:
    """A block of gates on qubits anywhere in a component."""

    component: int
    block: BlockHandle | None
    """A block with weights, or None for a fixed one."""
    fixed: int | None
    """Constant: the matrix of a fixed block."""
    first: int
    """Constant: the rows of the state in which the block's qubits are 0."""
    offsets: np.ndarray
    """Distance of each row of the block from these."""
    active: np.ndarray
    """Rows of the block on which it differs from the identity."""
    order: int
    """Constant: all rows of the state, ordered by row of the block."""
    inverse: int
    """Constant: the inverse permutation."""
    text: str

    def run(self, state: Components, frame: Frame) -> None:
        """See :class:`~qdm_qiskit.engine.evolution.steps.Step`."""
        matrix = frame.matrix(self.block, self.fixed)
        x = state[self.component]
        order = frame.constants.index(self.order, frame.device)
        inverse = frame.constants.index(self.inverse, frame.device)
        y = permute_rows(x, order, inverse).view(1, len(matrix), -1)
        y = mixed_product(matrix, y).view(-1, x.shape[-1])
        state[self.component] = permute_rows(y, inverse, order)

    def describe(self) -> str:
        """See :class:`~qdm_qiskit.engine.evolution.steps.Step`."""
        return self.text


class GateShape(NamedTuple):
    """Properties of a gate on which its machine code depends."""

    shared: bool
    """True if its angle is the same for all samples; each has a matrix of its own if not."""
    size: int
    """Rows on which it is not the identity."""
    real: bool
    diagonal: bool


@dataclass
class Angled:
    """Step of a single gate with one angle."""

    component: int
    position: int
    """Its place among the steps on tiles."""
    angle: Angle
    form: GateForm
    """Its entries on the rows where it is not the identity; of a diagonal gate the diagonal's."""
    generator: np.ndarray
    """The generator's entries, chosen likewise."""
    shape: GateShape
    first: int
    """Constant: as for :class:`Scattered`."""
    offsets: np.ndarray
    """Distance of each of the gate's rows from these."""
    text: str

    def run(self, state: Components, frame: Frame) -> None:
        """See :class:`.evolution.steps.Step`; the frame's samples hold its entries."""
        x, entries = state[self.component], frame.samples[self.position]
        first = frame.constants.index(self.first, frame.device)
        offsets = torch.from_numpy(self.offsets).to(frame.device)
        rows = (offsets[:, None] + first).reshape(-1)
        part = x.index_select(0, rows).view(self.shape.size, -1, x.shape[1])
        if self.shape.diagonal:
            part = entries.unsqueeze(1) * part
        else:
            matrix = entries.view(self.shape.size, self.shape.size, 1, -1)
            part = (matrix * part.unsqueeze(0)).sum(1)
        state[self.component] = x.index_copy(0, rows, part.view(-1, x.shape[1]))

    def describe(self) -> str:
        """See :class:`~qdm_qiskit.engine.evolution.steps.Step`."""
        return self.text


TileStep = Scattered | Angled | Move


@dataclass(frozen=True, eq=False)
class Tiles:
    """The steps of a program that run tile by tile."""

    first: int
    """Their place among all steps."""
    steps: tuple[TileStep, ...]
    num_rows: int
    """Rows of the component, ``2**k``."""
    leading: dict[Any, int]
    """Number of first rows of each stack that the steps before them use."""

    @cached_property
    def groups(self) -> tuple[StackKey, ...]:
        """Blocks and phases that the steps use."""
        return tuple(dict.fromkeys(users.key for users in self.users))

    def of_users(self, of_groups: Sequence[T]) -> list[T]:
        """Return values of the groups, repeated for each of the users."""
        by_key = dict(zip(self.groups, of_groups, strict=True))
        return [by_key[users.key] for users in self.users]

    @cached_property
    def users(self) -> tuple[Users, ...]:
        """Steps with weights, by the stack and the part of a matrix that they take."""
        found: dict[tuple[StackKey, bytes], list[tuple[int, int, Any]]] = {}
        for position, step in enumerate(self.steps):
            if isinstance(step, Scattered) and step.block is not None:
                key: StackKey = ("block", step.block.group)
                entry = (position, step.block.row, step)
                found.setdefault((key, step.active.tobytes()), []).append(entry)
            elif isinstance(step, Move) and step.phases is not None:
                size, row = step.phases
                found.setdefault((("phase", size), b""), []).append((position, row, step))
        users = []
        for (key, _), entries in found.items():
            positions, rows, (step, *_) = zip(*entries, strict=True)
            if key[0] == "block":
                d = 2 ** key[1][0]
                inner = (step.active[:, None] * d + step.active[None, :]).reshape(-1)
                flat = (np.array(rows)[:, None] * d * d + inner).reshape(-1)
                users.append(Users(key, positions, len(step.active), torch.from_numpy(flat)))
            else:
                flat = (np.array(rows)[:, None] * key[1] + np.arange(key[1])).reshape(-1)
                users.append(Users(key, positions, 0, torch.from_numpy(flat)))
        return tuple(users)

    @cached_property
    def angled(self) -> dict[GateShape, tuple[int, ...]]:
        """Gates by themselves, those of one shape together; those with shared angles first."""
        found: dict[GateShape, list[int]] = {}
        for position, step in enumerate(self.steps):
            if isinstance(step, Angled):
                found.setdefault(step.shape, []).append(position)
        return {shape: tuple(found[shape]) for shape in sorted(found, reverse=True)}

    @cached_property
    def angles(self) -> tuple[AngleVector, AngleVector]:
        """The angles that all samples share, and those of each sample; in the order of the gates."""
        found: dict[bool, list[Angle]] = {True: [], False: []}
        for shape, positions in self.angled.items():
            found[shape.shared] += [self.gate(position).angle for position in positions]
        return AngleVector(found[True]), AngleVector(found[False])

    def gate(self, position: int) -> Angled:
        """Return a step that is a gate by itself."""
        step = self.steps[position]
        assert isinstance(step, Angled)  # the caller has looked
        return step

    def split(
        self, shared: Tensor | None, own: Tensor | None
    ) -> Iterator[tuple[GateShape, tuple[int, ...], Tensor]]:
        """Yield each shape with its steps and their angles, of those given for all gates of a kind."""
        start = {True: 0, False: 0}
        for shape, positions in self.angled.items():
            given, first = (shared if shape.shared else own), start[shape.shared]
            start[shape.shared] += len(positions)
            assert given is not None  # there are gates of this kind
            yield shape, positions, given[first : first + len(positions)]

    def entries(self, shared: Tensor | None, own: Tensor | None) -> dict[int, Tensor]:
        """Return each gate's ``(entries, batch or 1)``, by its place, in calls that autograd knows.

        Args:
            shared, own: ``(number of angles, 1 or batch)``, as :attr:`angles` gives them.
        """
        found: dict[int, Tensor] = {}
        for shape, positions, theta in self.split(shared, own):
            forms = [self.gate(position).form for position in positions]
            values, _ = Entries.of(forms, theta, real=shape.real).values(theta)
            found.update(zip(positions, values.unbind(0), strict=True))
        return found


@dataclass(frozen=True, eq=False)
class Users:
    """Steps that take the same part of matrices of one stack, or phases."""

    key: StackKey
    positions: tuple[int, ...]
    size: int
    """Rows of that part; 0 for phases."""
    flat: Tensor
    """Places of all their entries in the flat stack."""

    def taken(self, stack: Tensor) -> Tensor:
        """Return the steps' matrices ``(steps, size, size)``, or phases ``(steps, rows)``."""
        flat = packed(stack).view(-1)
        whole = len(self.flat) == len(flat) and self._in_order
        found = flat if whole else flat.index_select(0, self.flat)
        shape = (self.size, self.size) if self.size else (-1,)
        return found.view(len(self.positions), *shape)

    def given(self, found: Tensor, into: Tensor) -> None:
        """Put the reading of each step where its matrix stands."""
        if len(self.flat) == into.numel() and self._in_order:
            into.view(-1).copy_(found.reshape(-1))
        else:
            into.view(-1).index_copy_(0, self.flat, found.reshape(-1))

    @cached_property
    def _in_order(self) -> bool:
        return bool((self.flat.numpy() == np.arange(len(self.flat))).all())
