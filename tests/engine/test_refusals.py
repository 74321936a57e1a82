"""What the engine refuses, and how."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Operation, Parameter

from qdm_qiskit.engine import CircuitProgram, compile_circuit
from qdm_qiskit.errors import InvalidData, UnsupportedCircuit

p, q = Parameter("p"), Parameter("q")


def conditional() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    return circuit


def loop() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    with circuit.for_loop(range(2)):
        circuit.x(0)
    return circuit


def mid_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    circuit.cx(1, 0)
    return circuit


def hidden_mid_circuit() -> QuantumCircuit:
    inner = QuantumCircuit(1, 1)
    inner.measure(0, 0)
    circuit = QuantumCircuit(1, 1)
    circuit.append(inner.to_instruction(), [0], [0])
    circuit.h(0)
    return circuit


def reset() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.reset(0)
    return circuit


def initialized() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.initialize([0, 1], [0])
    return circuit


def opaque() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.append(Gate("oracle", 2, []), [0, 1])
    return circuit


class Riddle(Operation):
    """An abstract operation that nothing in Qiskit can synthesise."""

    name, num_qubits, num_clbits = "riddle", 2, 0


def abstract() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.append(Riddle(), [0, 1])
    return circuit


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (conditional, "no control flow.*'if_else'"),
        (loop, "no control flow.*'for_loop'"),
        (mid_circuit, "'cx' acts on a measured qubit"),
        (hidden_mid_circuit, "'h' acts on a measured qubit"),
        (reset, "resets a qubit only after a measurement"),
        (initialized, "resets a qubit only after a measurement"),
        (opaque, "no definition for 'oracle'"),
        (abstract, "no synthesis for 'riddle'"),
    ],
)
def test_circuits_that_are_not_gates_are_refused(make, message):
    with pytest.raises(UnsupportedCircuit, match=message) as caught:
        compile_circuit(make())
    assert "\n" not in str(caught.value)


def two_angles() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.rx(p, 0)
    circuit.rz(2 * q, 0)
    return circuit


@pytest.mark.parametrize(
    ("inputs", "weights", "message"),
    [
        ([], [], r"\['p', 'q'\] of the circuit are not listed, none"),
        ([p], [], r"\['q'\] of the circuit are not listed"),
        ([p], [q, Parameter("z")], r"none of the circuit.*\['z'\] of those listed"),
        ([p], [p, q], "'p' is listed twice"),
        ([p, p], [q], "'p' is listed twice"),
        ([Parameter("p")], [q], r"\['p'\]"),  # the same name is not the same parameter
    ],
)
def test_parameter_lists_must_be_the_circuits(inputs, weights, message):
    with pytest.raises(UnsupportedCircuit, match=message):
        compile_circuit(two_angles(), inputs, weights)


def program() -> CircuitProgram:
    return compile_circuit(two_angles(), [p], [q])


nan, inf = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("inputs", "weights", "state", "message"),
    [
        (None, torch.ones(1), None, r"Inputs have shape \(batch, 1\), got None"),
        (torch.ones(2), torch.ones(1), None, r"Inputs have shape \(batch, 1\), got \(2,\)"),
        (torch.ones(2, 2), torch.ones(1), None, r"got \(2, 2\)"),
        (torch.ones(2, 1), None, None, r"Weights have shape \(1,\) or \(batch, 1\), got None"),
        (
            torch.ones(2, 1),
            torch.ones(2),
            None,
            r"Weights have shape \(1,\) or \(batch, 1\), got \(2,\)",
        ),
        (torch.ones(2, 1), torch.ones(1, 1), None, r"Weights have shape \(1,\)"),
        (torch.ones(2, 1), torch.ones(1), torch.ones(2, 4), r"states have shape \(batch, 2\)"),
        (torch.ones(2, 1), torch.ones(1), torch.ones(2), r"states have shape \(batch, 2\)"),
        (torch.ones(2, 1), torch.ones(1), torch.ones(3, 2), r"one batch size, got \[2, 3\]"),
        (torch.full((2, 1), nan), torch.ones(1), None, "Inputs must be finite"),
        (torch.ones(2, 1), torch.full((1,), nan), None, "Weights must be finite"),
        (torch.ones(2, 1), torch.full((1,), -inf), None, "Weights must be finite"),
        (torch.ones(2, 1), torch.ones(1, dtype=torch.complex64), None, "Weights .*must be real"),
        (torch.ones(2, 1) * 1j, torch.ones(1), None, "Inputs .*must be real"),
        (
            torch.ones(2, 1),
            torch.ones(1, dtype=torch.int64),
            None,
            "float32 or float64, got torch.int64",
        ),
        (torch.ones(2, 1), torch.ones(1, dtype=torch.float16), None, "float32 or float64"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(inputs, weights, state, message):
    with pytest.raises(InvalidData, match=message):
        program().statevector(inputs, weights, state)


def test_gates_whose_matrix_is_not_unitary_are_refused():
    class Half(Gate):
        def __array__(self, dtype=None, copy=None):
            return np.diag([1.0, 0.5]).astype(dtype or complex)

    circuit = QuantumCircuit(1)
    circuit.append(Half("half", 1, []), [0])
    with pytest.raises(UnsupportedCircuit, match="'half' is not unitary"):
        compile_circuit(circuit)
