"""Selected outcomes and resets after them; those that do not happen are refused.

Also where rounding leaves something of them: RY(t) is built from cos(t/2 - pi/2), which is 6e-17
at t = 0 and 4e-8 in single precision.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector

from qdm_qiskit.circuits.readouts import ProbabilityReadout
from qdm_qiskit.circuits.spec import CircuitSpec
from qdm_qiskit.engine import compile_circuit, fubini_study_metric
from qdm_qiskit.errors import InvalidData, UnsupportedCircuit
from qdm_qiskit.layers import QuantumLayer

DTYPES = [torch.float32, torch.float64]
X = [SparsePauliOp("XI")]
ANGLES = [0.4, 1.1, -0.7, 2.3]


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


def circuit_with_ancilla(*, reset: bool) -> tuple[QuantumCircuit, ParameterVector]:
    circuit, w = QuantumCircuit(3, 1), ParameterVector("w", 4)
    circuit.ry(w[0], 0)
    circuit.crx(w[1], 0, 2)
    circuit.measure(2, 0)
    if reset:
        circuit.reset(2)
    circuit.rx(w[2], 2)
    circuit.cry(w[3], 2, 1)
    return circuit, w


def expected(outcome: int, *, reset: bool) -> np.ndarray:
    """The same with Qiskit: evolve, cut out the outcome, flip if reset, evolve."""
    first, second = QuantumCircuit(3), QuantumCircuit(3)
    first.ry(ANGLES[0], 0)
    first.crx(ANGLES[1], 0, 2)
    second.rx(ANGLES[2], 2)
    second.cry(ANGLES[3], 2, 1)
    state = Statevector(first).data.copy()
    state[((np.arange(8) >> 2) & 1) != outcome] = 0
    if reset and outcome:
        state = state[np.arange(8) ^ 4]
    return Statevector(state).evolve(second).data


@pytest.mark.parametrize("outcome", [0, 1])
@pytest.mark.parametrize("reset", [False, True])
def test_projection_equals_the_cut_statevector(outcome, reset):
    circuit, w = circuit_with_ancilla(reset=reset)
    weights = torch.tensor(ANGLES, dtype=torch.float64)
    program = compile_circuit(circuit, (), list(w), postselect={0: outcome})
    state = program.statevector(None, weights)[0].numpy()
    reference = expected(outcome, reset=reset)
    np.testing.assert_allclose(state, reference, atol=1e-14)
    scaled = compile_circuit(circuit, (), list(w), postselect={0: outcome}, renormalise=True)
    unit = scaled.statevector(None, weights)[0].numpy()
    np.testing.assert_allclose(unit, reference / np.linalg.norm(reference), atol=1e-14)


def test_squared_norm_is_the_probability_of_the_outcome():
    circuit, w = circuit_with_ancilla(reset=False)
    weights = torch.tensor(ANGLES, dtype=torch.float64)
    shares = [
        float(
            compile_circuit(circuit, (), list(w), postselect={0: b})
            .probabilities(None, weights)
            .sum()
        )
        for b in (0, 1)
    ]
    assert sum(shares) == pytest.approx(1)
    # The ancilla was turned by crx only where qubit 0 is 1.
    one = np.sin(ANGLES[0] / 2) ** 2 * np.sin(ANGLES[1] / 2) ** 2
    assert shares[1] == pytest.approx(one)


def test_gradients_pass_through_projection_and_norm():
    circuit, w = circuit_with_ancilla(reset=True)
    program = compile_circuit(circuit, (), list(w), postselect={0: 1}, renormalise=True)
    weights = torch.tensor(ANGLES, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: program.probabilities(None, x), (weights,))


def test_an_outcome_of_probability_zero_cannot_be_renormalised():
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    program = compile_circuit(circuit, postselect={0: 1}, renormalise=True)
    with pytest.raises(InvalidData, match="probability zero"):
        program.statevector()


@pytest.mark.parametrize("postselect", [{1: 0}, {0: 2}, {-1: 0}])
def test_bits_and_outcomes_out_of_range_are_refused(postselect):
    circuit, w = circuit_with_ancilla(reset=False)
    with pytest.raises(UnsupportedCircuit, match="postselect maps classical bits"):
        compile_circuit(circuit, (), list(w), postselect=postselect)


def test_reset_at_the_start_is_nothing_unless_an_initial_state_covers_the_qubit():
    circuit = QuantumCircuit(2)
    circuit.initialize([0.6, 0.8], [0])
    program = compile_circuit(circuit)
    np.testing.assert_allclose(program.statevector()[0], [0.6, 0.8, 0, 0], atol=1e-6)
    one = torch.tensor([[0.0, 1.0]])
    got = program.statevector(None, None, one, initial_qubits=(1,))[0]
    np.testing.assert_allclose(got, [0, 0, 0.6, 0.8], atol=1e-6)
    with pytest.raises(InvalidData, match="starts by resetting qubits"):
        program.statevector(None, None, torch.eye(4)[:1])


def test_measurements_inside_composite_instructions_are_selected_too():
    inner = QuantumCircuit(2, 2)
    inner.h(0)
    inner.measure(0, 1)
    inner.x(0)
    outer = QuantumCircuit(3, 3)
    outer.ry(0.7, 2)
    outer.append(inner.to_instruction(), [2, 0], [0, 2])
    outer.cx(2, 1)
    flat = QuantumCircuit(3, 3)
    flat.ry(0.7, 2)
    flat.h(2)
    flat.measure(2, 2)
    flat.x(2)
    flat.cx(2, 1)
    for outcome in (0, 1):
        got = compile_circuit(outer, postselect={2: outcome}).statevector()
        torch.testing.assert_close(
            got, compile_circuit(flat, postselect={2: outcome}).statevector()
        )
    with pytest.raises(UnsupportedCircuit, match="measured qubit"):
        compile_circuit(outer)
