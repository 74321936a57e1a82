"""The parametric amplitude loader against the vectors that it should load."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qdm_qiskit.circuits import amplitude_angles, amplitude_loader
from qdm_qiskit.errors import InvalidData, InvalidTemplate

TOLERANCE = 1e-10
"""Angles have errors of some 1e-16, and at most 2**6 of them add up in an amplitude."""

LOADERS = {
    (n, phases): amplitude_loader(n, phases=phases) for n in range(1, 6) for phases in (False, True)
}
"""One circuit for every vector of a size: nothing below builds another one."""

reals = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0]),
    st.floats(-1e3, 1e3),
    st.floats(-1e-290, 1e-290),
    st.floats(-1e300, 1e300),
)


def loaded(vector: np.ndarray, phases: bool = False) -> np.ndarray:
    n = vector.size.bit_length() - 1
    angles = amplitude_angles(vector[None], n, phases=phases)
    return np.asarray(Statevector(LOADERS[n, phases].assign_parameters(angles[0])).data)


def unit(vector: np.ndarray) -> np.ndarray:
    scaled = vector / np.abs(vector).max()
    return scaled / np.linalg.norm(scaled)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5).flatmap(lambda n: arrays(np.float64, 2**n, elements=reals)))
def test_real_vectors_are_loaded_with_their_signs(vector):
    if not np.abs(vector).max():
        with pytest.raises(InvalidData, match="norm zero"):
            loaded(vector)
        return
    np.testing.assert_allclose(loaded(vector), unit(vector), atol=TOLERANCE)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda n: st.tuples(
            arrays(np.float64, 2**n, elements=reals), arrays(np.float64, 2**n, elements=reals)
        )
    )
)
def test_complex_vectors_are_loaded_up_to_a_global_phase(parts):
    real, imag = parts
    scale = max(np.abs(real).max(), np.abs(imag).max())
    if not scale:
        return
    vector = real / scale + 1j * (imag / scale)
    overlap = abs(np.vdot(unit(vector), loaded(vector, phases=True)))
    assert abs(overlap - 1) < TOLERANCE


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_loader_agrees_with_qiskits_initialize(n):
    vector = unit(np.random.default_rng(n).normal(size=2**n))
    circuit = QuantumCircuit(n)
    circuit.prepare_state(vector)
    np.testing.assert_allclose(loaded(vector), Statevector(circuit).data, atol=TOLERANCE)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda n: arrays(
            np.complex128,
            2**n,
            elements=st.sampled_from([0, 1, -1, 1j, -1j, 0.3 - 2j, -0.7, 1e-3j, 2 + 1j]),
        )
    )
)
def test_loader_agrees_with_initialize_where_entries_vanish(vector):
    """Zeros leave phases undefined below them; signs and phases elsewhere must not suffer."""
    if not np.abs(vector).any():
        return
    circuit = QuantumCircuit(vector.size.bit_length() - 1)
    circuit.initialize(unit(vector))
    theirs = Statevector(circuit).data
    assert abs(abs(np.vdot(loaded(vector, phases=True), theirs)) - 1) < TOLERANCE
    if not vector.imag.any():
        np.testing.assert_allclose(loaded(vector.real), theirs, atol=TOLERANCE)


@pytest.mark.parametrize("index", range(8))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_basis_states_are_loaded(index, sign):
    vector = np.zeros(8)
    vector[index] = sign
    np.testing.assert_allclose(loaded(vector), vector, atol=1e-15)


def test_scale_does_not_matter():
    vector = np.array([3.0, -4.0, 0.0, 12.0])
    # The largest scale's entries are finite, but its norm is not.
    for scale in (1e-300, 1e-30, 1.0, 1e30, 1e300, 1.49e307):
        np.testing.assert_allclose(loaded(scale * vector), vector / 13, atol=1e-14)
    edge = np.array([1.0, 1.0, 0.1, 0.1])
    np.testing.assert_allclose(loaded(1.7e308 * edge), edge / np.linalg.norm(edge), atol=1e-14)


@pytest.mark.parametrize("n", range(1, 8))
def test_gate_counts(n):
    real = {"ry": 2**n - 1, "cx": 2**n - 2}
    assert dict(amplitude_loader(n).count_ops()) == {k: v for k, v in real.items() if v}
    both = {"ry": 2**n - 1, "rz": 2**n - 1, "cx": 2 * (2**n - 2)}
    assert dict(amplitude_loader(n, phases=True).count_ops()) == {
        k: v for k, v in both.items() if v
    }


def test_parameters_stand_in_order_of_use():
    for circuit in LOADERS.values():
        used = [item.operation.params[0].name for item in circuit.data if item.operation.params]
        assert (
            used == [f"x_{i:04d}" for i in range(len(used))] == [p.name for p in circuit.parameters]
        )


def test_a_batch_is_its_rows():
    vectors = np.random.default_rng(1).normal(size=(5, 8))
    rows = [amplitude_angles(vector[None], 3)[0] for vector in vectors]
    np.testing.assert_array_equal(amplitude_angles(vectors, 3), rows)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones(4), r"shape \(batch, 4\), got \(4,\)"),
        (np.ones((2, 8)), r"shape \(batch, 4\), got \(2, 8\)"),
        (np.zeros((1, 4)), "vector 0 is all zeros"),
        (np.vstack([np.ones(4), np.zeros(4), np.ones(4)]), "vector 1 is all zeros"),
        (np.array([[1, np.nan, 0, 0]]), "vector 0 holds NaN"),
        (np.array([[1, 0, 0, 0], [np.inf, 0, 0, 0]]), "vector 1 holds NaN or infinity"),
        (np.ones((1, 4)) * 1j, "phases=True"),
        (np.array([["1", "0", "0", "0"]]), "Amplitudes are numbers, got an array of <U1"),
        (np.array([[None, 1, 0, 0]]), "got an array of object"),
    ],
)
def test_vectors_that_are_no_states_are_refused(vectors, message):
    with pytest.raises(InvalidData, match=message) as caught:
        amplitude_angles(vectors, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("n", "phases"),
    [(0, False), (-1, False), (14, False), (13, True), (65, False), (10**9, True), (2.0, False)],
)
def test_impossible_loaders_are_refused(n, phases):
    # 14 qubits need 16,383 angles, more than four digits can number.
    with pytest.raises(InvalidTemplate, match=r"num_qubits >= 1|at most 10000 parameters"):
        amplitude_loader(n, phases=phases)
