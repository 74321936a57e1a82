from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

from qdm_qiskit.analysis import haar_states, random_states
from qdm_qiskit.analysis.states import MAX_QUBITS, analysed_circuit, random_angles
from qdm_qiskit.circuits import eeqdm
from qdm_qiskit.errors import InvalidOption, InvalidTemplate, UnsupportedCircuit


def rotated(num_qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.rx(Parameter(f"w_{qubit:04d}"), qubit)
    return circuit


def test_states_are_those_of_qiskit_at_the_same_angles():
    spec = eeqdm(num_data=3, depth=1)
    states = random_states(spec, 5, np.random.default_rng(1), start_angle=0.3)
    angles = random_angles(spec.circuit, 5, np.random.default_rng(1)).numpy()
    start = QuantumCircuit(4)
    start.ry(0.3, range(4))
    for state, row in zip(states.numpy(), angles, strict=True):
        full = start.compose(spec.circuit.assign_parameters(row))
        assert np.allclose(state, Statevector(full).data, atol=1e-12)


def test_angles_fill_the_whole_circle():
    angles = random_angles(rotated(3), 2000, np.random.default_rng(2)).numpy()
    assert angles.shape == (2000, 3)
    assert angles.min() >= 0
    assert angles.max() < 2 * np.pi
    assert np.abs(np.exp(1j * angles).mean(axis=0)).max() < 5 / np.sqrt(2000)


def test_large_numbers_of_states_come_in_parts(monkeypatch):
    whole = random_states(rotated(3), 50, np.random.default_rng(3))
    monkeypatch.setattr("qdm_qiskit.analysis.states.CHUNK", 2**3 * 7)
    parts = random_states(rotated(3), 50, np.random.default_rng(3))
    assert torch.allclose(whole, parts, atol=1e-14)


def test_haar_states_are_normalised_and_unbiased():
    states = haar_states(3, 4000, np.random.default_rng(4)).numpy()
    assert np.allclose((np.abs(states) ** 2).sum(axis=1), 1)
    mixture = np.einsum("sa,sb->ab", states, states.conj()) / len(states)
    assert np.abs(mixture - np.eye(8) / 8).max() < 5 / 8 / np.sqrt(4000)


def test_what_cannot_be_analysed_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidTemplate, match="no free parameters"):
        random_states(QuantumCircuit(2), 5, rng)
    with pytest.raises(UnsupportedCircuit, match=r"at most 16 qubits.*has 17"):
        random_states(rotated(MAX_QUBITS + 1), 5, rng)
    measured = rotated(2)
    measured.measure_all()
    with pytest.raises(UnsupportedCircuit, match="without classical bits"):
        random_states(measured, 5, rng)
    for samples in (1, 0, -3, 10**9, True, 2.5):
        with pytest.raises(InvalidOption, match="samples must be 2 to"):
            random_states(rotated(2), samples, rng)
    with pytest.raises(InvalidOption, match="use fewer samples or qubits"):
        random_states(rotated(16), 5000, rng)
    for angle in (np.nan, np.inf):
        with pytest.raises(InvalidOption, match="finite angle"):
            analysed_circuit(rotated(2), angle)
