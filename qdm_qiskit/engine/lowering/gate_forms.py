"""Matrices of parameterized gates in one form, so that all of a program are evaluated together.

Every entry of every standard gate is ``scale * cos(a . angles + a0) * exp(i (p . angles + p0))``: the
gate is five small arrays. Matrices follow Qiskit's order (a gate's first qubit is the least
significant bit). Gates that stand in no table are decomposed by Qiskit's definition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = [
    "FORMS",
    "GateForm",
]

_PAULI = {
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.array([[1, 0], [0, -1]], dtype=complex),
}


@dataclass(frozen=True, eq=False)
class GateForm:
    """A parameterized gate; ``entries`` is ``d * d``, row by row."""

    cos: np.ndarray
    """``(entries, angles)``: a."""
    cos_offset: np.ndarray
    """``(entries,)``: a0."""
    phase: np.ndarray
    """``(entries, angles)``: p."""
    phase_offset: np.ndarray
    """``(entries,)``: p0."""
    scale: np.ndarray
    """``(entries,)``: 0 for an entry that is always zero, otherwise 1 or -1."""

    @property
    def size(self) -> int:
        """Number of rows, d."""
        return math.isqrt(len(self.scale))

    @property
    def is_real(self) -> bool:
        """True if no entry ever has an imaginary part."""
        used = self.scale != 0
        return not self.phase[used].any() and not self.phase_offset[used].any()

    @property
    def is_diagonal(self) -> bool:
        """True if only phases on the diagonal depend on the angles, and all else is zero."""
        diagonal = np.eye(self.size, dtype=bool).reshape(-1)
        return not self.scale[~diagonal].any() and not self.cos[diagonal].any()

    @property
    def active(self) -> np.ndarray:
        """Rows on which the gate differs from the identity, whatever its angle is."""
        d = self.size
        idle = (
            (self.scale == np.eye(d).reshape(-1)) & ~self.cos.any(axis=1) & (self.cos_offset == 0)
        )
        idle &= (self.scale == 0) | (~self.phase.any(axis=1) & (self.phase_offset == 0))
        rows = idle.reshape(d, d)
        return np.flatnonzero(~(rows.all(axis=0) & rows.all(axis=1)))

    def of_entries(self, entries: np.ndarray) -> GateForm:
        """Return the form of some of the entries."""
        return GateForm(
            self.cos[entries],
            self.cos_offset[entries],
            self.phase[entries],
            self.phase_offset[entries],
            self.scale[entries],
        )

    @property
    def generator(self) -> np.ndarray:
        """X in ``matrix(angle) = exp(angle * X)``; every gate here has one angle."""
        slope = -self.cos[:, 0] * np.sin(self.cos_offset)
        turn = 1j * self.phase[:, 0] * np.cos(self.cos_offset)
        values = self.scale * (slope + turn) * np.exp(1j * self.phase_offset)
        return values.reshape(self.size, self.size)

    def matrix(self, *angles: float) -> np.ndarray:
        """Return the matrix for given angles, in radians."""
        theta = np.asarray(angles, dtype=float)
        cos = np.cos(self.cos @ theta + self.cos_offset)
        phase = np.exp(1j * (self.phase @ theta + self.phase_offset))
        return (self.scale * cos * phase).reshape(self.size, self.size)


def _pauli_rotation(paulis: str) -> GateForm:
    """Return exp(-i theta P / 2); the last letter acts on the gate's first qubit."""
    pauli = np.ones((1, 1), dtype=complex)
    for letter in paulis:
        pauli = np.kron(pauli, _PAULI[letter])
    d = len(pauli)
    cos, cos_offset = np.zeros((d * d, 1)), np.zeros(d * d)
    phase, phase_offset = np.zeros((d * d, 1)), np.zeros(d * d)
    scale = np.zeros(d * d)
    diagonal = not (pauli - np.diag(np.diag(pauli))).any()
    for r in range(d):
        for c in range(d):
            entry = r * d + c
            if diagonal:
                if r == c:
                    scale[entry], phase[entry] = 1, -pauli[r, r].real / 2
            elif r == c:
                scale[entry], cos[entry] = 1, 0.5
            elif pauli[r, c]:
                # -i sin(theta/2) P, where sin x = cos(x - pi/2).
                value = -1j * pauli[r, c]
                cos[entry], cos_offset[entry] = 0.5, -math.pi / 2
                real = abs(value.imag) < 1e-9
                scale[entry] = value.real.round() if real else value.imag.round()
                phase_offset[entry] = 0 if real else math.pi / 2
    return GateForm(cos, cos_offset, phase, phase_offset, scale)


def _controlled(form: GateForm) -> GateForm:
    """Return the gate under a control on 1, its first and least significant qubit."""
    d = form.size
    full = np.zeros((2 * d, 2 * d), dtype=int) - 1
    full[1::2, 1::2] = np.arange(d * d).reshape(d, d)
    chosen, where = full.reshape(-1), full.reshape(-1) >= 0
    ones = np.eye(2 * d, dtype=bool).reshape(-1) & ~where

    def spread(values: np.ndarray) -> np.ndarray:
        out = np.zeros((len(chosen), *values.shape[1:]))
        out[where] = values[chosen[where]]
        return out

    return GateForm(
        spread(form.cos),
        spread(form.cos_offset),
        spread(form.phase),
        spread(form.phase_offset),
        spread(form.scale) + ones,
    )


_PHASE = GateForm(
    np.zeros((4, 1)),
    np.zeros(4),
    np.array([[0.0], [0.0], [0.0], [1.0]]),
    np.zeros(4),
    np.array([1.0, 0.0, 0.0, 1.0]),
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
