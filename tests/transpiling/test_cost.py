import math

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Measure, Parameter
from qiskit.circuit.library import CXGate, CZGate, RZGate, RZZGate, SXGate
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

from qdm_qiskit.errors import UnsupportedCircuit
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.cost import circuit_cost, logical_cost
from qdm_qiskit.transpiling.passes import transpile_for
from qdm_qiskit.transpiling.split import DENOISER, split_at_barrier

T1, T2 = 100e-6, 80e-6


def device(measure_duration=1e-6, cz_error=0.02):
    """Three qubits in a row with round numbers."""
    pairs = [(0, 1), (1, 0), (1, 2), (2, 1)]
    one = [(q,) for q in range(3)]
    target = Target(num_qubits=3, dt=1e-9, qubit_properties=[QubitProperties(t1=T1, t2=T2)] * 3)
    theta = Parameter("theta")
    target.add_instruction(SXGate(), {q: InstructionProperties(30e-9, 0.001) for q in one})
    target.add_instruction(RZGate(theta), {q: InstructionProperties(0.0, 0.0) for q in one})
    target.add_instruction(CZGate(), {q: InstructionProperties(70e-9, cz_error) for q in pairs})
    target.add_instruction(RZZGate(theta), {q: InstructionProperties(90e-9, 0.03) for q in pairs})
    target.add_instruction(
        Measure(),
        {q: InstructionProperties(measure_duration, 0.1 * (k + 1)) for k, q in enumerate(one)},
    )
    target.add_instruction(Delay(Parameter("t")), dict.fromkeys(one))
    return target


def test_hand_counted_circuit():
    circuit = QuantumCircuit(3, 2)
    circuit.sx(0)
    circuit.rz(Parameter("x_0000"), 0)
    circuit.cz(0, 1)
    circuit.cz(1, 2)
    circuit.rzz(0.3, 0, 1)
    circuit.barrier()
    circuit.measure([0, 1], [0, 1])
    cost = circuit_cost(circuit, device())
    assert cost.gates == {"cz": 2, "measure": 2, "rz": 1, "rzz": 1, "sx": 1}
    assert cost.depth == 6
    assert cost.two_qubit_depth == 3
    assert cost.two_qubit_count == 3
    assert cost.cnot_equivalents == 1 + 1 + 2
    assert cost.gate_success == pytest.approx(0.999 * 0.98**2 * 0.97)
    assert cost.readout_success == pytest.approx(0.9 * 0.8)
    assert cost.expected_success == pytest.approx(0.999 * 0.98**2 * 0.97 * 0.9 * 0.8)
    assert cost.readout_error == pytest.approx(0.15)
    assert cost.duration_seconds == pytest.approx(30e-9 + 2 * 70e-9 + 90e-9 + 1e-6)


def test_duration_of_two_gates_and_the_wait_between_them():
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.sx(1)
    circuit.sx(1)
    circuit.rz(0.5, 0)
    circuit.cz(0, 1)
    cost = circuit_cost(circuit, device())
    assert cost.duration_seconds == pytest.approx(2 * 30e-9 + 70e-9)
    wait = 30e-9
    process = (1 + math.exp(-wait / T1) + 2 * math.exp(-wait / T2)) / 4
    assert cost.idle_success == pytest.approx((2 * process + 1) / 3, abs=1e-12)
    assert cost.idle_success < 1


def test_independent_gates_run_side_by_side():
    circuit = QuantumCircuit(3)
    circuit.sx(0)
    circuit.cz(1, 2)
    cost = circuit_cost(circuit, device())
    assert cost.duration_seconds == pytest.approx(70e-9)
    assert cost.depth == 1


def test_barrier_holds_a_qubit_back_and_the_ground_state_does_not_decay():
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    late = QuantumCircuit(2)
    late.sx(0)
    late.barrier()
    late.sx(1)
    assert circuit_cost(late, device()).duration_seconds == pytest.approx(60e-9)
    assert circuit_cost(late, device()).idle_success == 1


@pytest.mark.parametrize(("amount", "unit", "seconds"), [(50, "dt", 50e-9), (2.0, "us", 2e-6)])
def test_delay_counts_as_time_and_not_as_error(amount, unit, seconds):
    circuit = QuantumCircuit(1)
    circuit.sx(0)
    circuit.delay(amount, 0, unit)
    circuit.sx(0)
    cost = circuit_cost(circuit, device())
    assert cost.duration_seconds == pytest.approx(60e-9 + seconds)
    assert cost.gate_success == pytest.approx(0.999**2)


def test_empty_circuit_costs_nothing():
    cost = circuit_cost(QuantumCircuit(3), device())
    assert (cost.depth, cost.gates, cost.duration_seconds) == (0, {}, 0.0)
    assert cost.expected_success == 1
    assert cost.readout_error is None


def test_device_without_durations_gives_no_duration():
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    cost = circuit_cost(circuit, device(measure_duration=None))
    assert cost.duration_seconds is None
    assert cost.idle_success is None
    assert cost.readout_success == pytest.approx(0.9)


def test_gate_without_error_is_refused():
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    with pytest.raises(UnsupportedCircuit, match="gives no error for 'cz'"):
        circuit_cost(circuit, device(cz_error=None))


@pytest.mark.parametrize(("gate", "qubits"), [(CXGate(), [0, 1]), (CZGate(), [0, 2])])
def test_circuit_of_another_device_is_refused(gate, qubits):
    circuit = QuantumCircuit(3)
    circuit.append(gate, qubits)
    with pytest.raises(UnsupportedCircuit, match="not transpiled for this device"):
        circuit_cost(circuit, device())


def test_parts_add_up_to_the_whole():
    circuit = QuantumCircuit(5)
    for qubit in range(5):
        circuit.ry(Parameter(f"x_{qubit:04d}"), qubit)
    for qubit in range(5):
        circuit.cx(qubit, (qubit + 2) % 5)
    circuit.barrier(label=DENOISER)
    for qubit in range(5):
        circuit.cx(qubit, (qubit + 1) % 5)
    circuit.measure_all()
    backend = load_backend("fake_torino")
    isa = transpile_for(circuit, backend, seed=1)
    whole = circuit_cost(isa, backend.target)
    loader, denoiser = (circuit_cost(c, backend.target) for c in split_at_barrier(isa))
    names = loader.gates.keys() | denoiser.gates.keys()
    sums = {name: loader.gates.get(name, 0) + denoiser.gates.get(name, 0) for name in names}
    assert sums == whole.gates
    assert loader.two_qubit_count + denoiser.two_qubit_count == whole.two_qubit_count
    assert loader.cnot_equivalents + denoiser.cnot_equivalents == whole.cnot_equivalents
    assert loader.expected_success * denoiser.expected_success == pytest.approx(
        whole.expected_success
    )
    assert loader.depth + denoiser.depth >= whole.depth
    assert loader.duration_seconds + denoiser.duration_seconds >= whole.duration_seconds - 1e-15
    assert loader.readout_error is None


def test_logical_cost_counts_cnots():
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cz(0, 1)
    circuit.rzz(Parameter("x_0000"), 1, 2)
    circuit.swap(0, 1)
    circuit.ccx(0, 1, 2)
    cost = logical_cost(circuit)
    assert cost.cnot_count == 1 + 2 + 3 + 6
    assert cost.parameters == 1
    assert cost.cnot_depth == 12


def test_logical_cost_optimizes_nothing_away():
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    circuit.cx(0, 1)
    assert logical_cost(circuit).cnot_count == 2
