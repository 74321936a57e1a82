"""Angles of any size: no rounding but that of the angle itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp, Statevector

from qdm_qiskit.engine import compile_circuit

ROTATIONS = (
    "rx",
    "ry",
    "rz",
    "p",
    "u1",
    "rxx",
    "ryy",
    "rzz",
    "rzx",
    "crx",
    "cry",
    "crz",
    "cp",
    "cu1",
)
GATES = (*ROTATIONS, "u2", "u3", "u", "cu", "cu3", "xx_plus_yy", "xx_minus_yy")
LARGE = {torch.float32: (1e6, 2e5, 3e6, 1e5), torch.float64: (1e15, 3e14, 1e14, 2e14)}


def one_gate(name: str) -> tuple[QuantumCircuit, list]:
    """The gate behind and before gates that mix, with fixed phases that it may be fused with."""
    gate = get_standard_gate_name_mapping()[name].copy()
    gate.params = list(ParameterVector("x", len(gate.params)))
    circuit = QuantumCircuit(2)
    for qubit in (0, 1):
        circuit.h(qubit)
        circuit.t(qubit)
    circuit.append(gate, range(gate.num_qubits))
    circuit.h(0)
    return circuit, gate.params


@pytest.mark.parametrize("dtype", LARGE)
@pytest.mark.parametrize("name", GATES)
def test_gates_by_large_angles(name, dtype):
    circuit, parameters = one_gate(name)
    values = torch.tensor(LARGE[dtype][: len(parameters)], dtype=dtype)
    bound = circuit.assign_parameters(dict(zip(parameters, values.tolist(), strict=True)))
    expected = Statevector(bound).data
    eps = 8 * torch.finfo(dtype).eps
    inputs = compile_circuit(circuit, parameters).statevector(values[None])
    weights = compile_circuit(circuit, (), parameters).statevector(None, values)
    np.testing.assert_allclose(inputs[0], expected, atol=eps)
    np.testing.assert_allclose(weights.reshape(-1), expected, atol=eps)


@pytest.mark.parametrize("name", ["rx", "ry", "crx", "rxx", "ryy"])
def test_slopes_at_large_angles(name):
    circuit, parameters = one_gate(name)
    observable = SparsePauliOp("YX") + SparsePauliOp("ZZ")
    slopes = []
    for role in ("inputs", "weights"):
        value = torch.tensor([1e15], dtype=torch.float64)
        value.requires_grad_()
        program = compile_circuit(
            circuit,
            parameters if role == "inputs" else (),
            parameters if role == "weights" else (),
        )
        given = (value[None], None) if role == "inputs" else (None, value)
        program.expectation([observable], *given).sum().backward()
        slopes.append(float(value.grad))
    # The same angle within a turn; Python's floats hold 1e15 exactly, and libm reduces exactly.
    half = float(np.arctan2(np.sin(0.5e15), np.cos(0.5e15)))
    near = torch.tensor([2 * half], dtype=torch.float64, requires_grad=True)
    compile_circuit(circuit, (), parameters).expectation([observable], None, near).sum().backward()
    np.testing.assert_allclose(slopes, float(near.grad), atol=1e-12)


@pytest.mark.parametrize("name", ["rx", "ry", "rxx", "crx", "cry"])
@pytest.mark.parametrize("inputs", [True, False])
def test_no_turn_is_no_gate(name, inputs):
    circuit = QuantumCircuit(2)
    circuit.x([0, 1])
    (angle,) = ParameterVector("x", 1)
    getattr(circuit, name)(angle, *range(1 if len(name) == 2 else 2))
    zero = torch.zeros(1, dtype=torch.float64)
    program = compile_circuit(circuit, *([[angle]] if inputs else [(), [angle]]))
    state = program.statevector(*((zero[None], None) if inputs else (None, zero)))
    np.testing.assert_allclose(state.reshape(-1).abs(), [0, 0, 0, 1], atol=1e-15)
    if name != "rx":  # as a weight it is RY between two fixed phases
        assert int(state.count_nonzero()) == 1
