"""A kernel as circuits that any target runs with shots.

They come as QNNs of qiskit-machine-learning, because these run on every target: in memory, and as
recorded runs on hardware, planned and paid by a budget.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN

from ..errors import InvalidOption
from .features import bloch_observables
from .kernel import QuantumKernel

__all__ = ["bloch_qnn", "pair_qnn", "pairs_of", "values_of"]


def pair_qnn(kernel: QuantumKernel) -> SamplerQNN:
    """Return compute and uncompute: the circuit of x, then the inverse circuit of y.

    Args:
        kernel: A fidelity kernel without noise: the target brings its own.

    Returns:
        A QNN of inputs ``(x, y)`` side by side, as :func:`pairs_of` gives them, with two outputs: the
        probability of all zeros, which is the kernel, and that of everything else.

    Raises:
        InvalidOption: If it is another kernel.
        UnsupportedCircuit: If the circuit has no inverse.
    """
    if kernel.kind != "fidelity":
        raise InvalidOption(
            "Pairs of inputs run for a fidelity kernel; a projected one needs bloch_qnn."
        )
    _check_noise(kernel)
    circuit = _bound(kernel)
    count = circuit.num_parameters
    x, y = ParameterVector("x", count), ParameterVector("y", count)
    first, second = (circuit.assign_parameters(list(each)) for each in (x, y))
    whole = first.compose(second.inverse())
    whole.name = f"pairs of {kernel.spec.name}"
    return SamplerQNN(
        circuit=whole,
        input_params=[*x, *y],
        interpret=lambda outcome: int(outcome != 0),
        output_shape=2,
    )


def bloch_qnn(kernel: QuantumKernel) -> EstimatorQNN:
    """Return the circuit of x with the Bloch vectors of its qubits as outputs, qubit 0 first.

    Three bases a row, whatever the number of qubits; n rows and no pairs.

    Raises:
        InvalidOption: If the kernel is not projected, or has noise of its own.
    """
    if kernel.kind != "projected":
        raise InvalidOption(
            "Bloch vectors are of a projected kernel; one of fidelities needs pair_qnn."
        )
    _check_noise(kernel)
    circuit = _bound(kernel)
    return EstimatorQNN(
        circuit=circuit,
        observables=bloch_observables(circuit.num_qubits),
        input_params=list(circuit.parameters),
    )


def pairs_of(kernel: QuantumKernel, x: np.ndarray, y: np.ndarray | None) -> np.ndarray:
    """Return the inputs of :func:`pair_qnn`, a row a pair.

    Args:
        kernel: Its kernel.
        x: ``(m, num_inputs)``.
        y: ``(n, num_inputs)``; None for the pairs i < j of ``x``.

    Returns:
        ``(m * n, 2 k)`` with y's index running fastest, or ``(m (m - 1) / 2, 2 k)``.
    """
    left = values_of(kernel, x)
    if y is None:
        i, j = np.triu_indices(len(left), 1)
        return np.concatenate([left[i], left[j]], axis=1)
    right = values_of(kernel, y)
    i, j = (each.ravel() for each in np.indices((len(left), len(right))))
    return np.concatenate([left[i], right[j]], axis=1)


def values_of(kernel: QuantumKernel, x: np.ndarray) -> np.ndarray:
    """Return the angles of rows: they themselves, or those of the amplitudes' loader."""
    if kernel.spec.encoding == "angle":
        return x
    return kernel.spec.input_values(amplitudes=x)


def _check_noise(kernel: QuantumKernel) -> None:
    if kernel.noise is not None:
        raise InvalidOption(
            "Circuits run through the noise of their target; make the kernel without noise."
        )


def _bound(kernel: QuantumKernel) -> QuantumCircuit:
    circuit = kernel.spec.full_circuit(measure=False)
    weights: list[Any] = [] if kernel.weights is None else kernel.weights.detach().tolist()
    return circuit.assign_parameters(dict(zip(kernel.spec.weights, weights, strict=True)))
