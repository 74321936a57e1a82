"""Each sample with angles of its own, and states that are too large."""

from __future__ import annotations

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.circuits import CircuitSpec, eeqdm
from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.errors import InvalidData
from qdm_qiskit.layers import QuantumLayer


def test_batched_weights_equal_one_row_at_a_time():
    spec = eeqdm(2, 2, guided=True)
    program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(3, len(spec.weights), generator=generator, dtype=torch.float64)
    inputs = torch.randn(3, 1, generator=generator, dtype=torch.float64)
    states = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    got = program.statevector(inputs, weights, states)
    for row in range(3):
        one = program.statevector(inputs[row : row + 1], weights[row], states[row : row + 1])
        torch.testing.assert_close(got[row : row + 1], one, rtol=0, atol=1e-13)


def test_global_phase_of_each_sample_and_gradients():
    p, w = Parameter("p"), ParameterVector("w", 2)
    circuit = QuantumCircuit(1, global_phase=w[0] * p)
    circuit.rx(w[1] + p, 0)
    program = compile_circuit(circuit, [p], list(w))
    inputs = torch.tensor([[0.3], [1.2]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[0.5, -1.0], [2.0, 0.1]], dtype=torch.float64, requires_grad=True)
    got = program.statevector(inputs, weights)
    for row in range(2):
        one = program.statevector(inputs[row : row + 1], weights[row])
        torch.testing.assert_close(got[row : row + 1], one)
    assert torch.autograd.gradcheck(program.statevector, (inputs, weights))


@pytest.mark.parametrize("shape", [(3, 2), (2, 5), (2, 2, 2)])
def test_wrong_shapes_are_refused(shape):
    w = ParameterVector("w", 2)
    circuit = QuantumCircuit(1)
    circuit.ry(w[0] + w[1], 0)
    program = compile_circuit(circuit, (), list(w))
    with pytest.raises(InvalidData):
        program.statevector(None, torch.zeros(shape), torch.eye(2))


def test_states_beyond_the_memory_are_refused_with_the_number():
    circuit = QuantumCircuit(44)
    circuit.h(0)
    with pytest.raises(InvalidData, match=r"1 states of 44 qubits need at least .* GiB"):
        compile_circuit(circuit).statevector()
    with pytest.raises(InvalidData, match="44 qubits need at least"):
        compile_circuit(circuit).expectation([SparsePauliOp("Z" * 44)])


def test_tables_of_observables_do_not_pile_up():
    circuit = QuantumCircuit(1)
    circuit.h(0)
    program = compile_circuit(circuit)
    for _ in range(100):
        assert float(program.expectation([SparsePauliOp("X")])) == pytest.approx(1)
    assert len(program._observables) < 20


def test_a_table_keeps_what_its_observables_were():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.x(1)
    program = compile_circuit(circuit)
    given = [SparsePauliOp("IX"), SparsePauliOp("ZI")]
    table = program.observable_table(given)
    given[0].coeffs[0] = 7
    assert program.expectation(table).tolist() == [pytest.approx([1, -1])]
    assert program.expectation(given).tolist() == [pytest.approx([7, -1])]
    with pytest.raises(InvalidData, match="act on all 1 qubits, got a table of 2"):
        compile_circuit(QuantumCircuit(1)).expectation(table)


def test_a_layer_reads_what_its_spec_held():
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("x_0000"), 0)
    given = SparsePauliOp("Z")
    spec = CircuitSpec.from_circuit(circuit, inputs=list(circuit.parameters), readout=[given])
    given.coeffs[0] = 7
    layer = QuantumLayer(spec)
    given.coeffs[0] = 9
    assert layer(inputs=torch.zeros(1, 1)).tolist() == [[1]]
