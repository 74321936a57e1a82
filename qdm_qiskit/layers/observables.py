"""Observables that are trained together with the circuit (adaptive non-local observables)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from qiskit.quantum_info import Operator, SparsePauliOp
from torch import Tensor, nn

from ..engine.evolution.hermitian_readout import matrix_expectations
from ..errors import InvalidData, InvalidOption

__all__ = [
    "MAX_GROUP",
    "AdaptiveObservables",
    "HermitianForm",
    "neighbouring_groups",
]

MAX_GROUP = 12
"""Number of qubits of the largest matrix, 4096 x 4096."""

HermitianForm = Literal["matrix", "triangular"]
"""Rule by which numbers become a Hermitian matrix; see :class:`AdaptiveObservables`."""


def neighbouring_groups(num_qubits: int, size: int) -> tuple[tuple[int, ...], ...]:
    """Return for each qubit the group of it and the next ``size - 1``, around the register's end.

    Args:
        num_qubits: Of the register.
        size: Qubits of a group; 2 or 3 for 2- and 3-local observables.

    Returns:
        ``num_qubits`` groups; one alone if they hold all qubits anyway.

    Raises:
        InvalidOption: If ``size`` is below 1 or above ``num_qubits``.
    """
    if not 1 <= size <= num_qubits:
        raise InvalidOption(f"Groups have 1 .. {num_qubits} qubits, got {size=}.")
    if size == num_qubits:
        return (tuple(range(num_qubits)),)
    return tuple(
        tuple((first + k) % num_qubits for k in range(size)) for first in range(num_qubits)
    )


class AdaptiveObservables(nn.Module):
    """Expectation values of K trainable Hermitian matrices.

    With ``form="matrix"`` an observable is ``(M + M^dagger) / 2`` of a free complex matrix M, stored
    as ``(K, 2**m, 2**m, 2)`` real and imaginary parts: ``2 * 4**m`` numbers, twice as many as it has
    degrees of freedom. With ``form="triangular"`` it is a real diagonal D and a strictly lower
    triangle ``A + i B`` with its adjoint above, stored as ``(K, 4**m)``: D, then A, then B, both row
    by row; no number is spent twice.

    Args:
        num_qubits: Of the states.
        num_observables: K; None takes one for each group.
        groups: The qubits of each observable, all groups of one size m, the first qubit of a group
            the least significant; all observables on all qubits if None.
        form: "matrix" or "triangular".
        init_std: Standard deviation of the normal initial numbers, at least 0.
        generator: Source of the initial numbers; torch's default if None.

    Raises:
        InvalidOption: If the counts, groups, form or ``init_std`` do not fit.

    References:
        Lin et al., "Adaptive Non-local Observable on Quantum Neural Networks", arXiv:2504.13414
        (k-local matrices of D, A, B, standard deviation 2); the QAMP 2025 model on 4 qubits (16
        free matrices, standard deviation 0.1).
    """

    def __init__(
        self,
        num_qubits: int,
        num_observables: int | None = None,
        *,
        groups: Sequence[Sequence[int]] | None = None,
        form: HermitianForm = "matrix",
        init_std: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.num_qubits = num_qubits
        self.groups = _groups(num_qubits, num_observables, groups)
        self.num_observables = len(self.groups)
        if form not in ("matrix", "triangular") or not 0 <= init_std < math.inf:
            raise InvalidOption(
                "AdaptiveObservables need form 'matrix' or 'triangular' and a finite init_std >= 0, "
                f"got {form=}, {init_std=}."
            )
        self.form = form
        d = 2 ** len(self.groups[0])
        shape = (d, d, 2) if form == "matrix" else (d * d,)
        self.entries = nn.Parameter(
            init_std * torch.randn(self.num_observables, *shape, generator=generator)
        )

    def matrices(self) -> Tensor:
        """Return the observables, ``(K, 2**m, 2**m)`` complex and Hermitian."""
        if self.form == "matrix":
            free = torch.view_as_complex(self.entries)
            return (free + free.mH) / 2
        d = 2 ** len(self.groups[0])
        half = d * (d - 1) // 2
        diagonal, real, imaginary = self.entries.split([d, half, half], dim=1)
        rows, columns = torch.tril_indices(d, d, -1, device=self.entries.device)
        lower = torch.complex(real, imaginary)
        found = torch.diag_embed(torch.complex(diagonal, torch.zeros_like(diagonal)))
        found = found.index_put(
            (torch.arange(len(found), device=found.device)[:, None], rows, columns), lower
        )
        return found.index_put(
            (torch.arange(len(found), device=found.device)[:, None], columns, rows), lower.conj()
        )

    def forward(self, statevector: Tensor) -> Tensor:
        """Expectation values.

        Args:
            statevector: ``(batch, 2**num_qubits)`` real or complex amplitudes in Qiskit's order.

        Returns:
            ``(batch, K)`` real, in the precision of the states.

        Raises:
            InvalidData: If the shape or dtype does not fit.
        """
        wanted = 2**self.num_qubits
        fits = statevector.ndim == 2 and statevector.shape[1] == wanted
        if not fits or not (statevector.is_floating_point() or statevector.is_complex()):
            raise InvalidData(
                f"States have shape (batch, {wanted}) of real or complex amplitudes, "
                f"got {tuple(statevector.shape)} of {statevector.dtype}."
            )
        matrices, state = self.matrices(), statevector.t()
        order = list(reversed(range(self.num_qubits)))
        distinct = list(dict.fromkeys(self.groups))
        if len(distinct) == 1:
            return matrix_expectations(state, order, matrices, distinct[0])
        found: list[Tensor] = [state.real.new_zeros(0)] * self.num_observables
        for group in distinct:
            members = [k for k, each in enumerate(self.groups) if each == group]
            values = matrix_expectations(state, order, matrices[members], group)
            for k, column in zip(members, values.unbind(1), strict=True):
                found[k] = column
        return torch.stack(found, dim=1)

    def pauli_decomposition(self, tolerance: float = 1e-12) -> list[SparsePauliOp]:
        """Return the observables as they stand, as sums of Paulis for a device.

        Args:
            tolerance: Coefficients of at most this modulus are left out.

        Returns:
            K operators on all ``num_qubits`` with real coefficients; up to ``4**m`` terms each.
        """
        found = []
        matrices = self.matrices().detach().to("cpu", torch.complex128).numpy()
        for matrix, group in zip(matrices, self.groups, strict=True):
            local = SparsePauliOp.from_operator(Operator(matrix))
            local = SparsePauliOp(local.paulis, np.real(local.coeffs)).simplify(atol=tolerance)
            found.append(local.apply_layout(list(group), self.num_qubits))
        return found

    def extra_repr(self) -> str:
        """Return the line that ``print(model)`` shows."""
        return (
            f"qubits={self.num_qubits}, observables={self.num_observables}, "
            f"locality={len(self.groups[0])}, form={self.form}"
        )


def _groups(
    num_qubits: int, num_observables: int | None, groups: Sequence[Sequence[int]] | None
) -> tuple[tuple[int, ...], ...]:
    """Return the qubits of each observable, checked."""
    if num_qubits < 1:
        raise InvalidOption(f"Observables act on at least 1 qubit, got {num_qubits=}.")
    if groups is None:
        if num_observables is None or num_observables < 1:
            raise InvalidOption(
                "AdaptiveObservables need num_observables >= 1, or groups of qubits, "
                f"got {num_observables=}."
            )
        chosen = (tuple(range(num_qubits)),) * num_observables
    else:
        chosen = tuple(tuple(int(qubit) for qubit in group) for group in groups)
        fits = all(
            len(set(group)) == len(group) and all(0 <= q < num_qubits for q in group)
            for group in chosen
        )
        if not chosen or not chosen[0] or len({len(each) for each in chosen}) > 1 or not fits:
            raise InvalidOption(
                f"Groups are of one size and hold distinct qubits below {num_qubits}, got {chosen}."
            )
        if num_observables not in (None, len(chosen)):
            raise InvalidOption(
                f"There is one group for each observable, got {num_observables=} and "
                f"{len(chosen)} groups."
            )
    if len(chosen[0]) > MAX_GROUP:
        raise InvalidOption(
            f"A trainable matrix acts on at most {MAX_GROUP} qubits, got {len(chosen[0])}; "
            "name smaller groups."
        )
    return chosen
