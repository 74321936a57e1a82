"""Expectation values of whole Hermitian matrices, differentiable in their entries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import InvalidData

__all__ = [
    "DENSITY_ENTRIES",
    "check_matrices",
    "matrix_expectations",
]

DENSITY_ENTRIES = 2**23
"""Entries of reduced density matrices up to which one product reads out all matrices."""


def check_matrices(matrices: Tensor, qubits: Sequence[int], num_qubits: int) -> None:
    """Refuse matrices that do not fit the qubits.

    Raises:
        InvalidData: If a qubit is out of range or repeated, or the shape is not ``(K, 2**m, 2**m)``.
    """
    if len(set(qubits)) != len(qubits) or not all(0 <= q < num_qubits for q in qubits):
        raise InvalidData(f"qubits are distinct and below {num_qubits}, got {list(qubits)}.")
    d = 2 ** len(qubits)
    if not qubits or matrices.ndim != 3 or tuple(matrices.shape[1:]) != (d, d):
        raise InvalidData(
            f"matrices on the {len(qubits)} qubits {list(qubits)} have shape (K, {d}, {d}), "
            f"got {tuple(matrices.shape)}."
        )


def matrix_expectations(
    state: Tensor, order: Sequence[int], matrices: Tensor, qubits: Sequence[int]
) -> Tensor:
    """Return ``<psi|(M + M^dagger) / 2|psi>`` for every sample and matrix.

    Args:
        state: ``(2**n, batch)`` amplitudes, real or complex.
        order: Their qubits, most significant first.
        matrices: ``(K, 2**m, 2**m)`` real or complex.
        qubits: The m qubits, the first one the least significant bit of a matrix's rows.

    Returns:
        ``(batch, K)`` real.

    Raises:
        InvalidData: As :func:`check_matrices` does.
    """
    n, m, batch = len(order), len(qubits), state.shape[1]
    check_matrices(matrices, qubits, n)
    d = 2**m
    rest = [q for q in order if q not in set(qubits)]
    axes = [list(order).index(q) for q in (*reversed(qubits), *rest)]
    x = state.reshape(*[2] * n, batch).permute(n, *axes).reshape(batch, d, -1)
    complex_ = state.is_complex() or matrices.is_complex()
    real = state.real.dtype if state.is_complex() else state.dtype
    dtype = real.to_complex() if complex_ else real
    x, given = x.to(dtype), matrices.to(dtype)
    if batch * d * d <= DENSITY_ENTRIES:
        # Re tr(rho M) = sum Re(rho_ij) Re(M_ji) - Im(rho_ij) Im(M_ji): one real matrix product.
        rho = (x @ x.mH).reshape(batch, d * d)
        columns = given.mT.reshape(-1, d * d)
        if not complex_:
            return rho @ columns.t()
        pairs = torch.view_as_real(rho.conj().resolve_conj()).reshape(batch, -1)
        return pairs @ torch.view_as_real(columns).reshape(-1, 2 * d * d).t()
    products = [(x.conj() * (matrix @ x)).sum((1, 2)) for matrix in given]
    found = torch.stack(products, dim=1)
    return found.real if complex_ else found
