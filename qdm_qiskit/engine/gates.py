"""Matrices of parameterized gates in one form, so that all of a program are evaluated together.

Every entry of every standard gate is ``(k + c cos(angle / 2) + s sin(angle / 2)) exp(i p angle) f``:
the gate is five small arrays. Sines are no shifted cosines, since a large angle would lose the shift to
rounding. Matrices follow Qiskit's order (a gate's first qubit is the least significant bit). Gates
that stand in no table are decomposed by Qiskit's definition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_PAULI = {
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.array([[1, 0], [0, -1]], dtype=complex),
}


@dataclass(frozen=True, eq=False)
class GateForm:
    """A gate of one angle; all arrays are ``(d * d,)``, row by row."""

    constant: np.ndarray
    """k."""
    cosine: np.ndarray
    """c."""
    sine: np.ndarray
    """s; at most one of k, c and s is not 0, and that one is 1 or -1."""
    phase: np.ndarray
    """p."""
    factor: np.ndarray
    """f: a power of i."""

    @property
    def size(self) -> int:
        """d."""
        return math.isqrt(len(self.phase))

    @property
    def used(self) -> np.ndarray:
        """Entries that are not always zero."""
        return (self.constant != 0) | self.varies

    @property
    def varies(self) -> np.ndarray:
        """Entries whose modulus depends on the angle."""
        return (self.cosine != 0) | (self.sine != 0)

    @property
    def is_real(self) -> bool:
        """Whether no entry ever has an imaginary part."""
        return not self.phase[self.used].any() and not self.factor[self.used].imag.any()

    @property
    def is_diagonal(self) -> bool:
        """Whether only phases on the diagonal depend on the angle, and all else is zero."""
        diagonal = np.eye(self.size, dtype=bool).reshape(-1)
        return not self.used[~diagonal].any() and not self.varies[diagonal].any()

    @property
    def active(self) -> np.ndarray:
        """Rows on which the gate differs from the identity, whatever its angle is."""
        d = self.size
        idle = (self.constant == np.eye(d).reshape(-1)) & ~self.varies
        idle &= (self.constant == 0) | ((self.phase == 0) & (self.factor == 1))
        rows = idle.reshape(d, d)
        return np.flatnonzero(~(rows.all(axis=0) & rows.all(axis=1)))

    def part(self, entries: np.ndarray) -> GateForm:
        """Some of its entries only."""
        return GateForm(
            self.constant[entries],
            self.cosine[entries],
            self.sine[entries],
            self.phase[entries],
            self.factor[entries],
        )

    @property
    def generator(self) -> np.ndarray:
        """X in ``matrix(angle) = exp(angle * X)``."""
        slope = self.sine / 2 + 1j * self.phase * (self.constant + self.cosine)
        return (slope * self.factor).reshape(self.size, self.size)

    def matrix(self, angle: float) -> np.ndarray:
        """The matrix for an angle in radians."""
        modulus = self.constant + self.cosine * np.cos(angle / 2) + self.sine * np.sin(angle / 2)
        values = modulus * np.exp(1j * self.phase * angle) * self.factor
        return values.reshape(self.size, self.size)


def _pauli_rotation(paulis: str) -> GateForm:
    """exp(-i theta P / 2); the last letter acts on the gate's first qubit."""
    pauli = np.ones((1, 1), dtype=complex)
    for letter in paulis:
        pauli = np.kron(pauli, _PAULI[letter])
    size = pauli.size
    zero, one = np.zeros(size), np.ones(size, dtype=complex)
    unit = np.eye(len(pauli)).reshape(-1)
    if not (pauli - np.diag(np.diag(pauli))).any():
        return GateForm(unit, zero, zero, -pauli.reshape(-1).real / 2, one)
    # cos(theta / 2) - i sin(theta / 2) P
    values = -1j * pauli.reshape(-1)
    turned = values.imag != 0
    return GateForm(zero, unit, values.real + values.imag, zero, np.where(turned, 1j, one))


def _controlled(form: GateForm) -> GateForm:
    """One control, the gate's first and least significant qubit, that acts on 1."""
    d = form.size
    full = np.zeros((2 * d, 2 * d), dtype=int) - 1
    full[1::2, 1::2] = np.arange(d * d).reshape(d, d)
    chosen, where = full.reshape(-1), full.reshape(-1) >= 0
    ones = np.eye(2 * d, dtype=bool).reshape(-1) & ~where

    def spread(values: np.ndarray) -> np.ndarray:
        out = np.zeros(len(chosen), dtype=values.dtype)
        out[where] = values[chosen[where]]
        return out

    return GateForm(
        spread(form.constant) + ones,
        spread(form.cosine),
        spread(form.sine),
        spread(form.phase),
        np.where(where, spread(form.factor), 1),
    )


_PHASE = GateForm(
    np.array([1.0, 0.0, 0.0, 1.0]),
    np.zeros(4),
    np.zeros(4),
    np.array([0.0, 0.0, 0.0, 1.0]),
    np.ones(4, dtype=complex),
)
_RX, _RY, _RZ = (_pauli_rotation(letter) for letter in "XYZ")

FORMS: dict[str, GateForm] = {
    "rx": _RX,
    "ry": _RY,
    "rz": _RZ,
    "p": _PHASE,
    "u1": _PHASE,
    "rxx": _pauli_rotation("XX"),
    "ryy": _pauli_rotation("YY"),
    "rzz": _pauli_rotation("ZZ"),
    "rzx": _pauli_rotation("XZ"),
    "crx": _controlled(_RX),
    "cry": _controlled(_RY),
    "crz": _controlled(_RZ),
    "cp": _controlled(_PHASE),
    "cu1": _controlled(_PHASE),
}
"""Qiskit's gate name to its form."""
