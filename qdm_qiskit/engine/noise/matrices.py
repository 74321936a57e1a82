"""Transfer matrices of all blocks with weights, built at once.

The transfer matrix of exp(-i t P / 2) is ``C0 + cos(t) C1 + sin(t) C2``. A block with j such rotations
is a product of j of them, each of which has taken in the fixed channels beside it when the program
was compiled. All factors of one size are evaluated together and multiplied as a tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from qiskit.circuit import Parameter
from torch import Tensor

from .angles import Angles
from .base import Arguments
from .channels import on_axes, pauli_matrix, transfer_matrix
from .lowering import Event

__all__ = [
    "BlockMatrices",
    "Masks",
    "SampleMatrices",
    "SampleRotations",
    "SampleStarts",
    "rotation_terms",
]

_Level = tuple[np.ndarray, np.ndarray, np.ndarray]
"""One level of the products: rows of the earlier factors, of the later ones, and of those alone."""


Masks = tuple[np.ndarray, np.ndarray]
"""Entries of a matrix that are not zero whatever the angles are, and those that angles change."""
_ROUNDING = 1e-14
"""Below this an entry of a channel, whose largest is 1, is what rounding left of zero."""


@cache
def rotation_terms(pauli: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return C0, C1 and C2 of the transfer matrix of exp(-i t P / 2)."""
    p = pauli_matrix(pauli)

    def at(cosine: float, sine: float) -> np.ndarray:
        return transfer_matrix((cosine * np.eye(len(p)) - 1j * sine * p)[None])

    zero, half, full = at(1, 0), at(np.sqrt(0.5), np.sqrt(0.5)), at(0, 1)
    middle = (zero + full) / 2
    return middle, (zero - full) / 2, half - middle


class BlockMatrices:
    """Collector of blocks, which builds their matrices whenever weights change."""

    def __init__(self) -> None:
        self._fixed: list[np.ndarray] = []
        self._factors: dict[int, list[np.ndarray]] = {}
        self._angles: dict[int, list[int]] = {}
        self._chains: dict[int, list[list[int]]] = {}
        self._trees: dict[int, list[_Level]] = {}
        self._masks: dict[tuple[object, int], Masks] = {}
        self._stacked: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        """By size: terms of all factors ``(3, factors, size, size)``, and rows of their angles."""
        self._tensors: dict[tuple[object, torch.dtype, torch.device], Tensor] = {}

    def add(self, events: Sequence[Event], columns: dict[int, int], axes: Sequence[int]) -> tuple:
        """Register a block.

        Args:
            events: Its channels and rotations in order.
            columns: Row of each rotation, by its id, among the angles.
            axes: The qubits of its matrix, the first most significant.

        Returns:
            The key of its matrix.
        """
        register = list(reversed(axes))
        size = 4 ** len(register)
        total = np.eye(size)
        factors: list[np.ndarray] = []
        angles: list[int] = []
        for event in events:
            if event.channel is not None:
                total = on_axes(event.channel.transfer, event.qubits, register, 4) @ total
                if factors:
                    # Channels after a rotation belong to that rotation.
                    factors[-1] = (
                        on_axes(event.channel.transfer, event.qubits, register, 4) @ factors[-1]
                    )
                continue
            terms = [
                on_axes(term, event.qubits, register, 4) for term in rotation_terms(event.pauli)
            ]
            factors.append(np.stack(terms) if factors else np.stack(terms) @ total)
            angles.append(columns[id(event)])
        if not factors:
            total = _without_rounding(total)
            self._fixed.append(total)
            self._masks["fixed", len(self._fixed) - 1] = total != 0, np.zeros_like(total, bool)
            return ("fixed", len(self._fixed) - 1)
        factors = [_without_rounding(each) for each in factors]
        start = len(self._factors.setdefault(size, []))
        self._factors[size] += factors
        self._angles.setdefault(size, []).extend(angles)
        chains = self._chains.setdefault(size, [])
        chains.append(list(range(start, start + len(factors))))
        self._masks[size, len(chains) - 1] = _masks(factors)
        return (size, len(chains) - 1)

    def masks(self, key: tuple[object, int]) -> Masks:
        """Return the entries of a matrix, by its key, that matter."""
        return self._masks[key]

    def finish(self) -> None:
        """Plan the products."""
        for size, factors in self._factors.items():
            self._stacked[size] = np.stack(factors, axis=1), np.array(self._angles[size])
        for size, chains in self._chains.items():
            levels = []
            rows = [list(chain) for chain in chains]
            while any(len(row) > 1 for row in rows):
                early: list[int] = []
                late: list[int] = []
                alone: list[int] = []
                after: list[list[int]] = []
                pairs = sum(len(row) // 2 for row in rows)
                for row in rows:
                    half = []
                    for k in range(0, len(row) - 1, 2):
                        half.append(len(early))
                        early.append(row[k])
                        late.append(row[k + 1])
                    if len(row) % 2:
                        half.append(pairs + len(alone))
                        alone.append(row[-1])
                    after.append(half)
                levels.append(_integers(early, late, alone))
                rows = after
            levels.append(_integers([], [], [row[0] for row in rows]))
            self._trees[size] = levels

    def build(self, angles: Tensor | None, like: Tensor) -> dict[object, Tensor]:
        """Return all matrices by their key.

        Args:
            angles: ``(rotations, 1)``.
            like: Real; gives dtype and device.
        """
        found: dict[object, Tensor] = {
            ("fixed", row): self._tensor(("fixed", row), array, like)
            for row, array in enumerate(self._fixed)
        }
        for size, stack in self.stacks(angles, like).items():
            for row, matrix in enumerate(stack.unbind(0)):
                found[(size, row)] = matrix
        return found

    def fixed(self, row: int) -> np.ndarray:
        """Return the matrix of a block without weights, the second part of whose key is given."""
        return self._fixed[row]

    def stacks(self, angles: Tensor | None, like: Tensor) -> dict[int, Tensor]:
        """Return the matrices of blocks with weights by their size, ``(blocks, size, size)``.

        Args:
            angles, like: As for :meth:`build`.
        """
        found: dict[int, Tensor] = {}
        for size, (terms, places) in self._stacked.items():
            assert angles is not None  # blocks with factors have angles
            table = self._tensor((size, "table"), terms, like)
            rows = self._tensor((size, "rows"), places, like)
            theta = angles.index_select(0, rows).unsqueeze(-1)
            values = torch.addcmul(table[0], torch.cos(theta), table[1])
            values = torch.addcmul(values, torch.sin(theta), table[2])
            for level, (early, late, alone) in enumerate(self._trees[size]):
                parts = []
                if len(early):
                    first = values.index_select(0, self._tensor((size, level, 0), early, like))
                    second = values.index_select(0, self._tensor((size, level, 1), late, like))
                    parts.append(torch.bmm(second, first))
                if len(alone):
                    index = self._tensor((size, level, 2), alone, like)
                    parts.append(values.index_select(0, index))
                values = parts[0] if len(parts) == 1 else torch.cat(parts)
            found[size] = values
        return found

    def _tensor(self, key: object, array: np.ndarray, like: Tensor) -> Tensor:
        place = (key, like.dtype, like.device)
        if place not in self._tensors:
            dtype = torch.int64 if array.dtype.kind == "i" else like.dtype
            self._tensors[place] = torch.tensor(array, dtype=dtype, device=like.device)
        return self._tensors[place]


class SampleRotations:
    """Rotations with an angle for each sample: all of one size at once.

    A rotation maps ``r`` to ``(c0 + cos(t) c1) r + sin(t) signs * r[partner]``.

    Args:
        places: Block to its rotation, and its qubits as they lie, the first most significant.
        inputs: The parameters that each sample has its own values of.
        weights: The parameters that all samples share.
    """

    def __init__(
        self,
        places: dict[int, tuple[Event, tuple[int, ...]]],
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
    ) -> None:
        self._groups: list[tuple[list[int], Angles, tuple[np.ndarray, ...]]] = []
        self._tensors: dict[tuple[int, int, torch.dtype, torch.device], Tensor] = {}
        for size in sorted({len(register) for _, register in places.values()}):
            blocks = [k for k, (_, register) in places.items() if len(register) == size]
            events = [places[k][0] for k in blocks]
            arrays = [_rotation(*places[k]) for k in blocks]
            stacked = tuple(np.stack(each) for each in zip(*arrays, strict=True))
            angles = Angles([i.angle for i in events if i.angle is not None], inputs, weights)
            self._groups.append((blocks, angles, stacked))

    def build(self, arguments: Arguments, like: Tensor) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
        """Return, by block, the factors ``(d, 1, batch)`` of a vector and its partner, and its rows."""
        found: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        for group, (blocks, angles, arrays) in enumerate(self._groups):
            c0, c1, signs, partner = (
                self._tensor(group, k, array, like) for k, array in enumerate(arrays)
            )
            theta = angles.evaluate(arguments.inputs, arguments.weights, like)[:, None, None]
            same = torch.addcmul(c0, c1, torch.cos(theta)).unbind(0)
            turned = (signs * torch.sin(theta)).unbind(0)
            found.update(
                zip(blocks, zip(same, turned, partner.unbind(0), strict=True), strict=True)
            )
        return found

    def _tensor(self, group: int, k: int, array: np.ndarray, like: Tensor) -> Tensor:
        place = (group, k, like.dtype, like.device)
        if place not in self._tensors:
            dtype = torch.int64 if array.dtype.kind == "i" else like.dtype
            self._tensors[place] = torch.tensor(array, dtype=dtype, device=like.device)
        return self._tensors[place]


class SampleMatrices:
    """Rotations with an angle for each sample, as matrices.

    Args:
        events: Rotations, and their qubits as their matrix has them, the first most significant.
        inputs: The parameters that each sample has its own values of.
        weights: The parameters that all samples share.
    """

    def __init__(
        self,
        events: Sequence[tuple[Event, tuple[int, ...]]],
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
    ) -> None:
        terms = [
            [on_axes(term, event.qubits, list(reversed(axes)), 4) for term in
             rotation_terms(event.pauli)]
            for event, axes in events
        ]  # fmt: skip
        self._terms = _without_rounding(np.array(terms)).swapaxes(0, 1)[:, :, None]
        by_rotation = self._terms[:, :, 0].swapaxes(0, 1)
        self.masks: list[Masks] = [_masks([each]) for each in by_rotation]
        """By rotation."""
        self._angles = Angles([i.angle for i, _ in events if i.angle is not None], inputs, weights)
        self._tensors: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def build(self, arguments: Arguments, like: Tensor) -> Tensor:
        """Return ``(rotations, batch, rows, rows)``."""
        place = (like.dtype, like.device)
        if place not in self._tensors:
            self._tensors[place] = torch.tensor(self._terms, dtype=like.dtype, device=like.device)
        table = self._tensors[place]
        theta = self._angles.evaluate(arguments.inputs, arguments.weights, like)
        theta = theta.expand(-1, arguments.batch)[:, :, None, None]
        same = torch.addcmul(table[0], table[1], torch.cos(theta))
        return torch.addcmul(same, table[2], torch.sin(theta))


class SampleStarts:
    """Qubits that begin with a rotation whose angle each sample has for itself, all at once.

    Args:
        places: Component to its rotation, and the vector ``(4, 1)`` that is turned.
        inputs: The parameters that each sample has its own values of.
        weights: The parameters that all samples share.
    """

    def __init__(
        self,
        places: dict[int, tuple[Event, np.ndarray]],
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
    ) -> None:
        self._components = list(places)
        turned = [
            [term @ vector for term in rotation_terms(event.pauli)]
            for event, vector in places.values()
        ]
        self._terms = np.array(turned).swapaxes(0, 1)
        angles = [event.angle for event, _ in places.values() if event.angle is not None]
        self._angles = Angles(angles, inputs, weights)
        self._tensors: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def build(self, arguments: Arguments, like: Tensor) -> dict[int, Tensor]:
        """Return the vectors ``(4, batch)`` of the components."""
        place = (like.dtype, like.device)
        if place not in self._tensors:
            self._tensors[place] = torch.tensor(self._terms, dtype=like.dtype, device=like.device)
        table = self._tensors[place]  # (3, components, 4, 1)
        theta = self._angles.evaluate(arguments.inputs, arguments.weights, like).unsqueeze(1)
        same = torch.addcmul(table[0], table[1], torch.cos(theta))
        vectors = torch.addcmul(same, table[2], torch.sin(theta))
        return dict(zip(self._components, vectors.unbind(0), strict=True))


def _without_rounding(array: np.ndarray) -> np.ndarray:
    return np.where(np.abs(array) < _ROUNDING, 0.0, array)


def _masks(factors: Sequence[np.ndarray]) -> Masks:
    """Return the entries that matter of a product of factors, each with three terms."""
    found = np.eye(factors[0].shape[-1], dtype=bool)
    for terms in factors:
        found = (terms != 0).any(0) @ found
    if len(factors) == 1:
        return found, (factors[0][1:] != 0).any(0)
    return found, found


def _rotation(
    event: Event, register: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return c0, c1 and signs ``(d, 1, 1)``, and the partner rows ``(d,)``."""
    names = list(reversed(register))
    c0, c1, c2 = (on_axes(term, event.qubits, names, 4) for term in rotation_terms(event.pauli))
    partner = np.abs(c2).argmax(axis=1)
    signs = c2[np.arange(len(c2)), partner]
    return (
        np.diag(c0)[:, None, None].copy(),
        np.diag(c1)[:, None, None].copy(),
        signs[:, None, None],
        partner,
    )


def _integers(early: list[int], late: list[int], alone: list[int]) -> _Level:
    kind = np.int64
    return np.array(early, kind), np.array(late, kind), np.array(alone, kind)
