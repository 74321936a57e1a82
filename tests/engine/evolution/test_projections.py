"""Measurements in between whose outcome is selected, and resets after them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Statevector

from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.errors import InvalidData, UnsupportedCircuit

ANGLES = [0.4, 1.1, -0.7, 2.3]


def circuit_with_ancilla(*, reset: bool) -> tuple[QuantumCircuit, ParameterVector]:
    circuit, w = QuantumCircuit(3, 1), ParameterVector("w", 4)
    circuit.ry(w[0], 0)
    circuit.crx(w[1], 0, 2)
    circuit.measure(2, 0)
    if reset:
        circuit.reset(2)
    circuit.rx(w[2], 2)
    circuit.cry(w[3], 2, 1)
    return circuit, w


def expected(outcome: int, *, reset: bool) -> np.ndarray:
    """The same with Qiskit: evolve, cut out the outcome, flip if reset, evolve."""
    first, second = QuantumCircuit(3), QuantumCircuit(3)
    first.ry(ANGLES[0], 0)
    first.crx(ANGLES[1], 0, 2)
    second.rx(ANGLES[2], 2)
    second.cry(ANGLES[3], 2, 1)
    state = Statevector(first).data.copy()
    state[((np.arange(8) >> 2) & 1) != outcome] = 0
    if reset and outcome:
        state = state[np.arange(8) ^ 4]
    return Statevector(state).evolve(second).data


@pytest.mark.parametrize("outcome", [0, 1])
@pytest.mark.parametrize("reset", [False, True])
def test_projection_equals_the_cut_statevector(outcome, reset):
    circuit, w = circuit_with_ancilla(reset=reset)
    weights = torch.tensor(ANGLES, dtype=torch.float64)
    program = compile_circuit(circuit, (), list(w), postselect={0: outcome})
    state = program.statevector(None, weights)[0].numpy()
    reference = expected(outcome, reset=reset)
    np.testing.assert_allclose(state, reference, atol=1e-14)
    scaled = compile_circuit(circuit, (), list(w), postselect={0: outcome}, renormalise=True)
    unit = scaled.statevector(None, weights)[0].numpy()
    np.testing.assert_allclose(unit, reference / np.linalg.norm(reference), atol=1e-14)


def test_squared_norm_is_the_probability_of_the_outcome():
    circuit, w = circuit_with_ancilla(reset=False)
    weights = torch.tensor(ANGLES, dtype=torch.float64)
    shares = [
        float(
            compile_circuit(circuit, (), list(w), postselect={0: b})
            .probabilities(None, weights)
            .sum()
        )
        for b in (0, 1)
    ]
    assert sum(shares) == pytest.approx(1)
    # The ancilla was turned by crx only where qubit 0 is 1.
    one = np.sin(ANGLES[0] / 2) ** 2 * np.sin(ANGLES[1] / 2) ** 2
    assert shares[1] == pytest.approx(one)


def test_gradients_pass_through_projection_and_norm():
    circuit, w = circuit_with_ancilla(reset=True)
    program = compile_circuit(circuit, (), list(w), postselect={0: 1}, renormalise=True)
    weights = torch.tensor(ANGLES, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: program.probabilities(None, x), (weights,))


def test_an_outcome_of_probability_zero_cannot_be_renormalised():
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    program = compile_circuit(circuit, postselect={0: 1}, renormalise=True)
    with pytest.raises(InvalidData, match="probability zero"):
        program.statevector()


@pytest.mark.parametrize("postselect", [{1: 0}, {0: 2}, {-1: 0}])
def test_bits_and_outcomes_out_of_range_are_refused(postselect):
    circuit, w = circuit_with_ancilla(reset=False)
    with pytest.raises(UnsupportedCircuit, match="postselect maps classical bits"):
        compile_circuit(circuit, (), list(w), postselect=postselect)


def test_reset_at_the_start_is_nothing_unless_an_initial_state_covers_the_qubit():
    circuit = QuantumCircuit(2)
    circuit.initialize([0.6, 0.8], [0])
    program = compile_circuit(circuit)
    np.testing.assert_allclose(program.statevector()[0], [0.6, 0.8, 0, 0], atol=1e-6)
    one = torch.tensor([[0.0, 1.0]])
    got = program.statevector(None, None, one, initial_qubits=(1,))[0]
    np.testing.assert_allclose(got, [0, 0, 0.6, 0.8], atol=1e-6)
    with pytest.raises(InvalidData, match="starts by resetting qubits"):
        program.statevector(None, None, torch.eye(4)[:1])


def test_measurements_inside_composite_instructions_are_selected_too():
    inner = QuantumCircuit(2, 2)
    inner.h(0)
    inner.measure(0, 1)
    inner.x(0)
    outer = QuantumCircuit(3, 3)
    outer.ry(0.7, 2)
    outer.append(inner.to_instruction(), [2, 0], [0, 2])
    outer.cx(2, 1)
    flat = QuantumCircuit(3, 3)
    flat.ry(0.7, 2)
    flat.h(2)
    flat.measure(2, 2)
    flat.x(2)
    flat.cx(2, 1)
    for outcome in (0, 1):
        got = compile_circuit(outer, postselect={2: outcome}).statevector()
        torch.testing.assert_close(
            got, compile_circuit(flat, postselect={2: outcome}).statevector()
        )
    with pytest.raises(UnsupportedCircuit, match="measured qubit"):
        compile_circuit(outer)
