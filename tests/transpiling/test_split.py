import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator

from qdm_qiskit.errors import UnsupportedCircuit
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.passes import transpile_for
from qdm_qiskit.transpiling.split import DENOISER, has_barrier, split_at_barrier


def full(num_qubits=4):
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.ry(Parameter(f"x_{qubit:04d}"), qubit)
    for qubit in range(num_qubits):
        circuit.cx(qubit, (qubit + 2) % num_qubits)
    circuit.barrier(label=DENOISER)
    for qubit in range(num_qubits):
        circuit.cx(qubit, (qubit + 1) % num_qubits)
    return circuit


@pytest.mark.parametrize("seed", range(3))
def test_parts_compose_to_the_transpiled_circuit(seed):
    circuit = full().assign_parameters([0.1, 0.2, 0.3, 0.4])
    isa = transpile_for(circuit, load_backend("fake_quito"), seed=seed)
    loader, denoiser = split_at_barrier(isa)
    assert Operator(loader.compose(denoiser)) == Operator(isa)
    assert loader.count_ops()["cx"] > 0
    assert denoiser.count_ops()["cx"] > 0


def test_logical_parts_are_what_was_written():
    loader, denoiser = split_at_barrier(full())
    assert loader.count_ops() == {"ry": 4, "cx": 4}
    assert denoiser.count_ops() == {"cx": 4}
    assert loader.num_parameters == 4
    assert denoiser.num_parameters == 0


def test_end_of_a_swap_outside_the_barrier_is_the_loaders():
    circuit = QuantumCircuit(3)
    circuit.cx(0, 2)
    circuit.barrier(0, 1, label=DENOISER)
    circuit.sx(2)
    circuit.h(0)
    loader, denoiser = split_at_barrier(circuit)
    assert loader.count_ops() == {"cx": 1, "sx": 1}
    assert denoiser.count_ops() == {"h": 1}


@pytest.mark.parametrize("barriers", [0, 2])
def test_exactly_one_barrier_is_needed(barriers):
    circuit = QuantumCircuit(2)
    circuit.barrier()
    for _ in range(barriers):
        circuit.barrier(label=DENOISER)
    assert has_barrier(circuit) == (barriers > 0)
    with pytest.raises(UnsupportedCircuit, match=f"has {barriers}; build"):
        split_at_barrier(circuit)
