"""Probabilities and expectation values against Qiskit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import SparsePauliOp, Statevector, random_statevector

from qdm_qiskit.engine import CircuitProgram, compile_circuit
from qdm_qiskit.errors import InvalidData, InvalidOption

N = 4
CIRCUIT = random_circuit(N, 5, seed=9)
PROGRAM: CircuitProgram = compile_circuit(CIRCUIT)
START = torch.tensor(np.stack([random_statevector(2**N, seed=s).data for s in range(3)]))
STATES = [Statevector(row).evolve(CIRCUIT) for row in START.numpy()]


@pytest.mark.parametrize(
    "qubits", [None, [0], [3], [2, 0], [0, 1, 2, 3], [3, 1, 0, 2], [1, 3, 2], []]
)
def test_probabilities_of_qubit_subsets(qubits):
    got = PROGRAM.probabilities(initial_state=START, qubits=qubits).numpy()
    expected = [state.probabilities(qubits) for state in STATES] if qubits != [] else [[1.0]] * 3
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("qubits", [[0, 0], [4], [-1], [0, 1, 7]])
def test_qubits_that_are_not_there_are_refused(qubits):
    with pytest.raises(InvalidData, match="distinct and below 4"):
        PROGRAM.probabilities(initial_state=START, qubits=qubits)


paulis = st.text("IXYZ", min_size=N, max_size=N)
terms = st.lists(st.tuples(paulis, st.floats(-2, 2)), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(terms, min_size=1, max_size=3))
def test_expectation_values_of_random_observables(lists):
    observables = [SparsePauliOp.from_list(each) for each in lists]
    got = PROGRAM.expectation(observables, initial_state=START).numpy()
    expected = [[s.expectation_value(o).real for o in observables] for s in STATES]
    np.testing.assert_allclose(got, expected, atol=1e-11)


def test_signs_inside_a_pauli_count():
    observable = SparsePauliOp(["-XYZI" if False else "XYZI"], [-1.0]) + SparsePauliOp("YYII")
    got = PROGRAM.expectation([observable], initial_state=START)[:, 0].numpy()
    np.testing.assert_allclose(
        got, [s.expectation_value(observable).real for s in STATES], atol=1e-12
    )


def test_observables_of_another_register_are_refused():
    with pytest.raises(InvalidData, match="act on all 4 qubits, got one on 3"):
        PROGRAM.expectation([SparsePauliOp("ZZZ")], initial_state=START)


def test_unnormalised_states_are_run_as_they_are():
    # The map is linear: the caller decides about the norm.
    one = PROGRAM.statevector(initial_state=START)
    torch.testing.assert_close(PROGRAM.statevector(initial_state=3 * START), 3 * one)


def test_an_observable_that_has_changed_is_read_anew():
    observable = SparsePauliOp(["ZIII", "XIII"], [1.0, 0.5])
    first = PROGRAM.expectation([observable], initial_state=START)
    observable.coeffs *= 2
    torch.testing.assert_close(PROGRAM.expectation([observable], initial_state=START), 2 * first)


@pytest.mark.parametrize(
    ("options", "dtype"), [({}, torch.float32), ({"dtype": torch.float64}, torch.float64)]
)
def test_precision_where_no_tensor_is_given(options, dtype):
    program = compile_circuit(CIRCUIT, **options)
    found = program.probabilities()
    assert found.dtype == dtype
    expected = Statevector(CIRCUIT).probabilities()
    np.testing.assert_allclose(found[0].numpy(), expected, atol=64 * torch.finfo(dtype).eps)
    assert program.probabilities(initial_state=START).dtype == torch.float64  # tensors decide


def test_half_precision_is_refused():
    with pytest.raises(InvalidOption, match=r"got torch\.float16"):
        compile_circuit(CIRCUIT, dtype=torch.float16)
