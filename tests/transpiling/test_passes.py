from dataclasses import replace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

from qdm_qiskit.errors import InvalidData, InvalidOption, UnsupportedCircuit
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.passes import (
    Trial,
    best_trial,
    layout_trials,
    measured_physical_qubits,
    select_values,
    transpile_for,
)


def ring(num_qubits=4):
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.ry(Parameter(f"x_{qubit:04d}"), qubit)
    for qubit in range(num_qubits):
        circuit.cx(qubit, (qubit + 1) % num_qubits)
    circuit.measure_all()
    return circuit


@pytest.fixture(scope="module")
def backend():
    return load_backend("fake_torino")


def test_one_transpilation_keeps_the_parameters_free(backend):
    isa = transpile_for(ring(), backend, seed=1)
    assert [p.name for p in isa.parameters] == [f"x_{k:04d}" for k in range(4)]


@pytest.mark.parametrize("level", range(4))
def test_same_seed_gives_the_same_circuit(backend, level):
    circuit = ring()
    a, b = (transpile_for(circuit, backend, level=level, seed=5) for _ in range(2))
    assert a == b


def test_initial_layout_is_kept(backend):
    isa = transpile_for(ring(2), backend, seed=1, initial_layout=[5, 4])
    assert measured_physical_qubits(isa) == (5, 4)


def test_transpiles_for_a_bare_target(backend):
    circuit = ring()
    a = transpile_for(circuit, backend.target, seed=2)
    assert a == transpile_for(circuit, backend, seed=2)


def test_trials_are_one_a_seed_and_the_best_is_most_likely_to_succeed(backend):
    seen = []
    trials = layout_trials(
        ring(5),
        backend,
        seeds=[3, 1, 4],
        progress=lambda each: seen.append((each.done, each.total)),
    )
    assert [t.seed for t in trials] == [3, 1, 4]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    best = best_trial(trials)
    assert best.cost.expected_success == max(t.cost.expected_success for t in trials)


def test_tie_goes_to_fewer_two_qubit_gates(backend):
    (trial,) = layout_trials(ring(), backend, seeds=[1])
    fewer = replace(trial.cost, two_qubit_count=trial.cost.two_qubit_count - 1)
    other = Trial(2, trial.circuit, fewer)
    assert best_trial([trial, other]) is other
    assert best_trial([other, trial]) is other


def test_measured_qubits_carry_the_logical_ones(backend):
    """X on logical qubit 2 alone must come out as classical bit 2."""
    circuit = QuantumCircuit(4)
    circuit.x(2)
    circuit.measure_all()
    isa = transpile_for(circuit, backend, seed=1)
    (flipped,) = (isa.find_bit(i.qubits[0]).index for i in isa.data if i.operation.name == "x")
    assert measured_physical_qubits(isa)[2] == flipped


@pytest.mark.parametrize("bad", ["twice", "never"])
def test_each_bit_is_measured_once(bad):
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    if bad == "twice":
        circuit.measure(1, 0)
    with pytest.raises(UnsupportedCircuit, match=r"more than once|never measures"):
        measured_physical_qubits(circuit)


def test_values_follow_a_parameter_that_the_transpiler_drops(backend):
    """RZ before a measurement is dropped at level 3; later values must not move up."""
    circuit = QuantumCircuit(2, 2)
    circuit.ry(Parameter("x_0000"), 0)
    circuit.rz(Parameter("x_0001"), 0)
    circuit.ry(Parameter("x_0002"), 1)
    circuit.measure([0, 1], [0, 1])  # measure_all would keep the RZ behind its barrier
    isa = transpile_for(circuit, backend, level=3, seed=1)
    assert [p.name for p in isa.parameters] == ["x_0000", "x_0002"]
    values = np.array([[0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(select_values(values, circuit, isa), [[0.1, 0.3]])
    bare = circuit.remove_final_measurements(inplace=False)
    state = Statevector(bare.assign_parameters(values[0]))
    assert state.probabilities([1])[1] == pytest.approx(np.sin(0.15) ** 2)


def test_values_of_a_wrong_shape_are_refused(backend):
    with pytest.raises(InvalidData, match="shape"):
        select_values(np.zeros((1, 3)), ring(), ring())


def test_bad_options_are_refused(backend):
    with pytest.raises(InvalidOption, match="level must be 0, 1, 2 or 3, got 4"):
        transpile_for(ring(), backend, level=4, seed=1)
    with pytest.raises(InvalidOption, match="at least one transpiler seed"):
        layout_trials(ring(), backend, seeds=[])
    with pytest.raises(InvalidOption, match="no trials"):
        best_trial([])
    with pytest.raises(UnsupportedCircuit, match="8 qubits and the device has 5"):
        transpile_for(ring(8), load_backend("fake_quito"), seed=1)
