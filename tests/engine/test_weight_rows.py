"""A table of weights, of which each sample names a row, as state-space models with time steps do."""

from __future__ import annotations

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.engine import CircuitProgram, compile_circuit
from qdm_qiskit.errors import InvalidData

ROWS = torch.tensor([3, 0, 3, 1, 0])
"""Out of order, repeated, and row 2 unused."""


def problem() -> tuple[CircuitProgram, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two data qubits, an ancilla, a global phase and gates of both kinds."""
    p, w = Parameter("p"), ParameterVector("w", 5)
    circuit = QuantumCircuit(3, global_phase=w[0] * p)
    circuit.ry(w[0], 2)
    circuit.crx(w[1], 0, 2)
    circuit.cz(1, 2)
    circuit.u(w[2], w[3], w[4], 1)
    circuit.rx(p * w[1], 0)
    circuit.cx(2, 1)
    program = compile_circuit(circuit, [p], list(w))
    g = torch.Generator().manual_seed(4)
    weights = torch.randn(4, 5, dtype=torch.float64, generator=g).requires_grad_()
    inputs = torch.randn(5, 1, dtype=torch.float64, generator=g).requires_grad_()
    states = torch.randn(5, 4, dtype=torch.complex128, generator=g).requires_grad_()
    return program, inputs, weights, states


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_table_equals_weights_for_each_sample(dtype):
    program, inputs, weights, states = problem()
    inputs, weights = inputs.detach().to(dtype), weights.detach().to(dtype)
    start = {"initial_qubits": [0, 1], "weight_rows": ROWS}
    own = {"initial_qubits": [0, 1]}
    observables = [SparsePauliOp("XYZ"), SparsePauliOp("IZI")]
    matrices = torch.randn(2, 4, 4)
    for table, each in [
        (
            program.statevector(inputs, weights, states, **start),
            program.statevector(inputs, weights[ROWS], states, **own),
        ),
        (
            program.probabilities(inputs, weights, states, qubits=[2, 0], **start),
            program.probabilities(inputs, weights[ROWS], states, qubits=[2, 0], **own),
        ),
        (
            program.expectation(observables, inputs, weights, states, **start),
            program.expectation(observables, inputs, weights[ROWS], states, **own),
        ),
        (
            program.hermitian_expectation(matrices, [2, 1], inputs, weights, states, **start),
            program.hermitian_expectation(matrices, [2, 1], inputs, weights[ROWS], states, **own),
        ),
    ]:
        torch.testing.assert_close(table, each)


def test_gradients_through_projection_and_norm():
    program, *arguments = problem()

    def amplitudes(inputs, weights, states):
        found = program.statevector(
            inputs,
            weights,
            states,
            initial_qubits=[0, 1],
            weight_rows=ROWS,
            postselect={2: 0},
            renormalise=True,
        )
        return torch.view_as_real(found)

    assert torch.autograd.gradcheck(amplitudes, arguments)


def test_unused_rows_get_no_gradient():
    program, inputs, weights, states = problem()
    program.probabilities(inputs, weights, states, initial_qubits=[0, 1], weight_rows=ROWS)[
        :, 0
    ].sum().backward()
    moved = weights.grad.abs().sum(1) > 0
    assert moved.tolist() == [True, True, False, True]


@pytest.mark.parametrize("renormalise", [False, True])
def test_postselected_amplitudes_are_the_slice_of_the_state(renormalise):
    program, inputs, weights, states = problem()
    arguments = (inputs, weights[0], states)
    whole = program.statevector(*arguments, initial_qubits=[0, 1])
    for qubit, outcome in [(0, 1), (1, 0), (2, 0), (2, 1)]:
        got = program.statevector(
            *arguments,
            initial_qubits=[0, 1],
            postselect={qubit: outcome},
            renormalise=renormalise,
        )
        index = [k for k in range(8) if k >> qubit & 1 == outcome]
        expected = whole[:, index]
        if renormalise:
            expected = expected / torch.linalg.vector_norm(expected, dim=1, keepdim=True)
        torch.testing.assert_close(got, expected)


def test_rows_without_inputs_or_states():
    w = ParameterVector("w", 1)
    circuit = QuantumCircuit(1)
    circuit.ry(w[0], 0)
    program = compile_circuit(circuit, (), list(w))
    weights = torch.tensor([[0.0], [torch.pi]])
    got = program.probabilities(None, weights, weight_rows=torch.tensor([1, 0, 1]))
    torch.testing.assert_close(got, torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))


@pytest.mark.parametrize(
    ("rows", "weights", "states"),
    [
        (torch.tensor([0, 4]), torch.zeros(4, 1), torch.zeros(2, 2)),
        (torch.tensor([-1, 0]), torch.zeros(4, 1), torch.zeros(2, 2)),
        (torch.tensor([0.0, 1.0]), torch.zeros(4, 1), torch.zeros(2, 2)),
        (torch.tensor([[0, 1]]), torch.zeros(4, 1), torch.zeros(2, 2)),
        (torch.zeros(0, dtype=torch.int64), torch.zeros(4, 1), torch.zeros(0, 2)),
        (torch.tensor([0, 1]), torch.zeros(4), torch.zeros(2, 2)),
        (torch.tensor([0, 1]), torch.zeros(4, 2), torch.zeros(2, 2)),
        (torch.tensor([0, 1]), None, torch.zeros(2, 2)),
        (torch.tensor([0, 1]), torch.zeros(4, 1), torch.zeros(3, 2)),
        (torch.tensor([0, 1]), torch.full((4, 1), torch.nan), torch.ones(2, 2)),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, weights, states):
    w = ParameterVector("w", 1)
    circuit = QuantumCircuit(1)
    circuit.ry(w[0], 0)
    program = compile_circuit(circuit, (), list(w))
    with pytest.raises(InvalidData, match="got"):
        program.statevector(None, weights, states, weight_rows=rows)


@pytest.mark.parametrize("postselect", [{3: 0}, {-1: 0}, {0: 2}])
def test_outcomes_that_do_not_exist_are_refused(postselect):
    with pytest.raises(InvalidData, match="got"):
        compile_circuit(QuantumCircuit(3)).statevector(postselect=postselect)


def test_a_state_without_the_outcome_cannot_be_renormalised():
    with pytest.raises(InvalidData, match="probability zero"):
        compile_circuit(QuantumCircuit(2)).statevector(postselect={0: 1}, renormalise=True)
