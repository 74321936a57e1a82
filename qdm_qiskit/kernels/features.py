"""Features of inputs: what a circuit makes of each row, as real numbers."""

from __future__ import annotations

from typing import Literal, Protocol, final

import torch
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from ..circuits.spec import CircuitSpec
from ..engine import compile_circuit

__all__ = ["ExactFeatures", "Features", "Kind", "bloch_observables", "flat"]

Kind = Literal["fidelity", "projected"]
"""Kernel of whole states, or of the reduced states of single qubits."""


class Features(Protocol):
    """What a kernel asks of the circuit behind it."""

    numbers: int
    """Real numbers of a row's features."""
    work: int
    """Real numbers that a row takes while it is computed."""

    def __call__(self, values: Tensor, weights: Tensor | None) -> Tensor:
        """Return ``(rows, numbers)`` real; differentiable in the weights, and in angles.

        Args:
            values: ``(rows, inputs)`` angles, or unit amplitudes ``(rows, 2**n)``.
            weights: ``(num_weights,)`` or None.
        """
        ...


def bloch_observables(num_qubits: int) -> list[SparsePauliOp]:
    """Return X, Y and Z of each qubit, qubit 0 first.

    >>> [each.paulis.to_labels() for each in bloch_observables(2)][:4]
    [['IX'], ['IY'], ['IZ'], ['XI']]
    """
    return [
        SparsePauliOp.from_sparse_list([(letter, [qubit], 1.0)], num_qubits)
        for qubit in range(num_qubits)
        for letter in "XYZ"
    ]


def flat(states: Tensor) -> Tensor:
    """Return real parts, then imaginary parts, as one row each."""
    rows = states.flatten(1)
    return torch.cat([rows.real, rows.imag], dim=1)


@final
class ExactFeatures:
    """States, or Bloch vectors, of the circuit without noise.

    Args:
        spec: The circuit; its readout plays no part.
        kind: The kernel.
    """

    def __init__(self, spec: CircuitSpec, kind: Kind) -> None:
        self._spec = spec
        self._program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
        self._observables = bloch_observables(spec.num_qubits) if kind == "projected" else None
        self.numbers = 2 ** (spec.num_qubits + 1) if kind == "fidelity" else 3 * spec.num_qubits
        self.work = 3 * 2 ** (spec.num_qubits + 1)

    def __call__(self, values: Tensor, weights: Tensor | None) -> Tensor:
        """See :class:`Features`."""
        amplitude = self._spec.encoding == "amplitude"
        inputs, amplitudes = (None, values) if amplitude else (values, None)
        covered = self._spec.data_qubits if amplitude else None
        if self._observables is not None:
            return self._program.expectation(
                self._observables, inputs, weights, amplitudes, initial_qubits=covered
            )
        return flat(self._program.statevector(inputs, weights, amplitudes, initial_qubits=covered))
