"""Aer must run what Qiskit means: free angles, controls on 0, and labels under a device's noise."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ControlledGate, Parameter
from qiskit.circuit.library import (
    CSwapGate,
    CUGate,
    CXGate,
    CZGate,
    MCPhaseGate,
    get_standard_gate_name_mapping,
)
from qiskit.quantum_info import Operator, Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from qdm_qiskit.errors import UnsupportedCircuit
from qdm_qiskit.execution.aer_circuits import for_aer, on_ones
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.passes import transpile_for

SHOTS = 20_000
NAMED = get_standard_gate_name_mapping()
FREE = [name for name, gate in NAMED.items() if gate.params and isinstance(gate, ControlledGate)]


def around(gate, phase=0.0) -> QuantumCircuit:
    """A gate between rotations that make all of its matrix visible in probabilities."""
    n = gate.num_qubits
    circuit = QuantumCircuit(n, global_phase=phase)
    for qubit in range(n):
        circuit.u(0.4 + qubit, 1.3, 0.2 * qubit, qubit)
    circuit.append(gate, range(n))
    circuit.barrier()
    circuit.append(gate, list(reversed(range(n))))
    for qubit in range(n):
        circuit.u(1.1 - qubit, 0.3, 0.7, qubit)
    return circuit


def aer_probabilities(circuit: QuantumCircuit, values: np.ndarray) -> np.ndarray:
    saved = for_aer(circuit)
    saved = saved.copy()
    saved.save_probabilities()
    binds = {p: values[:, k].tolist() for k, p in enumerate(circuit.parameters)}
    result = AerSimulator().run(saved, parameter_binds=[binds] if binds else None).result()
    return np.array([result.data(k)["probabilities"] for k in range(len(values))])


def exact(circuit: QuantumCircuit, values: np.ndarray) -> np.ndarray:
    return np.array([Statevector(circuit.assign_parameters(v)).probabilities() for v in values])


@pytest.mark.parametrize("ctrl_state", [None, 0])
@pytest.mark.parametrize("name", [*FREE, "mcphase"])
def test_every_controlled_gate_with_free_angles(name, ctrl_state):
    a, b, c, d = (Parameter(letter) for letter in "dacb")
    angles = [2 * a - 0.3, b.sin(), c * a, d]
    gate = (
        MCPhaseGate(a, 2, ctrl_state=ctrl_state)
        if name == "mcphase"
        else NAMED[name].base_class(*angles[: len(NAMED[name].params)], ctrl_state=ctrl_state)
    )
    circuit = around(gate, phase=a)
    before = circuit.copy()
    values = np.random.default_rng(2).uniform(-3, 3, (3, circuit.num_parameters))
    assert np.abs(aer_probabilities(circuit, values) - exact(circuit, values)).max() < 1e-12
    assert circuit == before  # Aer itself writes into cu gates
    assert list(for_aer(circuit).parameters) == list(circuit.parameters)


def test_angles_that_are_partly_free():
    a = Parameter("a")
    for angles in ((a, 0.1, 0.2, 0.7), (0.1, 0.2, 0.3, a), (0.1, a, 0.3, a)):
        circuit = around(CUGate(*angles))
        values = np.array([[0.4], [-1.2]])
        assert np.abs(aer_probabilities(circuit, values) - exact(circuit, values)).max() < 1e-12


@pytest.mark.parametrize("ctrl_state", [0, 1, 2, 3])
def test_open_controls_are_written_out(ctrl_state):
    for name, gate in NAMED.items():
        if isinstance(gate, ControlledGate) and not gate.params:
            state = ctrl_state % 2**gate.num_ctrl_qubits
            this = gate.base_class(ctrl_state=state)
            circuit, parts = QuantumCircuit(gate.num_qubits), QuantumCircuit(gate.num_qubits)
            circuit.append(this, range(gate.num_qubits))
            for part, places in on_ones(this):
                parts.append(part, places)
                assert "_o" not in part.name, name
            assert Operator(parts) == Operator(circuit), name


def test_an_open_controlled_swap_swaps():
    circuit = around(CSwapGate(ctrl_state=0))
    nothing = np.zeros((1, 0))
    assert np.abs(aer_probabilities(circuit, nothing) - exact(circuit, nothing)).max() < 1e-12


def test_circuits_that_aer_runs_right_stay_as_they_are():
    circuit = QuantumCircuit(2, 2)
    circuit.rx(Parameter("a"), 0)
    circuit.crz(0.3, 0, 1)
    circuit.measure([0, 1], [0, 1])
    assert for_aer(circuit) is circuit


def test_control_flow_is_looked_into():
    a = Parameter("a")
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.crx(a, 0, 1)
    circuit.measure(1, 1)
    (counts,) = make_runner("aer", seed=1).run([(circuit, [[np.pi], [0.0]])], shots=50)
    assert counts.tolist() == [[0, 0, 0, 50], [0, 50, 0, 0]]


def test_noise_is_found_by_the_same_names():
    a = Parameter("a")
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.3, 2), ["cp"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 1), ["x"])
    free, bound = QuantumCircuit(2), QuantumCircuit(2)
    for circuit, angle in ((free, a), (bound, 0.8)):
        circuit.h([0, 1])
        circuit.append(NAMED["cp"].base_class(angle, ctrl_state=0), [0, 1])
        circuit.h([0, 1])
        circuit.save_density_matrix()
    simulator = AerSimulator(noise_model=noise, method="density_matrix")
    result = simulator.run(for_aer(free), parameter_binds=[{a: [0.8]}]).result()
    expected = simulator.run(bound).result().data(0)["density_matrix"]
    assert np.abs(np.asarray(result.data(0)["density_matrix"]) - np.asarray(expected)).max() < 1e-12


@pytest.mark.parametrize("transpiled", [False, True])
@pytest.mark.parametrize("name", FREE)
def test_the_aer_runner_binds_every_controlled_angle(name, transpiled):
    angles = [Parameter(f"p{k}") for k in range(len(NAMED[name].params))]
    circuit = around(NAMED[name].base_class(*angles))
    values = np.random.default_rng(3).uniform(-3, 3, (2, len(angles)))
    p = exact(circuit, values)
    circuit.measure_all()
    runner = make_runner("aer", seed=4)
    if transpiled:
        circuit = transpile_for(circuit, runner.backend, level=1, seed=0)
    (counts,) = runner.run([(circuit, values)], shots=SHOTS)
    sigma = np.sqrt(p * (1 - p) / SHOTS)
    assert (np.abs(counts / SHOTS - p) <= 5 * sigma + 1 / SHOTS).all()


def test_gates_that_aer_does_not_know_are_refused_in_one_line():
    circuit = QuantumCircuit(2, 2)
    circuit.append(NAMED["iswap"], [0, 1])
    circuit.measure([0, 1], [0, 1])
    with pytest.raises(UnsupportedCircuit, match=r"iswap.*call transpile_for"):
        make_runner("aer", seed=1).run([(circuit, np.zeros((1, 0)))], shots=10)


@pytest.mark.parametrize("target", ["noisy:fake_lagos", "local:fake_lagos"])
def test_labelled_gates_have_the_noise_of_their_names_on_devices(target):
    runner = make_runner(target, seed=3)
    gate = "cx" if "cx" in runner.backend.target.operation_names else "cz"
    plain, labelled = QuantumCircuit(7, 2), QuantumCircuit(7, 2)
    for circuit, label in ((plain, None), (labelled, "entangler")):
        for _ in range(40):
            circuit.append({"cx": CXGate, "cz": CZGate}[gate](label=label), [0, 1])
        circuit.measure([0, 1], [0, 1])
    nothing = np.zeros((1, 0))
    (a,), (b,) = (runner.run([(c, nothing)], shots=2000, seed=5) for c in (plain, labelled))
    np.testing.assert_array_equal(a, b)
    assert a[0, 0] < 1700
    runner = NoisyRunner("fake_lagos", seed=0)
    np.testing.assert_array_equal(
        runner.exact_probabilities(plain, nothing), runner.exact_probabilities(labelled, nothing)
    )


@pytest.mark.slow
def test_every_coupling_of_a_device_is_known_to_its_noise():
    from qdm_qiskit.execution.noise_coverage import NoiseCoverage
    from qdm_qiskit.execution.region import noise_of

    for name in ("fake_lagos", "fake_torino", "fake_cairo", "fake_kyoto"):
        target = load_backend(name).target
        qubits = frozenset(range(min(target.num_qubits, 12)))
        coverage = NoiseCoverage(noise_of(load_backend(name), qubits))
        for operation, where in target.instructions:
            if where is not None and qubits.issuperset(where) and operation.name != "measure":
                if operation.name in ("reset", "delay"):
                    continue
                assert coverage.gap(operation, where) is None, (name, operation.name, where)
