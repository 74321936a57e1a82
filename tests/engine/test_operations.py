"""Folding gates into blocks keeps the circuit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, random_unitary

from qdm_qiskit.engine.compile import compile_circuit
from qdm_qiskit.engine.expressions import compile_angle
from qdm_qiskit.engine.operations import Operation, apply_matrix, fold
from qdm_qiskit.engine.program import CircuitProgram

N = 5


def folded(operations: list[Operation], max_qubits: int) -> CircuitProgram:
    return CircuitProgram(
        num_qubits=N,
        num_inputs=3,
        num_weights=3,
        operations=operations,
        blocks=fold(operations, max_qubits),
        phases=[],
    )


def operations_of(seed: int) -> tuple[QuantumCircuit, ParameterVector, list[Operation]]:
    """Fixed gates, weights, and now and then a gate that depends on inputs."""
    rng = np.random.default_rng(seed)
    circuit, operations, values = QuantumCircuit(N), [], ParameterVector("v", 6)
    positions = {v: ("inputs", k) if k < 3 else ("weights", k - 3) for k, v in enumerate(values)}
    for _ in range(40):
        qubits = tuple(int(k) for k in rng.permutation(N)[: rng.integers(1, 4)])
        if rng.random() < 0.4:
            angle = values[int(rng.integers(6))]
            circuit.ry(angle, qubits[0])
            operations.append(
                Operation(qubits[:1], gate="ry", angles=(compile_angle(angle, positions),))
            )
        else:
            matrix = random_unitary(2 ** len(qubits), seed=rng).data
            circuit.unitary(matrix, qubits)
            operations.append(Operation(qubits, matrix=matrix))
    return circuit, values, operations


@pytest.mark.parametrize("max_qubits", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(4))
def test_every_block_size_gives_the_same_unitary(max_qubits, seed):
    circuit, values, operations = operations_of(seed)
    numbers = np.random.default_rng(seed).uniform(-3, 3, 6)
    x, w = np.split(numbers, 2)
    program = folded(operations, max_qubits)
    identity = torch.eye(2**N, dtype=torch.complex128)
    inputs = torch.tensor(x).expand(2**N, 3)
    rows = program.statevector(inputs, torch.tensor(w), identity).numpy()
    used = {v: x for v, x in zip(values, numbers, strict=True) if v in circuit.parameters}
    expected = Operator(circuit.assign_parameters(used)).data
    np.testing.assert_allclose(rows.T, expected, atol=1e-12)


@pytest.mark.parametrize("max_qubits", [1, 2, 3, 5])
def test_blocks_hold_each_operation_once_and_stay_small(max_qubits):
    _, _, operations = operations_of(7)
    blocks = fold(operations, max_qubits)
    members = [operation for block in blocks for operation in block.operations]
    assert sorted(map(id, members)) == sorted(map(id, operations))
    for block in blocks:
        if len(block.operations) > 1:
            support = {qubit for operation in block.operations for qubit in operation.qubits}
            assert block.qubits == tuple(sorted(support))
            assert len(support) <= max_qubits
            assert not any(operation.depends_on_inputs for operation in block.operations)
    assert len(fold(operations, 5)) < len(operations)


def test_folding_joins_a_shared_circuit_into_few_blocks():
    program = compile_circuit(random_circuit(5, 10, max_operands=2, seed=0))
    assert len(program._blocks) == 1


def test_apply_matrix_with_one_matrix_a_sample():
    rng = np.random.default_rng(0)
    states = torch.tensor(rng.normal(size=(3, 8)) + 0j)
    matrices = torch.tensor(np.stack([random_unitary(4, seed=s).data for s in range(3)]))
    got = apply_matrix(states, matrices, (2, 0))
    for row in range(3):
        circuit = QuantumCircuit(3)
        circuit.unitary(matrices[row].numpy(), [2, 0])
        np.testing.assert_allclose(
            got[row], Operator(circuit).data @ states[row].numpy(), atol=1e-13
        )
