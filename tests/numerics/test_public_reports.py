"""Inputs on which other libraries were wrong, by public bug reports (docs/decisions/0019)."""

import numpy as np
import pytest
import torch
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import AnnotatedOperation, ControlModifier, Parameter, ParameterVector
from qiskit.circuit.library import CU3Gate, DiagonalGate, RXGate, RYGate, U3Gate, XGate
from qiskit.primitives import BitArray
from qiskit.quantum_info import DensityMatrix, SparsePauliOp, Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, amplitude_damping_error, depolarizing_error

from qdm_qiskit.circuits.encodings import amplitude_angles, amplitude_loader
from qdm_qiskit.engine import (
    EngineEstimator,
    EngineEstimatorGradient,
    EngineSampler,
    compile_circuit,
    compile_noisy,
)
from qdm_qiskit.execution.counts import counts_from_bits

A, B = Parameter("a"), Parameter("b")
VALUES = {A: 0.7, B: 1.3}


def prepared(num_qubits):
    circuit = QuantumCircuit(num_qubits)
    for k in range(num_qubits):
        circuit.ry(0.3 + 0.4 * k, k)
        circuit.rz(0.2 * k + 0.1, k)
    return circuit


def amplitudes(circuit, values=None):
    """Of the engine, in double precision."""
    if not circuit.num_parameters:
        return compile_circuit(circuit, dtype=torch.float64).statevector()[0].numpy()
    row = torch.tensor([values[p] for p in circuit.parameters], dtype=torch.float64)
    return (
        compile_circuit(circuit, weights=list(circuit.parameters)).statevector(None, row)[0].numpy()
    )


@pytest.mark.parametrize(
    ("angle", "value"),
    [
        (A**2 - B**2, 0.7**2 - 1.3**2),  # Qiskit/qiskit#16259
        (A**2 + B**2, 0.7**2 + 1.3**2),
        (2 * A**3 - 3 * B**3, 2 * 0.7**3 - 3 * 1.3**3),
        (1 / A - 1 / B, 1 / 0.7 - 1 / 1.3),
        (0 * A + B, 1.3),  # Qiskit/qiskit#15355
    ],
)
def test_angles_that_symbolic_engines_simplified_wrongly(angle, value):
    circuit, wanted = prepared(1), prepared(1)
    circuit.rx(angle, 0)
    wanted.rx(value, 0)
    np.testing.assert_allclose(amplitudes(circuit, VALUES), Statevector(wanted).data, atol=1e-12)


def powered_control():  # Qiskit/qiskit#5587
    inner, circuit = QuantumCircuit(1), prepared(2)
    inner.append(U3Gate(0.65, 0.83, 3.97), [0])
    inner.global_phase = -2.397
    circuit.append(inner.power(2).to_gate().control(), [0, 1])
    return circuit


def open_diagonal():  # Qiskit/qiskit#5453
    inner, circuit = QuantumCircuit(2), prepared(3)
    inner.append(DiagonalGate([1, 1j, -1, np.exp(0.3j)]), [0, 1])
    circuit.append(inner.to_gate().control(1, ctrl_state="0"), [2, 0, 1])
    return circuit


def nested_controls():  # Qiskit/qiskit#16410
    circuit = prepared(3)
    inner = AnnotatedOperation(XGate(), ControlModifier(1, ctrl_state=0))
    circuit.append(AnnotatedOperation(inner, ControlModifier(1, ctrl_state=1)), [0, 1, 2])
    return circuit


def phases_under_control():  # quantumlib/Cirq#1135 and #5959
    circuit = prepared(2)
    circuit.append(RXGate(np.pi).control(1), [0, 1])
    circuit.append(CU3Gate(0.928, 0.451, 3.784), [1, 0])
    return circuit


@pytest.mark.parametrize(
    "made", [powered_control, open_diagonal, nested_controls, phases_under_control]
)
def test_controls_keep_the_phase_of_what_they_control(made):
    circuit = made()
    np.testing.assert_allclose(amplitudes(circuit), Statevector(circuit).data, atol=1e-12)


def test_free_nested_controls_with_an_inverse():  # Qiskit/qiskit#16410; Qiskit cannot bind it
    circuit, wanted = prepared(3), prepared(3)
    inner = AnnotatedOperation(RYGate(A), ControlModifier(1))
    circuit.append(
        AnnotatedOperation(inner.inverse(annotated=True), ControlModifier(1, ctrl_state=0)),
        [2, 0, 1],
    )
    wanted.append(RYGate(0.7).control(1).inverse().control(1, ctrl_state=0), [2, 0, 1])
    np.testing.assert_allclose(amplitudes(circuit, VALUES), Statevector(wanted).data, atol=1e-12)


@pytest.mark.parametrize("num_qubits", [1, 2, 3])
def test_odd_numbers_of_y_on_density_matrices(num_qubits):  # qulacs/qulacs#314, qiskit-aer#1171
    circuit = prepared(num_qubits)
    circuit.rx(0.7, 0)
    for k in range(num_qubits - 1):
        circuit.cx(k, k + 1)
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(amplitude_damping_error(0.3), ["ry", "rx"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), ["cx"])
    saved = circuit.copy()
    saved.save_density_matrix()
    run = AerSimulator(method="density_matrix", noise_model=noise).run(saved)
    rho = DensityMatrix(run.result().data()["density_matrix"])
    observables = [SparsePauliOp("Y" * k + "I" * (num_qubits - k)) for k in range(num_qubits + 1)]
    found = compile_noisy(circuit, noise, method="density").expectation(observables)[0]
    wanted = [rho.expectation_value(each).real for each in observables]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_gradients_of_more_than_ten_parameters_keep_their_order():  # qiskit-machine-learning#987
    w, circuit = ParameterVector("w", 12), QuantumCircuit(3)
    for k in range(12):
        circuit.rx(w[k], k % 3)
        circuit.cx(k % 3, (k + 1) % 3)
    point, observable = np.linspace(-1, 1, 12), SparsePauliOp(["ZIX", "IYZ"], [1, 0.5])

    def value(row):
        return Statevector(circuit.assign_parameters(row)).expectation_value(observable).real

    slopes = [(value(point + d) - value(point - d)) / 2e-6 for d in 1e-6 * np.eye(12)]
    gradient, asked = EngineEstimatorGradient(EngineEstimator()), [w[11], w[2], w[10]]
    whole = gradient.run([circuit], [observable], [point]).result().gradients[0]
    some = gradient.run([circuit], [observable], [point], parameters=[asked]).result().gradients[0]
    np.testing.assert_allclose(whole, slopes, atol=1e-7)
    np.testing.assert_allclose(some, np.array(slopes)[[11, 2, 10]], atol=1e-7)


@pytest.mark.parametrize("num_qubits", [1, 2, 3])
def test_loaders_survive_the_transpiler(num_qubits):  # Qiskit/qiskit#12948
    from qiskit import transpile

    rng = np.random.default_rng(num_qubits)
    vector = rng.normal(size=2**num_qubits) + 1j * rng.normal(size=2**num_qubits)
    vector[0] = 0
    loader = amplitude_loader(num_qubits, phases=True)
    angles = amplitude_angles(vector[None], num_qubits, phases=True)[0]
    bound = transpile(
        loader.assign_parameters(angles), basis_gates=["cz", "sx", "rz"], optimization_level=3
    )
    overlap = abs(np.vdot(vector / np.linalg.norm(vector), Statevector(bound).data))
    assert overlap == pytest.approx(1)


def test_registers_keep_their_bits_across_bytes():  # Qiskit/qiskit#5424, qiskit-ibm-runtime#2904
    circuit = QuantumCircuit(
        QuantumRegister(11), ClassicalRegister(2, "few"), ClassicalRegister(9, "many")
    )
    circuit.x([0, 9, 10])
    circuit.measure(range(11), [10, 0, 5, 6, 7, 8, 9, 1, 2, 3, 4])
    data = EngineSampler(seed=1).run([circuit], shots=5).result()[0].data
    assert data.few.get_counts() == {"00": 5}
    assert data.many.get_counts() == {"100000110": 5}


@pytest.mark.parametrize(("bits", "flipped"), [("0", 1), ("00101", 0b11010), ("0" * 9, 2**9 - 1)])
def test_bits_that_fill_up_a_byte_are_no_outcomes(bits, flipped):  # Qiskit/qiskit#16173
    counts = counts_from_bits(~BitArray.from_samples([bits] * 3, num_bits=len(bits)))
    assert counts.shape == (1, 2 ** len(bits))
    assert counts[0, flipped] == 3


def test_single_precision_does_not_invent_outcomes():  # Qiskit/qiskit#9761, PennyLane#9000
    circuit = QuantumCircuit(1)
    circuit.ry(A, 0)
    circuit.ry(-A, 0)
    circuit.measure_all()
    angles = np.linspace(0, 3, 100)[:, None]
    sampler = EngineSampler(seed=2, dtype=torch.float32)
    bits = sampler.run([(circuit, angles)], shots=1000).result()[0].data.meas
    assert bits.get_counts() == {"0": 100_000}
