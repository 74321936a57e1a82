"""Matrices of parameterized standard gates, as differentiable torch functions of their angles.

Each function takes real angle tensors of one shape ``s`` and returns a complex tensor of shape
``s + (d, d)`` in Qiskit's order (the gate's first qubit is the least significant). Gates without
parameters take their matrix from Qiskit, gates that stand in no table are decomposed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _phase(angle: Tensor) -> Tensor:
    return torch.complex(torch.cos(angle), torch.sin(angle))


def _half(theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    cos, sin = torch.cos(theta / 2), torch.sin(theta / 2)
    return cos, sin, torch.zeros_like(cos)


def rx(theta: Tensor) -> Tensor:
    """exp(-i theta X / 2)."""
    cos, sin, zero = _half(theta)
    diagonal, off = torch.complex(cos, zero), torch.complex(zero, -sin)
    return _matrix([[diagonal, off], [off, diagonal]])


def ry(theta: Tensor) -> Tensor:
    """exp(-i theta Y / 2)."""
    cos, sin, zero = _half(theta)
    return torch.complex(_matrix([[cos, -sin], [sin, cos]]), _matrix([[zero, zero], [zero, zero]]))


def rz(theta: Tensor) -> Tensor:
    """exp(-i theta Z / 2)."""
    plus = _phase(theta / 2)
    return torch.diag_embed(torch.stack([plus.conj(), plus], dim=-1))


def phase(theta: Tensor) -> Tensor:
    """diag(1, exp(i theta))."""
    shifted = _phase(theta)
    return torch.diag_embed(torch.stack([torch.ones_like(shifted), shifted], dim=-1))


def u(theta: Tensor, phi: Tensor, lam: Tensor) -> Tensor:
    """The general single-qubit gate U(theta, phi, lambda)."""
    cos, sin, zero = _half(theta)
    c, s = torch.complex(cos, zero), torch.complex(sin, zero)
    return _matrix([[c, -_phase(lam) * s], [_phase(phi) * s, _phase(phi + lam) * c]])


def _pauli_pair(theta: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """exp(-i theta P / 2) for a two-qubit Pauli P, its matrix given as (flip, signs)."""
    cos, sin, zero = _half(theta)
    pauli = torch.kron(left, right).to(torch.complex(cos, zero).dtype).to(theta.device)
    identity = torch.eye(4, dtype=pauli.dtype, device=theta.device)
    return (
        torch.complex(cos, zero)[..., None, None] * identity
        + torch.complex(zero, -sin)[..., None, None] * pauli
    )


_X = torch.tensor([[0, 1], [1, 0]], dtype=torch.complex128)
_Y = torch.tensor([[0, -1j], [1j, 0]], dtype=torch.complex128)
_Z = torch.tensor([[1, 0], [0, -1]], dtype=torch.complex128)


def rxx(theta: Tensor) -> Tensor:
    """exp(-i theta XX / 2)."""
    return _pauli_pair(theta, _X, _X)


def ryy(theta: Tensor) -> Tensor:
    """exp(-i theta YY / 2)."""
    return _pauli_pair(theta, _Y, _Y)


def rzz(theta: Tensor) -> Tensor:
    """exp(-i theta ZZ / 2)."""
    return _pauli_pair(theta, _Z, _Z)


def rzx(theta: Tensor) -> Tensor:
    """exp(-i theta XZ / 2): Z on the first qubit, X on the second."""
    return _pauli_pair(theta, _X, _Z)


def _controlled(gate: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The gate with one control (the first, least significant qubit) that acts on 1."""

    def matrix(*angles: Tensor) -> Tensor:
        target = gate(*angles)
        full = torch.eye(4, dtype=target.dtype, device=target.device)
        full = full.expand(*target.shape[:-2], 4, 4).clone()
        full[..., 1::2, 1::2] = target
        return full

    return matrix


MATRICES: dict[str, Callable[..., Tensor]] = {
    "rx": rx,
    "ry": ry,
    "rz": rz,
    "p": phase,
    "u1": phase,
    "u": u,
    "u3": u,
    "rxx": rxx,
    "ryy": ryy,
    "rzz": rzz,
    "rzx": rzx,
    "crx": _controlled(rx),
    "cry": _controlled(ry),
    "crz": _controlled(rz),
    "cp": _controlled(phase),
    "cu1": _controlled(phase),
    "cu3": _controlled(u),
}
"""Qiskit's gate name to the matrix as a function of the gate's parameters."""
