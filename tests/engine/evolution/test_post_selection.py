"""Outcomes that do not happen are refused, also where rounding leaves something of them.

RY(t) is built from cos(t/2 - pi/2), which is 6e-17 at t = 0 and 4e-8 in single precision.
"""

import math

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.circuits.spec import CircuitSpec, ProbabilityReadout
from qdm_qiskit.engine import compile_circuit, fubini_study_metric
from qdm_qiskit.errors import InvalidData
from qdm_qiskit.layers import QuantumLayer

DTYPES = [torch.float32, torch.float64]
X = [SparsePauliOp("XI")]


def selected(*, undone=False, outcome=1):
    """An ancilla that is turned by t, and perhaps back again, and selected; the other qubit is |->."""
    t = Parameter("t")
    circuit = QuantumCircuit(2, 1)
    circuit.ry(t, 0)
    if undone:
        circuit.rz(0.3, 1)
        circuit.ry(-t, 0)
    circuit.cx(0, 1)
    circuit.h(1)
    circuit.measure(0, 0)
    return circuit, t, {0: outcome}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given", ["weights", "inputs"])
@pytest.mark.parametrize(("angle", "outcome"), [(0.0, 1), (2 * math.pi, 1), (math.pi, 0)])
def test_a_selection_that_a_free_angle_rules_out_is_refused(dtype, given, angle, outcome):
    circuit, t, chosen = selected(outcome=outcome)
    program = compile_circuit(circuit, **{given: [t]}, postselect=chosen, renormalise=True)
    value = torch.tensor([[angle]] if given == "inputs" else [angle], dtype=dtype)
    for read in (
        program.statevector,
        program.probabilities,
        lambda **k: program.expectation(X, **k),
    ):
        with pytest.raises(InvalidData, match="probability zero"):
            read(**{given: value})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", [0.4, 2.5])
def test_a_selection_that_interference_rules_out_is_refused(dtype, angle):
    circuit, t, chosen = selected(undone=True)
    program = compile_circuit(circuit, weights=[t], postselect=chosen, renormalise=True)
    with pytest.raises(InvalidData, match="probability zero"):
        program.expectation(X, None, torch.tensor([angle], dtype=dtype))


@pytest.mark.parametrize(("dtype", "angle"), [(torch.float32, 1e-3), (torch.float64, 1e-6)])
def test_a_rare_selection_keeps_its_value_and_its_gradient(dtype, angle):
    circuit, t, chosen = selected()
    program = compile_circuit(circuit, weights=[t], postselect=chosen, renormalise=True)
    weights = torch.tensor([angle], dtype=dtype, requires_grad=True)
    value = program.expectation(X, None, weights)
    value.sum().backward()
    assert value.item() == pytest.approx(-1, abs=1e-6)
    assert weights.grad is not None
    assert weights.grad.item() == pytest.approx(0, abs=1e-3)


def test_many_rare_selections_one_after_the_other_are_no_reason_to_refuse():
    t, circuit = Parameter("t"), QuantumCircuit(2, 8)
    circuit.h(1)
    for k in range(8):
        circuit.ry(t, 0)
        circuit.measure(0, k)
        circuit.reset(0)
    program = compile_circuit(
        circuit, weights=[t], postselect=dict.fromkeys(range(8), 1), renormalise=True
    )
    weights = torch.tensor([1e-3], dtype=torch.float64)  # (5e-4)**16 is left
    assert program.expectation(X, None, weights).item() == pytest.approx(1)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_norm_of_an_initial_state_is_no_matter(scale):
    circuit, t, chosen = selected()
    program = compile_circuit(circuit, weights=[t], postselect=chosen, renormalise=True)
    start = scale * torch.tensor([[0.6, 0.0, 0.8, 0.0]], dtype=torch.float64)
    norm = program.statevector(None, torch.tensor([0.5], dtype=torch.float64), start).norm()
    assert norm.item() == pytest.approx(1)
    with pytest.raises(InvalidData, match="probability zero"):
        program.statevector(None, torch.zeros(1, dtype=torch.float64), start)
    plain = compile_circuit(circuit.remove_final_measurements(inplace=False), weights=[t])
    with pytest.raises(InvalidData, match="probability zero"):
        plain.statevector(None, torch.zeros(1).double(), start, postselect={0: 1}, renormalise=True)


def test_metrics_and_layers_refuse_them_too():
    circuit, t, chosen = selected()
    program = compile_circuit(circuit, weights=[t], postselect=chosen)
    with pytest.raises(InvalidData, match="probability zero"):
        fubini_study_metric(program, torch.zeros(1, dtype=torch.float64))
    w, template = Parameter("w_0000"), QuantumCircuit(2)
    template.ry(w, 1)
    layer = QuantumLayer(
        CircuitSpec(
            name="selected",
            circuit=template,
            data_qubits=(0,),
            ancilla_qubits=(1,),
            encoding="amplitude",
            readout=ProbabilityReadout(qubits=(0,), postselect=((1, 1),), renormalise=True),
            source="a test",
        )
    )
    data = torch.tensor([[0.6, 0.8]])
    with torch.no_grad():
        layer.weights.fill_(0.2)
        torch.testing.assert_close(layer(data), torch.tensor([[0.36, 0.64]]))
        layer.weights.zero_()
        with pytest.raises(InvalidData, match="never happens"):
            layer(data)
