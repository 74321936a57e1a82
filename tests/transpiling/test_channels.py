"""Success by the noise that Aer applies: beside Aer's own channels."""

from __future__ import annotations

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import CZGate, SXGate
from qiskit.quantum_info import SuperOp, average_gate_fidelity
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

from qdm_qiskit.execution.region import noise_of
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.channels import gate_success, is_dead, relaxation_fidelity
from qdm_qiskit.transpiling.cost import circuit_cost

# fake_kingston 146 has no T1, fake_poughkeepsie a dt of 4e-18 s, fake_johannesburg u1, u2 and u3.
REGIONS = {
    "fake_osaka": (38, 39, 40, 41, 42, 43),
    "fake_brisbane": (44, 45, 118, 119, 120),
    "fake_kyiv": (28, 29, 35, 95, 96),
    "fake_johannesburg": (0, 1, 2, 3),
    "fake_poughkeepsie": (0, 1, 2, 3),
    "fake_fractional": (0, 1, 2),
}


@pytest.mark.parametrize("name", REGIONS)
def test_success_of_each_gate_is_the_average_fidelity_of_aers_channel(name):
    backend = load_backend(name)
    qubits = frozenset(REGIONS[name])
    target, errors = backend.target, noise_of(backend, qubits)._local_quantum_errors
    compared = 0
    for gate in target.operation_names:
        if not isinstance(target.operation_from_name(gate), Gate):
            continue
        for where, properties in target[gate].items():
            if qubits.issuperset(where) and not is_dead(properties):
                error = errors.get(gate, {}).get(where)
                applied = 1.0 if error is None else average_gate_fidelity(SuperOp(error))
                assert gate_success(target, properties, where) == pytest.approx(applied, abs=1e-12)
                compared += 1
    assert compared > 3 * len(qubits)


def test_a_qubit_without_t1_relaxes_as_in_aers_model():
    backend = load_backend("fake_kingston")
    [lacking] = [q for q, each in enumerate(backend.target.qubit_properties) if not each.t1]
    errors = noise_of(backend, frozenset([lacking]))._local_quantum_errors
    for gate in ("sx", "x"):
        properties = backend.target[gate][(lacking,)]
        found = gate_success(backend.target, properties, [lacking])
        error = errors.get(gate, {}).get((lacking,))
        if is_dead(properties):
            assert found == 0
        else:
            applied = 1.0 if error is None else average_gate_fidelity(SuperOp(error))
            assert found == pytest.approx(applied, abs=1e-12)


@pytest.mark.parametrize(("name", "worse", "working"), [("fake_osaka", 52, 137),
                                                        ("fake_brisbane", 37, 143),
                                                        ("fake_kyiv", 19, 139),
                                                        ("fake_torino", 0, 278)])  # fmt: skip
def test_relaxation_alone_is_worse_than_the_calibrated_error_for_many_gates(name, worse, working):
    target = load_backend(name).target
    pairs = target["cz" if "cz" in target.operation_names else "ecr"]
    alive = {q: p for q, p in pairs.items() if not is_dead(p)}
    assert len(alive) == working
    assert sum(gate_success(target, p, q) < 1 - p.error - 1e-9 for q, p in alive.items()) == worse


@pytest.mark.parametrize(("pair", "success", "calibrated"), [((40, 39), 0.7241, 0.9530),
                                                             ((42, 43), 0.7144, 0.9501),
                                                             ((42, 41), 0.7067, 0.9178)])  # fmt: skip
def test_ten_ecr_of_one_pair_succeed_as_their_channel_does(pair, success, calibrated):
    """The composed channel's own average fidelity lies above: some errors undo others."""
    backend = load_backend("fake_osaka")
    circuit = QuantumCircuit(backend.num_qubits)
    for _ in range(10):
        circuit.ecr(*pair)
    found = circuit_cost(circuit, backend.target).gate_success
    assert found == pytest.approx(success, abs=1e-4)
    assert (1 - backend.target["ecr"][pair].error) ** 10 == pytest.approx(calibrated, abs=1e-4)
    error = SuperOp(noise_of(backend, frozenset(pair))._local_quantum_errors["ecr"][pair])
    step = SuperOp(backend.target.operation_from_name("ecr")).compose(error)
    composed = average_gate_fidelity(step.power(10))
    assert found < composed < found + 0.05


def two_qubits(t1=None, t2=None, error=0.01, duration=1e-6):
    target = Target(num_qubits=2, qubit_properties=[QubitProperties(t1=t1, t2=t2)] * 2)
    one = {(q,): InstructionProperties(duration, error) for q in range(2)}
    target.add_instruction(SXGate(), one)
    target.add_instruction(CZGate(), {(0, 1): InstructionProperties(duration, error)})
    return target


def test_a_dead_gate_has_no_success_and_no_times_no_relaxation():
    for error in (1.0, 1.5, float("nan")):
        target = two_qubits(error=error)
        assert gate_success(target, target["cz"][(0, 1)], (0, 1)) == 0
    for target in (two_qubits(), two_qubits(t1=1e-6, t2=1e-6, duration=None)):
        assert gate_success(target, target["cz"][(0, 1)], (0, 1)) == 0.99
    assert relaxation_fidelity(two_qubits(t1=1e-6), 0.0, (0,)) == 1
    assert relaxation_fidelity(Target(num_qubits=1), 1e-6, (0,)) == 1


@pytest.mark.parametrize(("t1", "t2"), [(2e-6, 3e-6), (2e-6, 9e-6), (None, 3e-6), (2e-6, None)])
def test_relaxation_is_qiskit_aers(t1, t2):
    from qiskit_aer.noise import thermal_relaxation_error

    inf = float("inf")
    bounded = min(t2 or inf, 2 * (t1 or inf))
    one = SuperOp(thermal_relaxation_error(t1 or inf, bounded, 1e-6))
    target = two_qubits(t1, t2)
    assert relaxation_fidelity(target, 1e-6, (0,)) == pytest.approx(average_gate_fidelity(one))
    both = average_gate_fidelity(one.tensor(one))
    assert relaxation_fidelity(target, 1e-6, (0, 1)) == pytest.approx(both)


def test_identity_gates_cost_what_aer_applies():
    backend = load_backend("fake_osaka")
    circuit = QuantumCircuit(backend.num_qubits)
    circuit.id(40)
    error = SuperOp(noise_of(backend, frozenset([40]))._local_quantum_errors["id"][(40,)])
    applied = average_gate_fidelity(error)
    assert circuit_cost(circuit, backend.target).gate_success == pytest.approx(applied, abs=1e-12)
    assert applied < 1


def test_measurements_of_any_name_are_readout():
    backend = load_backend("fake_kingston")
    circuit = QuantumCircuit(backend.num_qubits, 1)
    operation = backend.target.operation_from_name("measure_2")
    circuit.append(operation, [0], [0])
    cost = circuit_cost(circuit, backend.target)
    assert cost.gate_success == 1
    assert cost.readout_success == 1 - backend.target["measure_2"][(0,)].error
