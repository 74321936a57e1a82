"""Fingerprints of circuits: equal for the same circuit made anew, different for any other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import PauliEvolutionGate, UnitaryGate, XGate
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.circuits import CircuitSpec
from qdm_qiskit.circuits.fingerprint import circuit_fingerprint
from qdm_qiskit.execution.calls import CircuitCall


def made(change: str = "") -> QuantumCircuit:
    a, b = Parameter("a"), Parameter("c" if change == "name" else "b")
    circuit = QuantumCircuit(3, 1)
    circuit.rx(a + (3 if change == "expression" else 2) * b, 0)
    circuit.ry(0.25 if change == "angle" else 0.5, 1)
    circuit.cz(0, 2 if change == "qubit" else 1)
    circuit.append(XGate().control(1, ctrl_state=0 if change == "control" else 1), [0, 1])
    matrix = np.diag([1, -1 if change == "matrix" else 1j])
    circuit.append(UnitaryGate(matrix), [2])
    term = "ZX" if change == "evolution" else "ZZ"
    circuit.append(PauliEvolutionGate(SparsePauliOp(term), 0.3), [0, 1])
    own = QuantumCircuit(1)
    own.h(0) if change == "definition" else own.s(0)
    gate = Gate("own", 1, [])
    gate.definition = own
    circuit.append(gate, [1])
    circuit.measure(1 if change == "measure" else 0, 0)
    return circuit


CHANGES = (
    *("name", "expression", "angle", "qubit", "control", "matrix", "evolution", "definition"),
    "measure",
)


def test_the_same_circuit_made_anew_is_the_same():
    assert circuit_fingerprint(made()) == circuit_fingerprint(made())


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_seen(change):
    assert circuit_fingerprint(made(change)) != circuit_fingerprint(made())


# Qiskit itself drops tiny factors in one order of terms and keeps them in another.
FACTORS = st.floats(-3, 3).filter(lambda value: value == 0 or abs(value) > 1e-9)


@settings(deadline=None, max_examples=40)
@given(st.lists(FACTORS, min_size=3, max_size=3))
def test_ways_to_write_a_sum_are_one(weights):
    found = []
    for order in ((0, 1, 2), (2, 0, 1)):
        names = [Parameter(f"p{k}") for k in range(3)]
        total = sum(weights[k] * names[k] for k in order)
        circuit = QuantumCircuit(1)
        circuit.rz(total, 0)
        found.append(circuit_fingerprint(circuit))
    assert found[0] == found[1]


def test_a_call_of_two_parameters_in_a_gate_has_one_content():
    def content() -> str:
        image, theta = Parameter("image"), Parameter("theta")
        circuit = QuantumCircuit(1)
        circuit.rx(image * theta + theta, 0)
        spec = CircuitSpec.from_circuit(circuit, inputs=[image], weights=[theta], readout=[0])
        call = CircuitCall(name="x", spec=spec, angles=np.ones(1), inputs=np.ones((1, 1)))
        return call.content

    assert content() == content()
