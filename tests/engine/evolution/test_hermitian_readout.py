"""Matrices as observables of a program, and shots, against Qiskit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, Statevector, random_hermitian, random_statevector

from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.engine.evolution import hermitian_readout
from qdm_qiskit.errors import InvalidData

N = 4


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(N)), st.integers(1, N), st.booleans())
def test_matrices_on_any_qubits(seed, permuted, size, real):
    circuit = random_circuit(N, 4, seed=seed)
    program = compile_circuit(circuit)
    qubits = permuted[:size]
    matrices = [random_hermitian(2**size, seed=seed + k).data for k in range(3)]
    if real:
        matrices = [matrix.real for matrix in matrices]
    starts = [random_statevector(2**N, seed=seed + k) for k in range(2)]
    got = program.hermitian_expectation(
        torch.tensor(np.stack(matrices)),
        qubits,
        initial_state=torch.tensor(np.stack([s.data for s in starts])),
    )
    expected = [
        [s.evolve(circuit).expectation_value(Operator(m), qubits).real for m in matrices]
        for s in starts
    ]
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-10)


def parameterised() -> tuple[QuantumCircuit, ParameterVector, ParameterVector]:
    x, w = ParameterVector("x", 2), ParameterVector("w", 4)
    circuit = QuantumCircuit(3)
    circuit.ry(x[0], 0)
    circuit.rx(x[1], 1)
    for k in range(3):
        circuit.u(w[0], w[1], 0.3, k)
        circuit.crx(w[2], k, (k + 1) % 3)
    circuit.rzz(w[3], 0, 2)
    return circuit, x, w


@pytest.mark.parametrize(
    "entries", [hermitian_readout.DENSITY_ENTRIES, 1], ids=["density", "products"]
)
def test_gradients_in_matrices_weights_inputs_and_state(monkeypatch, entries):
    monkeypatch.setattr(hermitian_readout, "DENSITY_ENTRIES", entries)
    circuit, x, w = parameterised()
    program = compile_circuit(circuit, list(x), list(w))
    g = torch.Generator().manual_seed(0)
    arguments = (
        torch.randn(2, 4, 4, dtype=torch.complex128, generator=g),
        torch.rand(3, 2, dtype=torch.float64, generator=g),
        torch.rand(4, dtype=torch.float64, generator=g),
        torch.randn(3, 8, dtype=torch.complex128, generator=g),
    )
    for each in arguments:
        each.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda m, i, a, s: program.hermitian_expectation(m, [2, 0], i, a, s), arguments
    )


def test_a_free_matrix_is_measured_by_its_hermitian_part():
    program = compile_circuit(random_circuit(N, 3, seed=1))
    free = torch.randn(2, 4, 4, dtype=torch.complex128)
    torch.testing.assert_close(
        program.hermitian_expectation(free, [0, 3]),
        program.hermitian_expectation((free + free.mH) / 2, [0, 3]),
    )


@pytest.mark.parametrize(
    ("shape", "qubits"),
    [((1, 4, 4), [0]), ((4, 4), [0, 1]), ((1, 4, 4), [0, 0]), ((1, 4, 4), [0, 4]), ((1, 1, 1), [])],
)
def test_matrices_that_do_not_fit_are_refused(shape, qubits):
    program = compile_circuit(QuantumCircuit(N))
    with pytest.raises(InvalidData, match="got"):
        program.hermitian_expectation(torch.zeros(shape), qubits)


def within_noise(counts: torch.Tensor, probabilities: np.ndarray, shots: int) -> None:
    for found, p in zip(counts.numpy().ravel(), probabilities.ravel(), strict=True):
        assert abs(found / shots - p) < 5 * math.sqrt(p * (1 - p) / shots) + 1e-12


def test_shots_follow_the_probabilities():
    circuit, x, w = parameterised()
    program = compile_circuit(circuit, list(x), list(w))
    inputs, weights = torch.rand(2, 2), torch.rand(4)
    shots = 20_000
    counts = program.sample(
        shots, inputs, weights, qubits=[2, 0], generator=torch.Generator().manual_seed(1)
    )
    again = program.sample(
        shots, inputs, weights, qubits=[2, 0], generator=torch.Generator().manual_seed(1)
    )
    assert torch.equal(counts, again)
    assert counts.sum(1).tolist() == [shots, shots]
    for row in range(2):
        values = dict(zip([*x, *w], [*inputs[row].tolist(), *weights.tolist()], strict=True))
        expected = Statevector(circuit.assign_parameters(values)).probabilities([2, 0])
        within_noise(counts[row], expected, shots)


@pytest.mark.parametrize("compiled", [False, True])
def test_shots_without_the_selected_outcome_are_dropped(compiled):
    # P(qubit 0 = 1) = sin(0.5)**2, after which qubit 1 is 1 with sin(0.4)**2.
    circuit = QuantumCircuit(2, 1)
    circuit.ry(1.0, 0)
    circuit.ry(0.8, 1)
    shots, p, q = 20_000, math.sin(0.5) ** 2, math.sin(0.4) ** 2
    generator = torch.Generator().manual_seed(2)
    if compiled:
        circuit.measure(0, 0)
        program = compile_circuit(circuit, postselect={0: 1})
        counts = program.sample(shots, qubits=[1], generator=generator)
    else:
        circuit.remove_final_measurements()
        counts = compile_circuit(circuit).sample(shots, postselect={0: 1}, generator=generator)
    within_noise(counts, np.array([[p * (1 - q), p * q]]), shots)
    assert int(counts.sum()) < shots


def test_chunks_of_shots_add_up(monkeypatch):
    monkeypatch.setattr("qdm_qiskit.engine.evolution.shot_sampling.DRAWN_AT_ONCE", 7)
    counts = compile_circuit(QuantumCircuit(1)).sample(100)
    assert counts.tolist() == [[100, 0]]


@pytest.mark.parametrize(("shots", "scale"), [(0, 1.0), (10, 0.5), (10, 2.0)])
def test_impossible_samples_are_refused(shots, scale):
    program = compile_circuit(QuantumCircuit(1))
    with pytest.raises(InvalidData, match="got"):
        program.sample(shots, initial_state=torch.tensor([[scale, 0.0]]))
