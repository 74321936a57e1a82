"""Loaders of few CZ along a line: ``bricks:L`` and ``staircase:L``.

They load a vector nearly; how nearly depends on the vector, so each vector's fidelity is computed from
the angles that its circuit gets. A bound in the loader's name, as in ``staircase:4,0.05``, says how
much may be missed, and ``staircase:4,0.05,exact`` that the exact loader takes over where it is missed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import final

import numpy as np
from qiskit import QuantumCircuit

from ..errors import InvalidOption, InvalidTemplate
from .line_angles import (
    Turns,
    angles_of_turns,
    block_turns,
    first_block_turns,
    merged_turns,
)
from .line_circuits import (
    MAX_LINE,
    Pattern,
    block_places,
    checked_layers,
    line_circuit,
    line_pairs,
    line_states,
    off_line,
    on_line,
)
from .line_fit import Step, basis, fit_line
from .line_newton import fit_angles

__all__ = ["BrickLoader", "LineLoader", "StaircaseLoader"]

BLOCK_SWEEPS = 100
"""Sweeps over the blocks of SO(4) of real states."""
TURN_SWEEPS = 40
"""Sweeps over the rotations of complex states, each of which moves less than a block."""
EXACT = "exact"


class LineLoader(ABC):
    """A loader of RY (and RZ, for complex vectors) and CZ between neighbours on a line.

    Args:
        num_qubits: 1 to 12.
        argument: Layers; then, after a comma, the most that 1 - fidelity may come to; then ``exact``
            if vectors that miss it are loaded exactly, else they are an error.
        phases: Load complex vectors.

    Raises:
        InvalidOption: If the argument is another one.
        InvalidTemplate: If there are more qubits.
    """

    pattern: Pattern

    def __init__(self, num_qubits: int, argument: str, *, phases: bool = False) -> None:
        name = self.pattern
        layers, *more = argument.split(",")
        self.num_qubits, self.phases = num_qubits, phases
        self.layers = checked_layers(layers, name)
        self.error_bound = 1.0 if not more else _bound(more[0], name)
        self.fallback = more[1] if len(more) > 1 else None
        if len(more) > 2 or self.fallback not in (None, EXACT):
            raise InvalidOption(
                f"Loader '{name}' takes its layers, a bound and 'exact', as in '{name}:4,0.05,exact', "
                f"got '{argument}'."
            )
        if not 1 <= num_qubits <= MAX_LINE:
            raise InvalidTemplate(
                f"Loader '{name}' fills 1 to {MAX_LINE} qubits, got {num_qubits}; take '{EXACT}'."
            )
        self.pairs = line_pairs(name, num_qubits, self.layers)

    @property
    def name(self) -> str:
        """Name by which :func:`.make_loader` makes it."""
        parts = [str(self.layers)]
        if self.error_bound < 1 or self.fallback:
            parts.append(f"{self.error_bound:g}")
        return f"{self.pattern}:{','.join([*parts, *([self.fallback] if self.fallback else [])])}"

    def circuit(self) -> QuantumCircuit:
        """Return the circuit; see :func:`.line_circuits.line_circuit`."""
        name = f"{self.pattern}_{self.layers}"
        return line_circuit(self.num_qubits, self.pairs, phases=self.phases, name=name)

    def angles(self, data: np.ndarray) -> np.ndarray:
        """Return angles with which the circuit's state is near each vector.

        Args:
            data: ``(batch, 2**n)`` with unit rows, real unless made with phases.

        Returns:
            ``(batch, num_parameters)`` radians.
        """
        vectors = self.along(data)
        if self.num_qubits == 1:
            return _one_qubit(vectors, phases=self.phases)
        if not self.steps:
            return fit_angles(vectors, self.num_qubits, self.pairs)
        p, q = fit_line(vectors, self.steps, sweeps=self.sweeps)
        return self.angles_of(p, q)

    def along(self, data: np.ndarray) -> np.ndarray:
        """Return vectors in the line's order, real or complex as the circuit."""
        vectors = on_line(data, self.num_qubits)
        return vectors.astype(complex) if self.phases else vectors

    @property
    def sweeps(self) -> int:
        """Sweeps of a fit by :attr:`steps`."""
        return TURN_SWEEPS if self.phases else BLOCK_SWEEPS

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Steps of the sweeps that fit the circuit; none where least squares do."""
        if self.phases:
            return (*_first_turns(self.num_qubits), *(Step("brick", k) for k in self.pairs))
        return self._real_steps()

    @abstractmethod
    def _real_steps(self) -> tuple[Step, ...]:
        """Return the steps for real vectors, of two qubits or more."""

    def angles_of(self, p: list[np.ndarray], q: list[np.ndarray]) -> np.ndarray:
        """Return the circuit's angles from the vectors of its steps; see :func:`.fit_line`."""
        gates: list[tuple[int, Turns, bool]] = []
        for step, left, right in zip(self.steps, p, q, strict=True):
            if step.kind != "block":
                gates.append((step.at, [(left, right)], step.kind == "turn"))
            elif gates:
                gates.append((step.at, block_turns(left, right), True))
            else:
                matrices = np.einsum("ba,bc,acij->bij", left, right, basis("block", False))
                start = matrices[:, :, 0].reshape(-1, 2, 2)
                gates.append((step.at, first_block_turns(start), True))
        slots = merged_turns(self.num_qubits, len(p[0]), gates)
        return angles_of_turns(slots, self.num_qubits, self.pairs, phases=self.phases)

    def states(self, angles: np.ndarray) -> np.ndarray:
        """Return what the circuit makes of some angles, ``(batch, 2**n)`` in Qiskit's order."""
        found = line_states(angles, self.num_qubits, self.pairs, phases=self.phases)
        return off_line(found, self.num_qubits)

    def fidelities(self, data: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Return each vector's fidelity with the state that its angles make, ``(batch,)``.

        The states are computed from the angles alone, in double precision.
        """
        states = line_states(angles, self.num_qubits, self.pairs, phases=self.phases)
        wanted = on_line(data, self.num_qubits)
        return np.minimum(np.abs((wanted.conj() * states).sum(axis=1)) ** 2, 1.0)


@final
class BrickLoader(LineLoader):
    """Layers of one CZ on disjoint pairs, even and odd in turn: as deep as it has layers.

    >>> loader = BrickLoader(6, "8")
    >>> len(loader.pairs), loader.circuit().depth(lambda each: each.operation.num_qubits == 2)
    (20, 8)
    """

    pattern = "bricks"

    def _real_steps(self) -> tuple[Step, ...]:
        return ()


@final
class StaircaseLoader(LineLoader):
    """Layers of one block of SO(4) a pair, from the middle outwards; a block has two CZ.

    One layer is any matrix-product state of bond dimension 2 along the line.

    >>> loader = StaircaseLoader(8, "5")
    >>> len(loader.pairs), loader.circuit().depth(lambda each: each.operation.num_qubits == 2)
    (69, 23)
    """

    pattern = "staircase"

    def _real_steps(self) -> tuple[Step, ...]:
        return tuple(Step("block", place) for place in block_places(self.num_qubits, self.layers))


def _bound(text: str, name: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found <= 1:
        raise InvalidOption(
            f"The bound of loader '{name}' is the most that 1 - fidelity may come to, above 0 and at "
            f"most 1, as in '{name}:4,0.05', got '{text}'."
        )
    return found


def _first_turns(num_qubits: int) -> list[Step]:
    """Return rotations of all qubits, pair by pair; of an odd number the last two pairs overlap."""
    return [Step("turn", k) for k in sorted({*range(0, num_qubits - 1, 2), num_qubits - 2})]


def _one_qubit(vectors: np.ndarray, *, phases: bool) -> np.ndarray:
    if not phases:
        return 2 * np.arctan2(vectors[:, 1:], vectors[:, :1])
    size = 2 * np.arctan2(np.abs(vectors[:, 1]), np.abs(vectors[:, 0]))
    return np.stack([size, np.angle(vectors[:, 1]) - np.angle(vectors[:, 0])], axis=1)
