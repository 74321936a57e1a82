"""How long qubits work and wait: by hand, and as Qiskit's own schedule has it."""

from __future__ import annotations

import math

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Measure, Parameter
from qiskit.circuit.library import CXGate, SXGate
from qiskit.transpiler import InstructionProperties, PassManager, Target
from qiskit.transpiler.passes import ASAPScheduleAnalysis, PadDelay

from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.transpiling.passes import transpile_for
from qdm_qiskit.transpiling.qubit_times import qubit_times


def three_qubits(*, durations: bool = True) -> Target:
    """A device of three qubits: sx takes 1 s, cx 3 s, reading 5 s."""

    def all_of(seconds: float, *places: tuple[int, ...]) -> dict[tuple[int, ...], object]:
        length = seconds if durations else None
        return {place: InstructionProperties(duration=length) for place in places}

    target = Target(num_qubits=3, dt=1.0)
    target.add_instruction(SXGate(), all_of(1.0, (0,), (1,), (2,)))
    target.add_instruction(CXGate(), all_of(3.0, (0, 1), (1, 2)))
    target.add_instruction(Measure(), all_of(5.0, (0,), (1,), (2,)))
    target.add_instruction(Delay(Parameter("t")), all_of(0.0, (0,), (1,), (2,)))
    return target


def test_work_and_waits_are_those_counted_by_hand():
    circuit = QuantumCircuit(3, 1)
    circuit.sx(0)  # 0 to 1
    circuit.sx(0)  # 1 to 2
    circuit.sx(1)  # 0 to 1, then 1 s of waiting
    circuit.cx(0, 1)  # 2 to 5
    circuit.measure(0, 0)  # 5 to 10
    found = qubit_times(circuit, three_qubits())
    assert (found.device_qubits, found.used, found.seconds) == (3, 2, 10.0)
    assert found.busy == {0: 10.0, 1: 4.0}
    assert found.idle == {0: 0.0, 1: 1.0}  # nothing waits behind a qubit's last operation
    assert found.busy_share == pytest.approx(14 / 20)
    assert found.record() == {
        "device_qubits": 3,
        "used": 2,
        "busy_share": pytest.approx(0.7),
        "idle_seconds": 1.0,
        "longest_idle_seconds": 1.0,
    }


def test_a_delay_is_a_wait_and_uses_no_qubit():
    circuit = QuantumCircuit(3)
    circuit.sx(0)
    circuit.delay(7, 0, "s")
    circuit.sx(0)
    circuit.delay(2, 2, "s")
    circuit.barrier()
    found = qubit_times(circuit, three_qubits())
    assert (found.used, found.busy, found.idle) == (1, {0: 2.0}, {0: 7.0})


def test_without_durations_only_qubits_are_counted():
    circuit = QuantumCircuit(3)
    circuit.cx(1, 2)
    found = qubit_times(circuit, three_qubits(durations=False))
    assert (found.used, found.seconds, found.busy_share) == (2, None, None)
    assert found.record()["idle_seconds"] is None


def test_waits_on_a_device_are_the_delays_that_qiskit_pads():
    backend = load_backend("fake_nairobi")
    logical = QuantumCircuit(4)
    for k in range(4):
        logical.ry(0.3 + k, k)
    for first, second in ((0, 1), (2, 3), (1, 2), (0, 3)):
        logical.cx(first, second)
    logical.measure_all()
    isa = transpile_for(logical, backend, seed=5)
    found = qubit_times(isa, backend.target)
    padded = PassManager(
        [ASAPScheduleAnalysis(target=backend.target), PadDelay(target=backend.target)]
    ).run(isa)
    dt = backend.target.dt
    waits: dict[int, float] = {}
    open_: dict[int, float] = {}
    for each in padded.data:
        qubits = [padded.find_bit(q).index for q in each.qubits]
        if each.operation.name == "delay":
            # Behind the last operation a delay is no wait: it counts once another one follows.
            open_[qubits[0]] = open_.get(qubits[0], 0.0) + each.operation.duration * dt
        elif each.operation.name != "barrier":
            for qubit in qubits:
                if qubit in waits:
                    waits[qubit] += open_.get(qubit, 0.0)
                else:
                    waits[qubit] = 0.0  # what came before is the ground state
                open_[qubit] = 0.0
    assert set(waits) == set(found.idle)
    assert found.used == len(waits)
    assert found.device_qubits - found.used == sum(
        not any(padded.find_bit(q).index == k for each in isa.data for q in each.qubits)
        for k in range(backend.num_qubits)
    )
    for qubit, seconds in waits.items():
        assert math.isclose(found.idle[qubit], seconds, abs_tol=2 * dt), qubit
