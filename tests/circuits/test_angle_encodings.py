"""Each encoding's state against its formula, as a Kronecker product with wire 0 leftmost."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits import (
    angle_encoding,
    basis_angles,
    basis_encoding,
    dense_angle_encoding,
    phase_encoding,
    register_spec,
)
from qdm_qiskit.errors import InvalidData, InvalidTemplate

values = st.lists(st.floats(-20, 20), min_size=1, max_size=5)


def state(circuit: QuantumCircuit, angles: object) -> np.ndarray:
    return np.asarray(Statevector(circuit.assign_parameters(np.ravel(angles))).data)


def product(wires: list[list[complex]]) -> np.ndarray:
    return reduce(np.kron, [np.array(each, dtype=complex) for each in wires])


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_basis_encoding_makes_every_basis_state(n):
    angles = basis_angles(np.arange(2**n), n)
    assert set(np.unique(angles)) <= {0.0, np.pi}
    circuit = basis_encoding(n)
    states = np.array([state(circuit, row) for row in angles])
    # With its phase: RY(pi) takes |0> to |1>, RX(pi) would take it to -i |1>.
    np.testing.assert_allclose(states, np.eye(2**n), atol=1e-15)


def test_bits_stand_most_significant_first():
    assert (basis_angles(np.array([4, 1]), 3) / np.pi).tolist() == [[1, 0, 0], [0, 0, 1]]


FORMULAS = {
    "x": lambda a: [np.cos(a / 2), -1j * np.sin(a / 2)],
    "y": lambda a: [np.cos(a / 2), np.sin(a / 2)],
    "z": lambda a: [np.exp(-0.5j * a) / np.sqrt(2), np.exp(0.5j * a) / np.sqrt(2)],
}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["x", "y", "z"]), values)
def test_angle_encoding_is_its_formula(axis, angles):
    circuit = angle_encoding(len(angles), axis=axis)
    expected = product([FORMULAS[axis](a) for a in angles])
    np.testing.assert_allclose(state(circuit, angles), expected, atol=1e-14)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-20, 20), st.floats(-20, 20)), min_size=1, max_size=4))
def test_dense_angle_encoding_is_its_formula(pairs):
    circuit = dense_angle_encoding(2 * len(pairs))
    assert circuit.num_qubits == len(pairs)
    expected = product([[np.cos(a / 2), np.exp(1j * b) * np.sin(a / 2)] for a, b in pairs])
    np.testing.assert_allclose(state(circuit, pairs), expected, atol=1e-14)


@settings(max_examples=40, deadline=None)
@given(values)
def test_phase_encoding_is_its_formula(angles):
    expected = product([[1 / np.sqrt(2), np.exp(1j * a) / np.sqrt(2)] for a in angles])
    np.testing.assert_allclose(state(phase_encoding(len(angles)), angles), expected, atol=1e-14)


@pytest.mark.parametrize(
    ("received", "wires", "message"),
    [
        (np.array([4]), 2, "from 0 to 3, .* 4 to 4"),
        (np.array([-1]), 2, "-1 to -1"),
        (np.array([0.5]), 2, "float64"),
        (np.array([np.nan]), 2, "float64"),
        (np.array([[1]]), 2, r"shape \(1, 1\)"),
        (np.array(["1"]), 2, "<U1"),
        (np.array([1]), 0, "1 to 62 wires, got 0"),
        (np.array([1]), 63, "1 to 62 wires, got 63"),
    ],
)
def test_values_that_are_no_basis_states_are_refused(received, wires, message):
    with pytest.raises(InvalidData, match=message) as caught:
        basis_angles(received, wires)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: basis_encoding(0), "num_wires >= 1"),
        (lambda: angle_encoding(0), "num_wires >= 1"),
        (lambda: angle_encoding(2, axis="w"), "one of x, y, z, got 'w'"),
        (lambda: phase_encoding(-1), "num_wires=-1"),
        (lambda: dense_angle_encoding(3), "even num_values, got 3"),
        (lambda: dense_angle_encoding(0), "num_values >= 2"),
        (lambda: angle_encoding("4"), "num_wires='4'"),
    ],
)
def test_impossible_encodings_are_refused(build, message):
    with pytest.raises(InvalidTemplate, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_values_that_are_not_finite_are_refused_by_the_spec():
    spec = register_spec(angle_encoding(2), source="test", encoding="angle")
    with pytest.raises(InvalidData, match="must be finite"):
        spec.input_values(inputs=np.array([[0.0, np.nan]]))
    with pytest.raises(InvalidData, match=r"shape \(batch, 2\), got \(1, 3\)"):
        spec.input_values(inputs=np.zeros((1, 3)))
