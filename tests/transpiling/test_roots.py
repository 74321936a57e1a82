"""Roots of gates: one answer, that of Qiskit's matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    ControlModifier,
    InverseModifier,
    Parameter,
    PowerModifier,
)
from qiskit.circuit.library import CXGate, ECRGate, HGate, RXGate, RZGate, SwapGate, YGate
from qiskit.quantum_info import Operator, Statevector
from qiskit.transpiler import Target

from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.errors import UnsupportedCircuit
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.transpiling.cost import logical_cost
from qdm_qiskit.transpiling.passes import transpile_for
from qdm_qiskit.transpiling.roots import with_roots_as_matrices

POWERS = [
    [PowerModifier(-0.5)],
    [PowerModifier(1 / 3)],
    [PowerModifier(-2.5)],
    [PowerModifier(2), PowerModifier(0.5)],
    [InverseModifier(), PowerModifier(0.5)],
    [PowerModifier(-0.5), ControlModifier(1, 0)],
    [ControlModifier(1, 0), PowerModifier(-0.25)],
    [PowerModifier(1 / 3), ControlModifier(1), PowerModifier(3), InverseModifier()],
]


def alone(operation):
    circuit = QuantumCircuit(operation.num_qubits)
    circuit.append(operation, circuit.qubits)
    return circuit


def target(num_qubits):
    return Target.from_configuration(["u", "cx"], num_qubits=num_qubits)


@pytest.mark.parametrize("modifiers", POWERS, ids=str)
@pytest.mark.parametrize("gate", [HGate(), YGate(), SwapGate(), ECRGate(), RZGate(5.0)])
def test_devices_get_the_root_that_the_reference_has(gate, modifiers):
    circuit = alone(AnnotatedOperation(gate, modifiers))
    isa = transpile_for(circuit, target(circuit.num_qubits), level=0, seed=1)
    assert Operator.from_circuit(isa).equiv(Operator(circuit))


def test_the_root_of_the_report():
    circuit = alone(HGate().power(-0.5, annotated=True))
    isa = transpile_for(circuit, target(1), seed=1)
    overlap = abs(np.trace(Operator(circuit).data.conj().T @ Operator(isa).data)) / 2
    assert overlap == pytest.approx(1)


def test_roots_inside_of_other_things():
    inner = QuantumCircuit(2, name="inner", global_phase=0.3)
    inner.h(0)
    inner.append(HGate().power(-0.5, annotated=True), [0])
    inner.cx(0, 1)
    outer = QuantumCircuit(3, name="outer")
    outer.append(inner.to_gate(), [1, 2])
    outer.append(inner.to_instruction(), [0, 1])
    circuit = QuantumCircuit(3)
    circuit.ry(1, 0)
    circuit.append(outer.to_instruction(), [0, 1, 2])
    circuit.append(AnnotatedOperation(inner.to_gate(), ControlModifier(1, 0)), [0, 1, 2])
    nested = AnnotatedOperation(
        AnnotatedOperation(HGate(), PowerModifier(-0.5)), ControlModifier(2, 1)
    )
    circuit.append(nested, [2, 0, 1])
    isa = transpile_for(circuit, target(3), level=0, seed=1, initial_layout=[0, 1, 2])
    assert Operator.from_circuit(isa).equiv(Operator(circuit))


def test_roots_in_a_branch():
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.append(HGate().power(-0.5, annotated=True), [0])
    block = with_roots_as_matrices(circuit).data[-1].operation.blocks[0]
    assert Operator(block) == Operator(HGate()).power(-0.5)


def test_a_root_with_many_controls_keeps_them():
    circuit = alone(AnnotatedOperation(HGate(), [PowerModifier(-0.5), ControlModifier(7)]))
    assert Operator(with_roots_as_matrices(circuit)).equiv(Operator(circuit))


def test_the_engine_takes_roots_of_more_qubits_than_it_has_matrices_for():
    # Six qubits: Qiskit's synthesis was asked here, which has the other root.
    inner = QuantumCircuit(6)
    for qubit in range(6):
        inner.h(qubit)
        inner.cx(qubit, (qubit + 1) % 6)
    circuit = QuantumCircuit(7)
    circuit.h(range(7))
    circuit.t(range(7))
    power = [PowerModifier(-0.5), ControlModifier(1, 0)]
    circuit.append(AnnotatedOperation(inner.to_gate(), power), range(7))
    state = compile_circuit(circuit, dtype=torch.float64).statevector()
    np.testing.assert_allclose(state[0].numpy(), Statevector(circuit).data, atol=1e-10)


def test_other_circuits_are_left_alone():
    circuit = alone(CXGate().power(2, annotated=True))
    assert with_roots_as_matrices(circuit) is circuit


@pytest.mark.parametrize("power", [2.0, -3.0])
def test_whole_powers_of_free_gates_are_no_roots(power):
    angle = Parameter("a")
    circuit = alone(AnnotatedOperation(RXGate(angle), PowerModifier(power)))
    isa = transpile_for(circuit, target(1), level=0, seed=1)
    assert Operator(isa.assign_parameters([0.4])).equiv(Operator(RXGate(0.4 * power)))


def test_what_has_no_matrix_is_refused_by_name():
    circuit = alone(AnnotatedOperation(RXGate(Parameter("a")), PowerModifier(-0.5)))
    message = "'rx' to the power -0.5 has free parameters"
    with pytest.raises(UnsupportedCircuit, match=message):
        transpile_for(circuit, target(1), seed=1)
    with pytest.raises(UnsupportedCircuit, match=message):
        logical_cost(circuit)
    wide = QuantumCircuit(7, name="wide")
    wide.h(range(7))
    with pytest.raises(UnsupportedCircuit, match=r"at most 2 qubits here, and 'wide'.* has 7"):
        transpile_for(alone(wide.to_gate().power(0.5, annotated=True)), target(7), seed=1)


def test_aer_names_what_it_does_not_run():
    circuit = alone(HGate().power(-0.5, annotated=True))
    circuit.measure_all()
    with pytest.raises(UnsupportedCircuit, match="holds annotated 'h'; call transpile_for"):
        make_runner("aer", seed=1).run([(circuit, np.zeros((1, 0)))], shots=10)
