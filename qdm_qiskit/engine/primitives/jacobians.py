"""Whole Jacobians of a program, sample by sample.

In reverse for expectation values, of which there are few; forward for probabilities, of which there
are more than parameters.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.func import jvp, vmap

from ..program import CircuitProgram
from .batches import row_slices
from .circuit_cache import BoundRows

__all__ = [
    "FORWARD_CHUNK",
    "REVERSE_CHUNK",
    "reverse_jacobian",
    "state_tangents",
]

REVERSE_CHUNK = 2**17
"""Amplitudes of one reverse pass; 2 MiB in complex128, which a core's cache holds."""
FORWARD_CHUNK = 2**18
"""Amplitudes of the tangents that are computed at once."""


def reverse_jacobian(
    bound: BoundRows, evaluate: Callable[[Tensor], Tensor], num_outputs: int
) -> Tensor:
    """Return the derivatives of few outputs; each row runs once for each output.

    Args:
        bound: The rows.
        evaluate: States ``(batch, 2**n)`` to real outputs ``(batch, num_outputs)``.
        num_outputs: At least 1.

    Returns:
        ``(rows, num_outputs, len(bound.columns))``.
    """
    n, rows = bound.program.num_qubits, len(bound.inputs)
    found = bound.inputs.new_zeros(rows, num_outputs, len(bound.columns))
    for chosen in row_slices(num_outputs, n, REVERSE_CHUNK):
        outputs = range(num_outputs)[chosen]
        for part in row_slices(rows, n, REVERSE_CHUNK // len(outputs)):
            inputs = bound.inputs[part].repeat_interleave(len(outputs), dim=0)
            with torch.enable_grad():
                inputs.requires_grad_()
                values = evaluate(bound.statevector(inputs))
                values = values.view(-1, len(outputs), num_outputs)
                own = values[:, :, chosen].diagonal(dim1=1, dim2=2)
                # Plus nothing, so that there is a gradient where no output depends on the inputs.
                (grad,) = torch.autograd.grad(own.sum() + 0 * inputs.sum(), inputs)
            found[part, chosen] = grad.view(-1, len(outputs), len(bound.columns))
    return found


def state_tangents(
    program: CircuitProgram,
    inputs: Tensor | None,
    weights: Tensor,
    initial_state: Tensor | None = None,
    *,
    initial_qubits: Sequence[int] | None = None,
    input_columns: Sequence[int] = (),
    weight_columns: Sequence[int] = (),
) -> tuple[Tensor, Tensor]:
    """Return states and their derivatives, by forward mode.

    Weights that the samples share stay folded into blocks; each direction costs about one forward
    pass, whatever the number of outputs.

    Args:
        program: The circuit.
        inputs, weights, initial_state, initial_qubits: As for
            :meth:`~qdm_qiskit.engine.CircuitProgram.statevector`.
        input_columns, weight_columns: In which inputs and weights to differentiate.

    Returns:
        ``(batch, 2**n)`` and ``(len(input_columns) + len(weight_columns), batch, 2**n)`` complex.
    """
    _load_forward_mode()
    program = program.without_recomputation()  # nothing is stored in forward mode anyway
    given = weights.new_zeros(1, 0) if inputs is None else inputs

    def state(inputs: Tensor, weights: Tensor) -> Tensor:
        return program.statevector(
            inputs if inputs.shape[1] else None,
            weights,
            initial_state,
            initial_qubits=initial_qubits,
        )

    with torch.no_grad():
        psi = state(given, weights)
        a, b = given.shape[1], weights.shape[-1]
        wanted = [*input_columns, *(a + column for column in weight_columns)]
        directions = torch.eye(a + b, dtype=weights.dtype, device=weights.device)[wanted]

        def push(direction: Tensor) -> Tensor:
            ahead = (direction[:a].expand_as(given), direction[a:].expand_as(weights))
            return jvp(state, (given, weights), ahead)[1]

        tangents = psi.new_zeros(len(wanted), *psi.shape)
        size = max(1, FORWARD_CHUNK // max(1, psi.numel()))
        for start in range(0, len(wanted), size):
            part = slice(start, start + size)
            tangents[part] = vmap(push)(directions[part])
    return psi, tangents


@cache
def _load_forward_mode() -> None:
    """Load torch's parts of forward mode, without the warning of their first use (2.13)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is", DeprecationWarning)
        importlib.import_module("torch._decomp.decompositions_for_jvp")
