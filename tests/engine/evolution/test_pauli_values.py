"""Pauli strings read from states without tables: the same numbers in the memory of some states."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp, Statevector, random_pauli_list

from qdm_qiskit.engine import EngineEstimator, EngineEstimatorGradient, compile_circuit
from qdm_qiskit.engine.evolution import pauli_readout as tables
from qdm_qiskit.engine.evolution.pauli_readout import ObservableTable
from qdm_qiskit.engine.evolution.pauli_values import pauli_values, strings_of
from qdm_qiskit.engine.primitives.jacobians import _load_forward_mode


def sums(n: int, count: int, terms: int, seed: int) -> list[SparsePauliOp]:
    rng = np.random.default_rng(seed)
    return [
        SparsePauliOp(random_pauli_list(n, terms, seed=rng, phase=False), rng.uniform(-1, 1, terms))
        for _ in range(count)
    ]


def states(n: int, batch: int, seed: int, *, real: bool = False) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(2**n, batch)) + (0 if real else 1j) * rng.normal(size=(2**n, batch))
    return torch.as_tensor(found / np.linalg.norm(found, axis=0))


@given(
    n=st.integers(1, 6),
    batch=st.integers(1, 3),
    count=st.integers(1, 4),
    terms=st.integers(1, 9),
    real=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_strings_tables_and_qiskit_agree(n, batch, count, terms, real, seed):
    observables = sums(n, count, terms, seed)
    state = states(n, batch, seed, real=real)
    order = np.random.default_rng(seed).permutation(n).tolist()
    moved = state.reshape(*[2] * n, batch).permute(*[n - 1 - q for q in order], n)
    moved = moved.reshape(2**n, batch)
    found = pauli_values(strings_of(observables), moved, order).numpy()
    np.testing.assert_allclose(
        ObservableTable(observables).evaluate(moved, order), found, atol=1e-12
    )
    for column in range(batch):
        vector = Statevector(state[:, column].numpy().copy())  # Qiskit reads no strided array
        right = [vector.expectation_value(each).real for each in observables]
        np.testing.assert_allclose(found[:, column], right, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("real", [False, True])
def test_gradients_of_strings(real, monkeypatch):
    monkeypatch.setattr("qdm_qiskit.engine.evolution.pauli_values.BLOCK", 4)  # several blocks
    monkeypatch.setattr("qdm_qiskit.engine.evolution.pauli_values.STRINGS", 2)  # and parts
    groups = strings_of([*sums(3, 2, 5, seed=1), SparsePauliOp(["ZZI", "IIZ", "ZIZ"], [1, 2, 3])])
    state = states(3, 2, seed=2, real=real).requires_grad_()

    def read(state):
        return pauli_values(groups, state, (0, 2, 1))

    assert torch.autograd.gradcheck(read, (state,))
    assert torch.autograd.gradgradcheck(read, (state,))
    _load_forward_mode()  # torch warns of itself
    tangent = states(3, 2, seed=3, real=real)
    _, forward = torch.func.jvp(read, (state.detach(),), (tangent,))
    step = (read(state + 1e-6 * tangent) - read(state - 1e-6 * tangent)) / 2e-6
    torch.testing.assert_close(forward, step.detach(), atol=1e-7, rtol=1e-5)


def circuit(n: int) -> QuantumCircuit:
    angles = ParameterVector("t", n)
    built = QuantumCircuit(n)
    for qubit in range(n):
        built.ry(angles[qubit], qubit)
        built.rx(0.3 * qubit, qubit)
    for qubit in range(n - 1):
        built.cx(qubit, qubit + 1)
    return built


@pytest.mark.parametrize("paulis", ["any", "diagonal"])
def test_primitives_and_programs_without_tables(monkeypatch, paulis):
    n = 4
    built = circuit(n)
    observables = sums(n, 3, 6, seed=4)
    if paulis == "diagonal":
        observables = [SparsePauliOp(["ZIIZ", "IZII"], [1, k]) for k in (0.5, 2, 3)]
    values = np.linspace(0.2, 1.4, 2 * n).reshape(2, n)
    right = StatevectorEstimator().run([(built, observables, values[:, None])]).result()[0].data.evs
    weights = torch.tensor(values[0], requires_grad=True)

    def slopes():
        program = compile_circuit(built, (), list(built.parameters))
        found = program.expectation(observables, None, weights)
        return torch.autograd.grad(found.sum(), weights)[0]

    by_tables = slopes()
    monkeypatch.setattr(tables, "TABLE_BYTES", 0)
    monkeypatch.setattr("qdm_qiskit.engine.primitives.circuit_cache.TABLE_BYTES", 0)
    estimator = EngineEstimator()
    found = estimator.run([(built, observables, values[:, None])]).result()[0].data.evs
    np.testing.assert_allclose(found, right, atol=1e-10)
    torch.testing.assert_close(slopes(), by_tables)
    gradient = EngineEstimatorGradient(estimator)
    ours = gradient.run([built] * 3, observables, [values[0]] * 3).result().gradients
    np.testing.assert_allclose(np.sum(ours, axis=0), by_tables.numpy(), atol=1e-10)


def test_small_observables_keep_their_tables():
    """Tables are faster where they fit a cache: the engine's usual path."""
    assert ObservableTable(sums(4, 4, 4, seed=0))._patterns is not None
    assert ObservableTable(sums(16, 2, 20, seed=0))._patterns is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["many", "sum"])
def test_three_hundred_strings_on_twenty_qubits_take_some_states(kind):
    """Tables would take 300 times 16 MiB, twice."""
    code = f"""
import resource, numpy as np
from qiskit.quantum_info import SparsePauliOp, random_pauli_list
from tests.engine.evolution.test_pauli_values import circuit
from qdm_qiskit.engine import EngineEstimator
paulis = random_pauli_list(20, 300, seed=1, phase=False)
wanted = [SparsePauliOp(p) for p in paulis] if {kind!r} == "many" else SparsePauliOp(paulis)
estimator = EngineEstimator()
values = np.linspace(0.1, 2, 20)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
estimator.run([(circuit(20), "Z" * 20, values)]).result()
before = peak()
found = estimator.run([(circuit(20), wanted, values)]).result()[0].data.evs
print(peak() - before, float(np.sum(found)))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=400
    )
    megabytes, total = map(float, ran.stdout.split())
    assert megabytes < 50
    paulis = random_pauli_list(20, 300, seed=1, phase=False)
    state = Statevector(circuit(20).assign_parameters(np.linspace(0.1, 2, 20)))
    assert total == pytest.approx(state.expectation_value(SparsePauliOp(paulis)).real, abs=1e-10)
