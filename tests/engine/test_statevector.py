"""The engine against Qiskit's Statevector: 1e-10 in complex128."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    ControlModifier,
    Gate,
    InverseModifier,
    Parameter,
    ParameterVector,
    PowerModifier,
)
from qiskit.circuit.library import (
    CRXGate,
    CUGate,
    DiagonalGate,
    IGate,
    MCPhaseGate,
    PauliEvolutionGate,
    PauliGate,
    PermutationGate,
    QFTGate,
    RXGate,
    RYGate,
    UCGate,
    UGate,
    XGate,
    get_standard_gate_name_mapping,
)
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import (
    SparsePauliOp,
    Statevector,
    random_clifford,
    random_statevector,
    random_unitary,
)

from qdm_qiskit.circuits import CircuitSpec, eeqdm, qddm
from qdm_qiskit.engine import compile_circuit

TOLERANCE = 1e-10

STANDARD = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if isinstance(gate, Gate) and not isinstance(gate, IGate)
}


def difference(circuit: QuantumCircuit, seed: int = 0, batch: int = 3) -> float:
    """Largest deviation from Qiskit, the parameters half inputs and half weights, on random states."""
    rng = np.random.default_rng(seed)
    parameters = list(circuit.parameters)
    inputs, weights = parameters[::2], parameters[1::2]
    x = rng.uniform(0.1, 0.9, (batch, len(inputs)))
    w = rng.uniform(0.1, 0.9, len(weights))
    states = np.stack(
        [random_statevector(2**circuit.num_qubits, seed=rng).data for _ in range(batch)]
    )
    program = compile_circuit(circuit, inputs, weights)
    got = program.statevector(torch.tensor(x), torch.tensor(w), torch.tensor(states)).numpy()
    bare = circuit.remove_final_measurements(inplace=False)
    assert bare is not None
    expected = [
        Statevector(states[row]).evolve(
            bare.assign_parameters(
                {**dict(zip(inputs, x[row], strict=True)), **dict(zip(weights, w, strict=True))}
            )
        )
        for row in range(batch)
    ]
    return float(np.abs(got - np.stack([state.data for state in expected])).max())


def start(num_qubits: int) -> QuantumCircuit:
    return QuantumCircuit(num_qubits)


@pytest.mark.parametrize("name", STANDARD)
def test_every_standard_gate_with_bound_and_symbolic_angles(name):
    gate = STANDARD[name]
    n = gate.num_qubits + 1
    where = list(np.random.default_rng(len(name)).permutation(n)[: gate.num_qubits])
    symbolic = start(n)
    symbolic.append(type(gate)(*gate.params) if not gate.params else gate, where)
    assert difference(symbolic) < TOLERANCE
    if gate.params:
        fixed = symbolic.assign_parameters(np.linspace(-3, 4, symbolic.num_parameters))
        assert difference(fixed) < TOLERANCE
        mixed = symbolic.assign_parameters({next(iter(symbolic.parameters)): 0.7})
        assert difference(mixed) < TOLERANCE


@pytest.mark.parametrize("name", [n for n, g in STANDARD.items() if hasattr(g, "ctrl_state")])
def test_controls_that_act_on_zero(name):
    gate = STANDARD[name]
    for state in range(2**gate.num_ctrl_qubits):
        opened = gate.to_mutable()
        opened.ctrl_state = state
        circuit = start(gate.num_qubits)
        circuit.append(opened, range(gate.num_qubits))
        assert difference(circuit) < TOLERANCE


@pytest.mark.parametrize("seed", range(12))
def test_random_circuits(seed):
    circuit = random_circuit(5, 6, max_operands=4, seed=seed)
    assert difference(circuit, seed) < TOLERANCE


standard_names = st.sampled_from(sorted(STANDARD))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(standard_names, st.permutations(range(4)), st.randoms()), max_size=8),
    st.data(),
)
def test_symbolic_circuits_of_all_gates(items, data):
    pool = ParameterVector("t", 12)
    circuit = QuantumCircuit(
        4, global_phase=data.draw(st.sampled_from([0.0, 0.3, pool[0], pool[1] * 2]))
    )
    for name, qubits, random in items:
        gate = STANDARD[name]
        angles = [
            random.choice(pool) * random.choice([1, -2, 0.5]) + random.choice([0, 1])
            for _ in gate.params
        ]
        circuit.append(type(gate)(*angles) if angles else gate, list(qubits)[: gate.num_qubits])
    assert difference(circuit) < TOLERANCE


@pytest.mark.parametrize("make", [eeqdm, qddm])
@pytest.mark.parametrize(
    ("num_data", "depth", "guided"), [(3, 2, True), (4, 5, False), (6, 10, True)]
)
def test_denoisers_with_random_weights(make, num_data, depth, guided):
    spec: CircuitSpec = make(num_data, depth, guided=guided)
    assert difference(spec.circuit) < TOLERANCE
    if num_data < 6:
        assert difference(spec.full_circuit()) < TOLERANCE


p, q = Parameter("p"), Parameter("q")


@pytest.mark.parametrize(
    "expression",
    [
        -p, p + q, p - q, p * q, p / q, 1 / p, 2 * p - 0.1, p**2, p**3, p**0.5, p**-1, p**q,
        p - p + 0.2, 0 * p, p.sin(), p.cos(), p.tan(), p.exp(), p.log(), p.conjugate(),
        p.arcsin(), p.arccos(), p.arctan(), abs(p - q), (p - q).sign(),
        (p.sin() * q.cos() + p / q - 2) ** 2, np.pi * (p - 1) * (q - 1),
    ],
    ids=str,
)  # fmt: skip
def test_parameter_expressions(expression):
    circuit = QuantumCircuit(2)
    circuit.rx(expression, 0)
    circuit.cp(expression, 0, 1)
    circuit.u(expression, 0.3, p, 1)
    assert difference(circuit) < TOLERANCE


@pytest.mark.parametrize(
    "name",
    ["w[10]", "θ", "lambda", "beta", "gamma", "I", "E", "S", "N", "pi", "sin", "a b", "$x$", "1a"],
)
def test_names_that_mean_something_elsewhere(name):
    # Expressions pass through sympy, where some of these are constants or functions.
    parameter = Parameter(name)
    circuit = QuantumCircuit(1)
    circuit.rx(2 * parameter + 0.1, 0)
    circuit.rz(parameter * parameter, 0)
    assert difference(circuit) < TOLERANCE


@pytest.mark.parametrize(
    "name", ["u", "rz", "rx", "cp", "barrier", "id", "measure", "delay", "reset", "mine"]
)
def test_composite_gates_are_what_they_hold_not_what_they_are_called(name):
    inner = QuantumCircuit(2, name=name)
    inner.h(0)
    inner.rz(p, 0)
    inner.cry(p * q, 0, 1)
    circuit, plain = QuantumCircuit(3), QuantumCircuit(3)
    circuit.append(inner.to_gate(), [2, 0])
    circuit.append(inner.to_instruction(), [0, 1])
    plain.compose(inner, [2, 0], inplace=True)
    plain.compose(inner, [0, 1], inplace=True)
    assert difference(plain) < TOLERANCE
    x, w = torch.tensor([[0.3]], dtype=torch.float64), torch.tensor([0.8], dtype=torch.float64)
    got, expected = (compile_circuit(each, [p], [q]).statevector(x, w) for each in (circuit, plain))
    torch.testing.assert_close(got, expected)


def annotated() -> QuantumCircuit:
    """Lazy modifiers, which Gate.control() will return by default from Qiskit 3 on."""
    circuit = QuantumCircuit(4)
    circuit.append(RYGate(p).control(2, annotated=True), [0, 1, 2])
    circuit.append(
        AnnotatedOperation(UGate(p, q, 0.3), [InverseModifier(), ControlModifier(2, 1)]), [3, 0, 1]
    )
    circuit.append(AnnotatedOperation(XGate(), PowerModifier(0.5)), [2])
    circuit.append(random_clifford(3, seed=2), [3, 1, 0])
    return circuit


def composite() -> QuantumCircuit:
    inner = QuantumCircuit(2, global_phase=p)
    inner.rx(q, 0)
    inner.cx(0, 1)
    middle = QuantumCircuit(3)
    middle.append(
        inner.to_gate().control(1, annotated=False), [2, 0, 1]
    )  # the phase becomes a controlled phase
    middle.append(inner.to_gate().inverse(), [1, 2])
    circuit = QuantumCircuit(4)
    circuit.append(middle.to_instruction(), [3, 1, 0])
    circuit.append(inner.to_gate().control(2, ctrl_state=1, annotated=False), [0, 1, 2, 3])
    return circuit


def open_controls() -> QuantumCircuit:
    circuit = QuantumCircuit(4)
    circuit.append(RXGate(p).control(1, ctrl_state=0, annotated=False), [0, 1])
    circuit.append(CRXGate(q, ctrl_state=0), [2, 0])
    circuit.append(UGate(p, q, 0.3).control(2, ctrl_state=1, annotated=False), [0, 1, 2])
    circuit.append(CUGate(p, q, 0.1, q * p, ctrl_state=0), [2, 3])
    circuit.append(MCPhaseGate(p, 3, ctrl_state=5), [3, 0, 2, 1])
    return circuit


def many_qubits() -> QuantumCircuit:
    circuit = QuantumCircuit(7)
    circuit.mcx([0, 1, 2, 3, 4, 5], 6)
    circuit.mcp(p, [6, 2, 3], 0)
    circuit.mcrx(q, [0, 1], 4)
    circuit.unitary(random_unitary(64, seed=1), [6, 0, 1, 5, 2, 3])
    return circuit


def libraries() -> QuantumCircuit:
    circuit = QuantumCircuit(4)
    circuit.unitary(random_unitary(4, seed=3), [2, 0])
    circuit.append(QFTGate(3), [0, 2, 3])
    circuit.append(PermutationGate([2, 0, 1]), [3, 1, 0])
    circuit.append(PauliGate("XYZ"), [0, 1, 2])
    circuit.append(DiagonalGate([1, -1, 1j, -1j]), [1, 3])
    circuit.append(PauliEvolutionGate(SparsePauliOp(["XX", "ZZ"]), p), [1, 2])
    circuit.append(PauliEvolutionGate(SparsePauliOp(["XZ", "YY"], [0.2, 0.5]), 0.7), [0, 3])
    circuit.append(UCGate([np.eye(2), random_unitary(2, seed=1).data]), [1, 0])
    circuit.prepare_state([0.6, 0, 0, 0.8], [3, 0])
    return circuit


def skipped() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.barrier()
    circuit.delay(100, 0)
    circuit.id(1)
    circuit.ry(p, 1)
    circuit.measure_all()
    return circuit


# Qiskit 2.6 gives scipy's splu a CSR matrix when it exponentiates a PauliEvolutionGate.
@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize(
    "make", [annotated, composite, open_controls, many_qubits, libraries, skipped]
)
def test_unusual_instructions(make):
    assert difference(make()) < TOLERANCE


def test_global_phase_may_depend_on_inputs():
    circuit = QuantumCircuit(1, global_phase=2 * p + q)
    circuit.rx(p, 0)
    assert difference(circuit) < TOLERANCE


def test_zero_state_is_the_default():
    circuit = random_circuit(3, 4, seed=5)
    state = compile_circuit(circuit).statevector(weights=torch.zeros(0, dtype=torch.float64))
    np.testing.assert_allclose(state[0].numpy(), Statevector(circuit).data, atol=TOLERANCE)


def test_columns_follow_the_given_lists():
    circuit = QuantumCircuit(1)
    circuit.rx(p, 0)
    circuit.rz(q, 0)
    values = torch.tensor([0.3, 0.9], dtype=torch.float64)
    one = compile_circuit(circuit, weights=[p, q]).statevector(weights=values)
    other = compile_circuit(circuit, weights=[q, p]).statevector(weights=values.flip(0))
    assert torch.equal(one, other)
    assert not torch.allclose(
        one, compile_circuit(circuit, weights=[q, p]).statevector(weights=values)
    )


def test_parameters_that_cancel_have_no_effect():
    """Which symbol Qiskit names then depends on the order of a set, so several are tried."""
    x, w = Parameter("x"), ParameterVector("w", 8)
    circuit = QuantumCircuit(8)
    for k in range(8):
        circuit.rx(x - x + w[k], k)
    program = compile_circuit(circuit, [x], list(w))
    inputs = torch.tensor([[0.7], [2.0]], dtype=torch.float64)
    weights = torch.linspace(0.2, 3, 8, dtype=torch.float64)
    bound = circuit.assign_parameters({x: 0.0, **dict(zip(w, weights.tolist(), strict=True))})
    for each in (program, program.without_recomputation()):
        found = each.statevector(inputs, weights)
        np.testing.assert_allclose(found[0], Statevector(bound).data, atol=TOLERANCE)
        assert torch.equal(found[0], found[1])


def test_single_precision_is_close_to_double():
    spec = qddm(4, 10)
    program = compile_circuit(spec.circuit, (), spec.weights)
    w = torch.randn(
        len(spec.weights), dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    double = program.statevector(weights=w)
    single = program.statevector(weights=w.float())
    assert double.dtype == torch.complex128
    assert single.dtype == torch.complex64
    # 250 gates in random-walk rounding of eps = 6e-8 each, amplitudes of 1: 1e-6 to 1e-5.
    assert float((double - single).abs().max()) < 2e-5
    assert float((double - single).abs().max()) > 0


def test_weights_decide_the_precision():
    circuit = QuantumCircuit(1)
    circuit.rx(p, 0)
    circuit.rz(q, 0)
    program = compile_circuit(circuit, [p], [q])
    x, w = torch.rand(2, 1), torch.rand(1, dtype=torch.float64)
    assert program.statevector(x, w).dtype == torch.complex128
    assert program.statevector(x.double(), w.float()).dtype == torch.complex64
    torch.testing.assert_close(program.statevector(x, w), program.statevector(x.double(), w))
