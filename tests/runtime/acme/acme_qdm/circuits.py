"""Circuits with names and registers of their own."""

from __future__ import annotations

from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import efficient_su2

from qdm_qiskit.circuits import CircuitSpec


def su2(num_qubits: int = 3, reps: int = 1) -> CircuitSpec:
    """Qiskit's efficient_su2 behind amplitudes, with a qubit that holds no data."""
    circuit = efficient_su2(num_qubits, reps=reps, parameter_prefix="theta")
    data = range(num_qubits - 1)
    return CircuitSpec.from_circuit(
        circuit, weights="theta", loads="amplitudes", data_qubits=data, readout=data, name="su2"
    )


def ring(reps: int = 2) -> CircuitSpec:
    """Two measured qubits of pixels, and a helper that is told the time."""
    image, helper = QuantumRegister(2, "image"), QuantumRegister(1, "helper")
    seen = ClassicalRegister(2, "seen")
    circuit = QuantumCircuit(helper, image, seen, name="ring")
    pixel, theta = ParameterVector("pixel", 4), ParameterVector("theta", 3 * reps)
    for k in range(4):
        circuit.ry(pixel[k], image[k % 2])
    circuit.rx(Parameter("when"), helper)
    for k in range(reps):
        circuit.cx(helper, image)
        circuit.ry(theta[3 * k], image[0])
        circuit.ry(theta[3 * k + 1], image[1])
        circuit.crz(theta[3 * k + 2], image[0], image[1])
    circuit.measure(image, seen)
    return CircuitSpec.from_circuit(circuit, inputs="pixel", weights="theta", time="when")
