"""Waits as delays: the circuit's action stays, and relaxation in them is exp(-t / T1)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import XGate
from qiskit.quantum_info import Operator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from qdm_qiskit.engine.noise.engine_runner import NoisyEngineRunner
from qdm_qiskit.errors import InvalidOption, UnsupportedCircuit
from qdm_qiskit.execution.devices import make_device
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.compact import compact
from qdm_qiskit.transpiling.passes import transpile_for
from qdm_qiskit.transpiling.waits import with_waits

NO_VALUES = np.zeros((1, 0))


@pytest.fixture(scope="module")
def torino():
    return load_backend("fake_torino")


def depolarized() -> NoiseModel:
    """A noise model as a device: without durations, T1 and T2."""
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.01, 1), ["x", "sx", "rz"])
    return noise


def waiting(gates: int) -> QuantumCircuit:
    """Qubit 1 is excited and waits while qubit 0 goes through gates; qubit 1 is read."""
    circuit = QuantumCircuit(2, 1)
    circuit.x(1)
    circuit.barrier()
    for _ in range(gates):
        circuit.sx(0)
        circuit.rz(0.1, 0)
    circuit.barrier()
    circuit.measure(1, 0)
    return circuit


def test_a_waiting_qubit_relaxes_by_its_t1(torino):
    isa = transpile_for(waiting(300), torino, level=0, seed=1, initial_layout=[0, 1])
    padded = with_waits(isa, torino.target)
    runner = NoisyEngineRunner(torino, seed=1, noise="gates")
    [free], [waited] = (runner.exact_probabilities(each, NO_VALUES) for each in (isa, padded))
    seconds = 300 * torino.target["sx"][(0,)].duration
    t1 = torino.target.qubit_properties[1].t1
    assert waited[1] / free[1] == pytest.approx(math.exp(-seconds / t1), abs=1e-6)
    assert seconds / t1 > 0.01  # else the line above says nothing


@settings(max_examples=4, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-3, 3)), min_size=1, max_size=8))
@pytest.mark.parametrize("pulses", ["off", "XX", "XpXm", "XY4"])
def test_pulses_leave_the_action_of_a_circuit(torino, pulses, gates):
    circuit = QuantumCircuit(3)
    for qubit, angle in gates:
        circuit.ry(angle, qubit)
        circuit.cx(qubit, (qubit + 1) % 3)
    isa = transpile_for(circuit, torino, level=1, seed=1, initial_layout=[0, 1, 2])
    padded = with_waits(isa, torino.target, pulses)
    assert Operator(compact(padded).circuit).equiv(Operator(compact(isa).circuit))


def test_pulses_stand_in_waits_that_are_long_enough(torino):
    isa = transpile_for(waiting(300), torino, level=0, seed=1, initial_layout=[0, 1])
    plain, pulsed = with_waits(isa, torino.target), with_waits(isa, torino.target, "XX")
    assert "delay" in plain.count_ops()
    assert pulsed.count_ops()["x"] > plain.count_ops()["x"]
    where = [pulsed.find_bit(i.qubits[0]).index for i in pulsed.data if i.operation == XGate()]
    assert where.count(1) == 1 + 2 * (where.count(1) // 2)  # its own x, and pairs of pulses
    assert where.count(1) >= 3


def test_only_used_qubits_wait_and_parameters_stay_free(torino):
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    circuit.measure_all()
    isa = transpile_for(circuit, torino, seed=1)
    padded = with_waits(isa, torino.target, "XY4")
    assert padded.num_qubits == 133
    assert [p.name for p in padded.parameters] == ["a"]
    assert padded.name == isa.name

    def used(found: QuantumCircuit) -> set[int]:
        return {
            found.find_bit(q).index
            for i in found.data
            if i.operation.name != "barrier"
            for q in i.qubits
        }

    assert used(padded) == used(isa)


def test_without_durations_nobody_knows_where_a_circuit_waits(torino):
    device = make_device(depolarized(), name="bare")
    isa = transpile_for(waiting(2), device, seed=1)
    with pytest.raises(UnsupportedCircuit, match=r"The device gives no durations"):
        with_waits(isa, device.target)
    with pytest.raises(InvalidOption, match=r"pulses is off or XX or XpXm or XY4, got 'YY'"):
        with_waits(isa, torino.target, "YY")
