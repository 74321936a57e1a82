"""A small circuit of a latent model's form: rotations that take inputs, bricks of CZ on a line."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter


def line_circuit(qubits: int, uploads: int = 4, *, measure: bool = True) -> QuantumCircuit:
    """``uploads`` layers of RY and RZ on every qubit, with two half-bricks of CZ between them.

    Of 6 qubits and 4 uploads it has 48 parameters and 15 CZ.
    """
    circuit = QuantumCircuit(qubits, qubits if measure else 0, name="line")
    number = 0
    for upload in range(uploads):
        for qubit in range(qubits):
            circuit.ry(Parameter(f"x_{number:04d}"), qubit)
            circuit.rz(Parameter(f"x_{number + 1:04d}"), qubit)
            number += 2
        if upload < uploads - 1:
            for first in (0, 1):
                for qubit in range(first, qubits - 1, 2):
                    circuit.cz(qubit, qubit + 1)
    if measure:
        circuit.measure(range(qubits), range(qubits))
    return circuit
