"""Every way of cutting a circuit into steps computes the same circuit."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Operator, Statevector, random_unitary

from qdm_qiskit.engine import CircuitProgram, compile_circuit
from qdm_qiskit.engine.jit.planner import MOST_QUBITS
from qdm_qiskit.engine.lowering.angles import compile_angle
from qdm_qiskit.engine.lowering.fusion import alternate, fold, strategies
from qdm_qiskit.engine.lowering.gate_forms import FORMS
from qdm_qiskit.engine.lowering.operations import Operation
from qdm_qiskit.engine.program import TILES_PAY

N = 5
NAMES = sorted(strategies([Operation((0,), fixed=np.eye(2))], N))
LABELS = {"gates one by one", *strategies([Operation((0,), fixed=np.eye(2))], MOST_QUBITS)}


@pytest.fixture(autouse=True)
def _none_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small programs are planned as large ones are, and not run in one call."""
    monkeypatch.setattr("qdm_qiskit.engine.jit.whole_program.SMALL_US", 0.0)


def operations_of(seed: int) -> tuple[QuantumCircuit, ParameterVector, list[Operation]]:
    """Dense and monomial gates, fixed, with weights, and now and then with inputs."""
    rng = np.random.default_rng(seed)
    circuit, operations, values = QuantumCircuit(N), [], ParameterVector("v", 6)
    positions = {v: ("inputs", k) if k < 3 else ("weights", k - 3) for k, v in enumerate(values)}

    def named(name: str, qubits: tuple[int, ...]) -> None:
        angle = values[int(rng.integers(6))]
        getattr(circuit, name)(angle, *qubits)
        operations.append(Operation(qubits, gate=name, angles=(compile_angle(angle, positions),)))

    def fixed(matrix: np.ndarray, qubits: tuple[int, ...]) -> None:
        circuit.unitary(matrix, qubits)
        operations.append(Operation(qubits, fixed=matrix))

    cx = np.eye(4)[[0, 3, 2, 1]].astype(complex)
    for _ in range(40):
        qubits = tuple(int(k) for k in rng.permutation(N)[:3])
        choice = rng.integers(7)
        if choice == 0:
            fixed(cx, qubits[:2])
        elif choice == 1:
            fixed(np.diag(np.exp(1j * rng.normal(size=4))), qubits[:2])
        elif choice == 2:
            fixed(random_unitary(2 ** int(k := rng.integers(1, 4)), seed=rng).data, qubits[:k])
        elif choice == 3:
            named(str(rng.choice(["crx", "crz", "rzx", "ryy"])), qubits[:2])
        else:
            named(str(rng.choice(["rx", "ry", "rz", "p"])), qubits[:1])
    return circuit, values, operations


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_every_strategy_gives_the_same_unitary(name, seed):
    circuit, values, operations = operations_of(seed)
    numbers = np.random.default_rng(seed).uniform(-3, 3, 6)
    x, w = np.split(numbers, 2)
    program = CircuitProgram(
        num_qubits=N,
        num_inputs=3,
        num_weights=3,
        operations=operations,
        phases=[],
        strategy=name,
    )
    identity = torch.eye(2**N, dtype=torch.complex128)
    inputs = torch.tensor(x).expand(2**N, 3)
    rows = program.statevector(inputs, torch.tensor(w), identity).numpy()
    used = {v: x for v, x in zip(values, numbers, strict=True) if v in circuit.parameters}
    expected = Operator(circuit.assign_parameters(used)).data
    np.testing.assert_allclose(rows.T, expected, atol=1e-12)
    from_zero = program.statevector(inputs[:1], torch.tensor(w)).numpy()
    np.testing.assert_allclose(from_zero[0], expected[:, 0], atol=1e-12)


@pytest.mark.parametrize("max_qubits", [1, 2, 3, 5])
@pytest.mark.parametrize("apart", [False, True])
def test_blocks_hold_each_operation_once_and_stay_small(max_qubits, apart):
    _, _, operations = operations_of(7)
    items = fold(operations, max_qubits, apart=apart)
    members = [operation for item in items for operation in item.operations]
    assert sorted(map(id, members)) == sorted(map(id, operations))
    for item in items:
        assert item.support == {q for operation in item.operations for q in operation.qubits}
        assert len({operation.kind for operation in item.operations}) == 1
        if len(item.operations) > 1:
            assert len(item.support) <= max(
                max_qubits, len(item.operations[0].qubits) * (item.kind == "sample")
            )
    assert len(fold(operations, 5)) < len(operations)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_rounds_of_monomials_keep_the_order_on_every_qubit(seed):
    _, _, operations = operations_of(seed)
    rounds = alternate(operations)
    for monomials, others in rounds:
        assert all(each.monomial is not None for each in monomials)
        assert all(each.kind == "sample" or each.monomial is None for each in others)
    flat = [each for pair in rounds for part in pair for each in part]
    for qubit in range(N):
        kept = [id(each) for each in flat if qubit in each.qubits]
        assert kept == [id(each) for each in operations if qubit in each.qubits]


@pytest.mark.parametrize("name", FORMS)
def test_forms_are_the_gates_of_qiskit(name):
    angles = np.random.default_rng(5).uniform(-7, 7, FORMS[name].cos.shape[1])
    circuit = QuantumCircuit(FORMS[name].size.bit_length() - 1)
    getattr(circuit, {"u1": "p", "cu1": "cp"}.get(name, name))(*angles, *circuit.qubits)
    np.testing.assert_allclose(FORMS[name].matrix(*angles), Operator(circuit).data, atol=1e-15)


def test_a_real_circuit_stays_real_inside():
    circuit, w = QuantumCircuit(3), ParameterVector("w", 3)
    for k in range(3):
        circuit.h(k)
        circuit.ry(w[k], k)
    circuit.cx(0, 1)
    circuit.cz(1, 2)
    program = compile_circuit(circuit, (), list(w))
    weights = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    assert program._run(None, weights, None, None)[0].dtype == torch.float64
    expected = Statevector(circuit.assign_parameters(weights.tolist())).data
    np.testing.assert_allclose(program.statevector(None, weights)[0], expected, atol=1e-15)


def test_initial_state_on_some_qubits_equals_one_padded_with_zeros():
    circuit, values, _ = operations_of(3)
    used = [v for v in values if v in circuit.parameters]
    program = compile_circuit(circuit, (), used)
    rng = np.random.default_rng(0)
    weights = torch.tensor(rng.normal(size=len(used)))
    part = torch.tensor(rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4)))
    full = torch.zeros(3, 2**N, dtype=torch.complex128)
    for j in range(4):
        full[:, ((j & 1) << 1) | ((j >> 1) << 3)] = part[:, j]
    expected = program.statevector(None, weights, full)
    got = program.statevector(None, weights, part, initial_qubits=(1, 3))
    np.testing.assert_allclose(got, expected, atol=1e-13)
    swapped = program.statevector(None, weights, part[:, [0, 2, 1, 3]], initial_qubits=(3, 1))
    np.testing.assert_allclose(swapped, expected, atol=1e-13)


def test_explain_lists_steps_and_the_strategies_that_lost():
    circuit, values, _ = operations_of(1)
    program = compile_circuit(circuit, (), [v for v in values if v in circuit.parameters])
    text = program.explain()
    assert text.startswith("strategy: ")
    chosen = text.splitlines()[0].removeprefix("strategy: ")
    costs = {}
    for line in text.split("microseconds  strategy\n")[1].splitlines():
        cost, name = line.strip().split("  ", 1)
        costs[name] = float(cost)
    on_tiles = {
        name for name in costs if re.fullmatch(r"\d+ segments of .+, then on tiles: .+", name)
    }
    assert sorted(costs.keys() - on_tiles) == NAMES
    for name in on_tiles:
        before, after = name.split(", then on tiles: ")
        assert before.split(" segments of ")[1] in NAMES
        assert after in LABELS
    best = min(costs.keys() - on_tiles, key=costs.__getitem__)
    best_tiled = min((costs[name] for name in on_tiles), default=math.inf)
    # Costs are printed without decimals, so the bound is known up to one.
    bound = TILES_PAY * costs[best]
    if chosen in on_tiles:
        assert costs[chosen] == best_tiled <= bound + 1
    else:
        assert costs[chosen] == costs[best]
        assert best_tiled >= bound - 1


@pytest.mark.parametrize("pay", [0.0, 1e9])
def test_explain_names_tiles_where_they_pay(monkeypatch, pay):
    monkeypatch.setattr("qdm_qiskit.engine.program.TILES_PAY", pay)
    circuit, values, _ = operations_of(1)
    program = compile_circuit(circuit, (), [v for v in values if v in circuit.parameters])
    text = program.explain()
    chosen = text.splitlines()[0].removeprefix("strategy: ")
    listed = [line.strip().split("  ", 1) for line in text.split("strategy\n")[1].splitlines()]
    fitting = [(float(cost), name) for cost, name in listed if ("on tiles" in name) == (pay > 0)]
    assert ("on tiles" in chosen) == (pay > 0)
    assert min(fitting)[0] == {name: cost for cost, name in fitting}[chosen]


def test_postselected_probabilities_are_entries_of_all_probabilities():
    circuit, values, _ = operations_of(4)
    used = [v for v in values if v in circuit.parameters]
    program = compile_circuit(circuit, (), used)
    weights = torch.linspace(-1, 2, len(used), dtype=torch.float64)
    index = np.arange(2**N)
    whole = program.probabilities(None, weights)[0].numpy()
    got = program.probabilities(None, weights, qubits=(4, 0), postselect={2: 1})[0].numpy()
    for outcome in range(4):
        hit = ((index >> 2) & 1 == 1) & ((index >> 4) & 1 == outcome & 1)
        hit &= (index & 1) == outcome >> 1
        assert got[outcome] == pytest.approx(whole[hit].sum())
    left = program.probabilities(None, weights, postselect={2: 1})[0].numpy()
    np.testing.assert_allclose(left, whole[(index >> 2) & 1 == 1], atol=1e-15)
