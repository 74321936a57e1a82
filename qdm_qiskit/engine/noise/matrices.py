"""Transfer matrices of all blocks with weights, built at once.

The transfer matrix of exp(-i t P / 2) is ``C0 + cos(t) C1 + sin(t) C2``. A block with j such rotations
is a product of j of them, each of which has taken in the fixed channels beside it when the program
was compiled. All factors of one size are evaluated together and multiplied as a tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from qiskit.circuit import Parameter, ParameterExpression
from torch import Tensor

from ..lowering.angles import Tree
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

_Factor = tuple[np.ndarray, ParameterExpression | Tree]
"""C0, C1 and C2 with what channels add, ``(3, size, size)``, and the angle."""


class _Table(NamedTuple):
    """Factors of one size: C0 ``(factors, 1, size**2)``, and C1 beside C2 ``(factors, 2, size**2)``."""

    rest: np.ndarray
    both: np.ndarray


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
        self._chains: dict[int, list[list[_Factor]]] = {}
        """By size: the factors of each block in the order in which they act."""
        self._masks: dict[tuple[object, int], Masks] = {}
        self._rows: dict[tuple[int, int], int] = {}
        """Size and number of a chain to where its matrix is in the stack of that size."""
        self._levels: dict[int, list[int]] = {}
        """By size: how many pairs are multiplied, level by level."""
        self._tables: dict[int, _Table] = {}
        self._counts: list[int] = []
        """Factors of each size, in the order of the angles."""
        self._angles: Angles | None = None
        self._tensors: dict[tuple[object, torch.dtype, torch.device], Tensor] = {}

    def add(self, events: Sequence[Event], axes: Sequence[int]) -> tuple[object, int]:
        """Register a block.

        Args:
            events: Its channels and rotations in order.
            axes: The qubits of its matrix, the first most significant.

        Returns:
            The key of its matrix.
        """
        register = list(reversed(axes))
        size = 4 ** len(register)
        total = np.eye(size)
        factors: list[np.ndarray] = []
        angles: list[ParameterExpression | Tree] = []
        for event in events:
            if event.channel is not None:
                total = on_axes(event.channel.transfer, event.qubits, register, 4) @ total
                if factors:
                    # Channels after a rotation belong to that rotation.
                    factors[-1] = (
                        on_axes(event.channel.transfer, event.qubits, register, 4) @ factors[-1]
                    )
                continue
            assert event.angle is not None  # rotations have one
            terms = [
                on_axes(term, event.qubits, register, 4) for term in rotation_terms(event.pauli)
            ]
            factors.append(np.stack(terms) if factors else np.stack(terms) @ total)
            angles.append(event.angle)
        if not factors:
            total = _without_rounding(total)
            self._fixed.append(total)
            self._masks["fixed", len(self._fixed) - 1] = total != 0, np.zeros_like(total, bool)
            return ("fixed", len(self._fixed) - 1)
        factors = [_without_rounding(each) for each in factors]
        chains = self._chains.setdefault(size, [])
        chains.append(list(zip(factors, angles, strict=True)))
        self._masks[size, len(chains) - 1] = _masks(factors)
        return (size, len(chains) - 1)

    def masks(self, key: tuple[object, int]) -> Masks:
        """Return the entries of a matrix, by its key, that matter."""
        return self._masks[key]

    def finish(self, inputs: Sequence[Parameter], weights: Sequence[Parameter]) -> None:
        """Plan the products.

        Chains are filled up with ones to powers of two, so that what is multiplied at a level lies
        side by side: the earlier factors, then the later ones, then the chains that have ended.

        Args:
            inputs: The parameters that each sample has its own values of.
            weights: The parameters that all samples share.
        """
        expressions: list[ParameterExpression | Tree] = []
        for size, chains in self._chains.items():
            filled = [_filled(chain, size) for chain in chains]
            order = sorted(range(len(filled)), key=lambda k: -len(filled[k]))
            self._rows |= {(size, chain): row for row, chain in enumerate(order)}
            nodes = [(chain, 0) for chain in order]
            depth = len(filled[order[0]]).bit_length() - 1
            levels = [sum(len(each) >> k for each in filled) for k in range(1, depth + 1)]
            for pairs in reversed(levels):  # from what comes out to what goes in
                early = [(chain, 2 * k) for chain, k in nodes[:pairs]]
                late = [(chain, 2 * k + 1) for chain, k in nodes[:pairs]]
                nodes = early + late + nodes[pairs:]
            self._levels[size] = levels
            factors = [filled[chain][k] for chain, k in nodes]
            terms = np.stack([matrices for matrices, _ in factors]).reshape(len(factors), 3, -1)
            self._tables[size] = _Table(terms[:, :1], terms[:, 1:])
            expressions += [angle for _, angle in factors]
            self._counts.append(len(factors))
        if expressions:
            self._angles = Angles(expressions, inputs, weights)

    @property
    def joined(self) -> frozenset[str]:
        """See :attr:`Angles.joined`."""
        return frozenset() if self._angles is None else self._angles.joined

    def row(self, size: int, chain: int) -> int:
        """Return where the matrix of a block with weights is in its stack, by the parts of its key."""
        return self._rows[size, chain]

    def build(self, weights: Tensor | None, like: Tensor) -> dict[object, Tensor]:
        """Return all matrices by their key.

        Args:
            weights: ``(num_weights,)``.
            like: Real; gives dtype and device.
        """
        found: dict[object, Tensor] = {
            ("fixed", row): self._tensor(("fixed", row), array, like)
            for row, array in enumerate(self._fixed)
        }
        stacks = {size: stack.unbind(0) for size, stack in self.stacks(weights, like).items()}
        for (size, chain), row in self._rows.items():
            found[size, chain] = stacks[size][row]
        return found

    def fixed(self, row: int) -> np.ndarray:
        """Return the matrix of a block without weights, the second part of whose key is given."""
        return self._fixed[row]

    def stacks(self, weights: Tensor | None, like: Tensor) -> dict[int, Tensor]:
        """Return the matrices of blocks with weights by their size, ``(blocks, size, size)``.

        Args:
            weights, like: As for :meth:`build`.
        """
        if self._angles is None:
            return {}
        angles = self._angles.evaluate(None, weights, like)
        turns = torch.cat([torch.cos(angles), torch.sin(angles)], 1).unsqueeze(1)
        found: dict[int, Tensor] = {}
        for (size, table), each in zip(
            self._tables.items(), turns.split(self._counts), strict=True
        ):
            rest, both = (self._tensor((size, k), array, like) for k, array in enumerate(table))
            values = torch.baddbmm(rest, each, both).view(-1, size, size)
            for pairs in self._levels[size]:
                early, late, ended = values.split([pairs, pairs, len(values) - 2 * pairs])
                values = torch.bmm(late, early)
                if len(ended):
                    values = torch.cat([values, ended])
            found[size] = values
        return found

    def _tensor(self, key: object, array: np.ndarray, like: Tensor) -> Tensor:
        place = (key, like.dtype, like.device)
        if place not in self._tensors:
            self._tensors[place] = torch.tensor(array, dtype=like.dtype, device=like.device)
        return self._tensors[place]


def _filled(chain: list[_Factor], size: int) -> list[_Factor]:
    """Return a chain with ones at its end, so that it has a power of two of factors."""
    missing = 2 ** (len(chain) - 1).bit_length() - len(chain)
    one = np.stack([np.eye(size), np.zeros((size, size)), np.zeros((size, size))])
    return [*chain, *[(one, chain[0][1])] * missing]  # whatever the angle


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
        self.joined = self._angles.joined
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
        self._terms = np.array(turned).reshape(len(turned), 3, 4).swapaxes(1, 2)
        angles = [event.angle for event, _ in places.values() if event.angle is not None]
        self._angles = Angles(angles, inputs, weights)
        self.joined = self._angles.joined
        self._tensors: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def build(self, arguments: Arguments, like: Tensor) -> dict[int, Tensor]:
        """Return the vectors ``(4, batch)`` of the components."""
        place = (like.dtype, like.device)
        if place not in self._tensors:
            self._tensors[place] = torch.tensor(self._terms, dtype=like.dtype, device=like.device)
        table = self._tensors[place]  # (components, 4, 3)
        theta = self._angles.evaluate(arguments.inputs, arguments.weights, like)
        turns = torch.stack([torch.cos(theta), torch.sin(theta)], 1)
        vectors = torch.baddbmm(table[:, :, :1], table[:, :, 1:], turns)
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
