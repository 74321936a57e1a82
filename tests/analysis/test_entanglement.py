"""Bloch vectors and Meyer-Wallach against qiskit's partial traces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Pauli, Statevector, partial_trace

from qdm_qiskit.analysis import (
    bloch_vectors,
    entangling_capability,
    haar_meyer_wallach,
    haar_states,
    meyer_wallach,
)


def as_batch(state: Statevector) -> torch.Tensor:
    return torch.from_numpy(np.asarray(state.data))[None]


@settings(max_examples=30, deadline=None)
@given(num_qubits=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_both_agree_with_partial_traces(num_qubits, seed):
    states = haar_states(num_qubits, 3, np.random.default_rng(seed))
    vectors, q = bloch_vectors(states), meyer_wallach(states)
    assert vectors.shape == (3, num_qubits, 3)
    for row, state in enumerate(states.numpy()):
        impurity = 0.0
        for qubit in range(num_qubits):
            rest = [each for each in range(num_qubits) if each != qubit]
            rho = partial_trace(Statevector(state), rest)
            impurity += (1 - rho.purity().real) / 2
            expected = [rho.expectation_value(Pauli(axis)).real for axis in "XYZ"]
            assert np.allclose(vectors[row, qubit], expected, atol=1e-12)
        assert q[row] == pytest.approx(4 / num_qubits * impurity, abs=1e-12)


def test_known_states():
    ghz = QuantumCircuit(3)
    ghz.h(0)
    ghz.cx(0, [1, 2])
    pair = QuantumCircuit(3)
    pair.h(0)
    pair.cx(0, 1)
    w_state = np.zeros(8)
    w_state[[1, 2, 4]] = 3**-0.5
    assert meyer_wallach(as_batch(Statevector.from_label("0+r"))) == pytest.approx(0, abs=1e-12)
    assert meyer_wallach(as_batch(Statevector(ghz))) == pytest.approx(1)
    assert meyer_wallach(as_batch(Statevector(pair))) == pytest.approx(2 / 3)
    assert meyer_wallach(as_batch(Statevector(w_state))) == pytest.approx(8 / 9)


def test_bloch_vectors_point_where_the_states_do():
    found = bloch_vectors(as_batch(Statevector.from_label("r-0")))  # qubit 0 is the last letter
    assert np.allclose(found, [[[0, 0, 1], [-1, 0, 0], [0, 1, 0]]])


@pytest.mark.parametrize("num_qubits", [2, 3, 4, 6])
def test_haar_states_have_the_known_mean(num_qubits):
    """(2^n - 2) / (2^n + 1), within five standard errors."""
    q = meyer_wallach(haar_states(num_qubits, 4000, np.random.default_rng(num_qubits)))
    error = q.std(ddof=1) / np.sqrt(len(q))
    assert abs(q.mean() - haar_meyer_wallach(num_qubits)) < 5 * error
    assert error < 0.005


def test_haar_mean_of_four_qubits_is_14_over_17():
    assert haar_meyer_wallach(4) == 14 / 17
    assert haar_meyer_wallach(1) == 0


def test_a_product_circuit_entangles_nothing():
    circuit = QuantumCircuit(3)
    circuit.ry(Parameter("w_0000"), 0)
    found = entangling_capability(circuit, samples=20, generator=np.random.default_rng(0))
    assert abs(found.value) < 1e-12


def test_one_controlled_rotation_has_the_integral_of_its_angle():
    """CRY(theta) on |+>|0> makes (|00> + |1>(cos|0> + sin|1>))/sqrt(2), with theta/2 in the sine.

    Its concurrence is |sin(theta/2)|, Q of two qubits is the squared concurrence, and its mean over
    a full turn is 1/2.
    """
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cry(Parameter("w_0000"), 0, 1)
    found = entangling_capability(circuit, samples=4000, generator=np.random.default_rng(1))
    assert found.low - 0.005 < 0.5 < found.high + 0.005
    assert found.high - found.low < 0.03
