"""The Fubini-Study metric: how far states move when weights do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...arguments import of_kind
from ...errors import InvalidData, InvalidOption
from ..evolution.post_selection import check_selected
from ..program import CircuitProgram
from .batches import row_slices
from .jacobians import state_tangents

__all__ = [
    "METRIC_CHUNK",
    "fubini_study_metric",
]

METRIC_CHUNK = 2**22
"""Amplitudes of the tangents that are kept at once, 64 MiB in complex128."""


def fubini_study_metric(
    program: CircuitProgram,
    weights: Tensor,
    inputs: Tensor | None = None,
    initial_state: Tensor | None = None,
    *,
    initial_qubits: Sequence[int] | None = None,
    blocks: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Return the real part of the quantum geometric tensor, for each sample.

    ``g_ij = Re(<d_i psi|d_j psi> - <d_i psi|psi><psi|d_j psi>)``; where the program projects, of the
    normalised state. The squared distance of neighbouring states is ``1 - |<psi(w)|psi(w + d)>|**2
    = d^T g d + O(d**3)``; the quantum Fisher information is ``4 g``. Natural gradient descent solves
    ``g x = gradient``; its mean over a batch is ``.mean(0)``.

    Args:
        program: The circuit.
        weights: ``(P,)`` angles in radians, or ``(batch, P)``; their dtype and device are used.
        inputs: ``(batch, num_inputs)`` or None.
        initial_state: ``(batch, 2**k)`` or None.
        initial_qubits: The qubits that the initial state covers; all if None.
        blocks: Groups of positions of weights, such as layers, each weight in one of them. Only the
            entries within a group are computed, all others are 0. The full metric if None.

    Returns:
        ``(batch, P, P)`` real, symmetric, positive semidefinite up to rounding; detached. Batch is 1
        where neither inputs nor states are given.

    Raises:
        InvalidOption: If ``blocks`` is no partition of the weights.
        InvalidData: If shapes do not fit, values are not finite, or a state has norm zero.

    References:
        Stokes et al., "Quantum natural gradient", Quantum 4, 269 (2020), arXiv:1909.02108.
    """
    of_kind(program, CircuitProgram, "program", "compile_circuit makes one")
    of_kind(weights, Tensor, "weights", "torch.as_tensor makes one")
    count = program.num_weights
    groups = [list(range(count))] if blocks is None else [list(block) for block in blocks]
    if sorted(place for group in groups for place in group) != list(range(count)):
        raise InvalidOption(
            f"blocks name each of the weights 0 .. {count - 1} exactly once, got {groups}."
        )
    weights = weights.detach()
    inputs = None if inputs is None else inputs.detach()
    initial_state = None if initial_state is None else initial_state.detach()
    batched = {"inputs": inputs, "initial_state": initial_state}
    if weights.ndim == 2:
        batched["weights"] = weights
    sizes = {name: len(each) for name, each in batched.items() if each is not None}
    if len(set(sizes.values())) > 1:
        raise InvalidData(
            f"Arguments that differ between samples have one batch size, got {sizes}."
        )
    rows = next(iter(sizes.values()), 1)
    real = weights.dtype
    metric = torch.zeros(rows, count, count, dtype=real, device=weights.device)
    largest = max((len(group) for group in groups), default=1)
    for part in row_slices(rows, program.num_qubits, METRIC_CHUNK // max(1, largest)):
        for group in groups:
            psi, tangents = state_tangents(
                program,
                None if inputs is None else inputs[part],
                weights[part] if weights.ndim == 2 else weights,
                None if initial_state is None else initial_state[part],
                initial_qubits=initial_qubits,
                weight_columns=group,
            )
            index = torch.tensor(group, device=weights.device)
            norm = torch.linalg.vector_norm
            before = 1.0 if initial_state is None else norm(initial_state[part], dim=1)
            check_selected(norm(psi, dim=1), program.selections, before)
            metric[part, index[:, None], index] = _metric(psi, tangents.transpose(0, 1))
    return metric


def _metric(psi: Tensor, tangents: Tensor) -> Tensor:
    """Return the metric ``(batch, p, p)`` of ``(batch, 2**n)`` and ``(batch, p, 2**n)``."""
    norm = (psi.abs() ** 2).sum(1)[:, None, None]
    along = tangents.conj() @ psi.unsqueeze(2)  # <d_i psi|psi>
    overlaps = tangents.conj() @ tangents.transpose(1, 2)
    found = (overlaps / norm - along @ along.mH / norm**2).real
    return (found + found.mT) / 2  # symmetric in every bit
