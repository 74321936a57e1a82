"""Gates after lowering, and the index arithmetic that blocks and layouts share.

Qubits inside a block or a register are listed least significant first, as Qiskit lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

from .angles import Angle
from .gate_forms import FORMS, GateForm

__all__ = [
    "TOLERANCE",
    "UNITARY",
    "Kind",
    "Monomial",
    "Operation",
    "Segment",
    "as_real",
    "bits_at",
    "embedding",
    "fixed_product",
    "with_bits",
]

UNITARY = 1e-12
"""Fixed gates that miss unitarity by more are not undone, since each would make the error grow."""
TOLERANCE = 1e-12
"""Size below which an entry of a fixed matrix is zero."""


Kind = Literal["block", "monomial", "sample", "project"]
"""Form in which gates are applied: as a matrix, a permutation with phases, a matrix of each sample's
own, or a projection."""


@dataclass(frozen=True, eq=False)
class Operation:
    """One gate or projection."""

    qubits: tuple[int, ...]
    """Qiskit indices in the gate's own order, least significant first."""
    fixed: np.ndarray | None = None
    """The matrix of a gate without parameters."""
    gate: str = ""
    """Name in :data:`.gate_forms.FORMS` of a parameterized gate."""
    angles: tuple[Angle, ...] = ()
    """Its angles."""
    outcome: int | None = None
    """Outcome that a projection keeps."""
    to_zero: bool = False
    """True if a projection resets the qubit to 0 afterwards."""

    @cached_property
    def depends_on_inputs(self) -> bool:
        """True if each sample of a batch has its own matrix."""
        return any(angle.depends_on_inputs for angle in self.angles)

    @cached_property
    def kind(self) -> Kind:
        """Kind of the operation: "project", "sample" (depends on inputs) or "block"."""
        if self.outcome is not None:
            return "project"
        return "sample" if self.depends_on_inputs else "block"

    @property
    def form(self) -> GateForm:
        """The form of a parameterized gate."""
        return FORMS[self.gate]

    @cached_property
    def is_unitary(self) -> bool:
        """True if a fixed matrix is unitary to rounding; Qiskit accepts some that are not quite."""
        if self.fixed is None:
            return True
        change = self.fixed.conj().T @ self.fixed - np.eye(len(self.fixed))
        return bool(np.abs(change).max() < UNITARY)

    @cached_property
    def monomial(self) -> Monomial | None:
        """The gate as a permutation with phases, or None if it mixes basis states."""
        if self.outcome is not None:
            return None
        if self.fixed is not None:
            return _fixed_monomial(self.fixed)
        if not self.form.is_diagonal:
            return None
        diagonal = np.arange(self.form.size) * (self.form.size + 1)
        phases = {angle: self.form.phase[diagonal, k] for k, angle in enumerate(self.angles)}
        offset = self.form.phase_offset[diagonal]
        return Monomial(np.arange(self.form.size), np.exp(1j * offset), phases)


@dataclass
class Segment:
    """Neighbouring gates that one step applies."""

    kind: Kind
    operations: list[Operation]
    support: set[int] = field(default_factory=set)
    """Their qubits."""


@dataclass(frozen=True, eq=False)
class Monomial:
    """A permutation of basis states with phases.

    Column j becomes ``factors[j] * exp(i sum(phases[angle][j] * angle))`` in row ``rows[j]``.
    """

    rows: np.ndarray
    factors: np.ndarray
    """Fixed phases, complex of modulus 1."""
    phases: dict[Angle, np.ndarray]
    """Coefficient of each angle in each column."""

    @staticmethod
    def identity(size: int) -> Monomial:
        """Return the identity on ``size`` basis states."""
        return Monomial(np.arange(size), np.ones(size, dtype=complex), {})

    @cached_property
    def moves(self) -> bool:
        """True if any basis state changes its place."""
        return not np.array_equal(self.rows, np.arange(len(self.rows)))

    @cached_property
    def turns(self) -> bool:
        """True if any basis state gets a fixed phase."""
        return bool((np.abs(self.factors - 1) > TOLERANCE).any())

    def then(self, later: Monomial) -> Monomial:
        """Return the product: this one, then ``later``."""
        phases = dict(self.phases)
        for angle, values in later.phases.items():
            moved = values[self.rows]
            phases[angle] = phases[angle] + moved if angle in phases else moved
        factors = self.factors * later.factors[self.rows]
        return Monomial(later.rows[self.rows], factors, phases)

    def spread(self, num_bits: int, positions: Sequence[int]) -> Monomial:
        """Return the same on some bits of a larger register, its least significant bit first."""
        index = np.arange(2**num_bits)
        inner = bits_at(index, positions)
        return Monomial(
            with_bits(index, positions, self.rows[inner]),
            self.factors[inner],
            {angle: values[inner] for angle, values in self.phases.items()},
        )


def _fixed_monomial(matrix: np.ndarray) -> Monomial | None:
    hit = np.abs(matrix) > TOLERANCE
    if not ((hit.sum(axis=0) == 1).all() and (hit.sum(axis=1) == 1).all()):
        return None
    rows = hit.argmax(axis=0)
    factors = matrix[rows, np.arange(len(matrix))].astype(complex)
    return Monomial(rows, factors, {}) if np.allclose(np.abs(factors), 1) else None


def bits_at(index: np.ndarray, positions: Sequence[int]) -> np.ndarray:
    """Return the bits of each index at some positions, packed, the first least significant."""
    packed = np.zeros_like(index)
    for k, position in enumerate(positions):
        packed |= ((index >> position) & 1) << k
    return packed


def with_bits(index: np.ndarray, positions: Sequence[int], value: np.ndarray) -> np.ndarray:
    """Return each index with the bits at some positions replaced by those of ``value``."""
    for k, position in enumerate(positions):
        index = (index & ~(1 << position)) | (((value >> k) & 1) << position)
    return index


def embedding(num_bits: int, positions: Sequence[int]) -> np.ndarray:
    """Return :func:`_embedding`; its result is shared and must not be written to."""
    return _embedding(num_bits, tuple(positions))


@lru_cache(maxsize=4096)
def _embedding(num_bits: int, positions: tuple[int, ...]) -> np.ndarray:
    """Return where each entry of an embedded gate comes from.

    Args:
        num_bits: Bits of the register.
        positions: Bits on which the gate acts, its least significant first.

    Returns:
        ``(2**num_bits, 2**num_bits)`` indices into the gate's flat matrix; the index one past its end
        stands for zero.
    """
    size = 2 ** len(positions)
    index = np.arange(2**num_bits)
    inner = bits_at(index, positions)
    rest = with_bits(index, positions, np.zeros_like(index))
    same = rest[:, None] == rest[None, :]
    return np.where(same, inner[:, None] * size + inner[None, :], size * size)


def fixed_product(operations: Sequence[Operation], qubits: Sequence[int]) -> np.ndarray:
    """Return the matrix of gates without parameters on the given qubits, least significant first."""
    place = {qubit: k for k, qubit in enumerate(qubits)}
    total: np.ndarray | None = None
    for operation in operations:
        assert operation.fixed is not None  # the caller has looked
        flat = np.append(np.asarray(operation.fixed, dtype=complex).reshape(-1), 0)
        positions = [place[qubit] for qubit in operation.qubits]
        matrix = flat[embedding(len(qubits), positions)]
        total = matrix if total is None else matrix @ total
    return np.eye(2 ** len(qubits), dtype=complex) if total is None else total


def as_real(array: np.ndarray) -> np.ndarray:
    """Return the array without its imaginary part, if that is zero."""
    return array if np.iscomplexobj(array) and array.imag.any() else array.real
