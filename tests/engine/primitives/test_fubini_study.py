"""The Fubini-Study metric against closed forms and against distances of states."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

from qdm_qiskit.engine import CircuitProgram, compile_circuit, fubini_study_metric
from qdm_qiskit.engine.primitives import fubini_study as metric
from qdm_qiskit.errors import InvalidData, InvalidOption


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 2


def layered(seed: int = 0, gates: int = 12, inputs: int = 2) -> tuple[CircuitProgram, int]:
    """A random circuit on three qubits with many kinds of gates and a parameter used twice."""
    rng = np.random.default_rng(seed)
    x, w = ParameterVector("x", inputs), ParameterVector("w", 5)
    circuit = QuantumCircuit(3, global_phase=w[0])
    for qubit in range(inputs):
        circuit.ry(x[qubit], qubit)
    for gate in range(gates):
        a, b = rng.permutation(3)[:2].tolist()
        angle = w[gate % 5] * (1 + gate % 2)
        kind = rng.integers(6)
        [
            lambda a, b, t: circuit.rx(t, a),
            lambda a, b, t: circuit.rz(t, a),
            lambda a, b, t: circuit.crx(t, a, b),
            lambda a, b, t: circuit.rxx(t, a, b),
            lambda a, b, t: circuit.u(t, 0.3, t, a),
            lambda a, b, t: circuit.cp(t, a, b),
        ][kind](a, b, angle)
        circuit.cx(a, b)
    return compile_circuit(circuit, list(x), list(w)), 5


def test_independent_rotations_give_a_quarter():
    w = ParameterVector("w", 4)
    circuit = QuantumCircuit(4)
    for qubit in range(4):
        circuit.ry(w[qubit], qubit)
    program = compile_circuit(circuit, (), list(w))
    found = fubini_study_metric(program, uniform(4))
    torch.testing.assert_close(
        found, torch.eye(4, dtype=torch.float64)[None] / 4, rtol=0, atol=1e-14
    )


def test_one_qubit_closed_form():
    # RZ(b) RX(a)|0>: the sphere, ds^2 = (da^2 + sin(a)^2 db^2) / 4.
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.rx(a, 0)
    circuit.rz(b, 0)
    program = compile_circuit(circuit, (), [a, b])
    for angle in (0.0, 0.4, 2.0):
        found = fubini_study_metric(program, torch.tensor([angle, 0.7], dtype=torch.float64))[0]
        expected = torch.diag(torch.tensor([1, math.sin(angle) ** 2], dtype=torch.float64)) / 4
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_global_phases_do_not_matter():
    w = ParameterVector("w", 2)
    circuit = QuantumCircuit(1, global_phase=3 * w[0])
    circuit.ry(w[1], 0)
    circuit.rz(w[0], 0)
    bare = QuantumCircuit(1)
    bare.ry(w[1], 0)
    bare.rz(w[0], 0)
    weights = uniform(2)
    pair = [fubini_study_metric(compile_circuit(c, (), list(w)), weights) for c in (circuit, bare)]
    torch.testing.assert_close(*pair, rtol=0, atol=1e-14)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**16))
def test_symmetric_positive_and_the_curvature_of_fidelity(seed):
    program, count = layered(seed)
    weights, inputs = uniform(count, seed=seed), uniform(2, 2, seed=seed + 1)
    found = fubini_study_metric(program, weights, inputs)
    assert found.shape == (2, count, count)
    assert torch.equal(found, found.mT)
    assert torch.linalg.eigvalsh(found).min() > -1e-12
    # 1 - |<psi(w - d)|psi(w + d)>|^2 = 4 d^T g d + O(d^4)
    direction = uniform(count, seed=seed + 2)
    step = 1e-3 * direction
    before, after = (program.statevector(inputs, weights + s) for s in (-step, step))
    distance = 1 - torch.linalg.vecdot(before, after).abs() ** 2
    expected = 4 * torch.einsum("i,bij,j->b", step, found, step)
    # The next term is of fourth order: relative 1e-6 times a factor of the generators' size.
    torch.testing.assert_close(distance, expected, rtol=2e-3, atol=1e-11)


def test_blocks_are_those_of_the_full_metric():
    program, count = layered(3)
    weights, inputs = uniform(count), uniform(3, 2)
    full = fubini_study_metric(program, weights, inputs)
    blocks = [[0, 3], [4], [2, 1]]
    mask = torch.zeros(count, count, dtype=torch.bool)
    for block in blocks:
        mask[torch.tensor(block)[:, None], torch.tensor(block)] = True
    found = fubini_study_metric(program, weights, inputs, blocks=blocks)
    torch.testing.assert_close(found, full * mask, rtol=0, atol=1e-14)


def test_each_sample_with_its_own_weights_and_in_parts(monkeypatch):
    program, count = layered(5)
    weights, inputs = uniform(3, count), uniform(3, 2)
    found = fubini_study_metric(program, weights, inputs)
    monkeypatch.setattr(metric, "METRIC_CHUNK", 1)
    monkeypatch.setattr("qdm_qiskit.engine.primitives.jacobians.FORWARD_CHUNK", 16)
    for row in range(3):
        one = fubini_study_metric(program, weights[row], inputs[row : row + 1])
        torch.testing.assert_close(found[row : row + 1], one, rtol=0, atol=1e-13)
    torch.testing.assert_close(
        fubini_study_metric(program, weights, inputs), found, rtol=0, atol=1e-13
    )


@pytest.mark.slow
def test_initial_states_and_deep_circuits_that_recompute():
    # Large enough that gradients would take the adjoint pass, which has no forward mode.
    n, depth = 8, 40
    w = ParameterVector("w", 3)
    circuit = QuantumCircuit(n)
    for layer in range(depth):
        for qubit in range(n):
            circuit.ry(w[(qubit + layer) % 3], qubit)
        for qubit in range(n - 1):
            circuit.cx(qubit, qubit + 1)
    program = compile_circuit(circuit, (), list(w))
    states = uniform(64, 2**n)
    states = (states / torch.linalg.vector_norm(states, dim=1, keepdim=True)).to(torch.complex128)
    weights = uniform(3)
    found = fubini_study_metric(program, weights, None, states)
    assert found.shape == (64, 3, 3)
    step = 1e-5
    psi = program.statevector(None, weights, states)
    tangents = torch.stack(
        [
            (
                program.statevector(None, weights + step * e, states)
                - program.statevector(None, weights - step * e, states)
            )
            / (2 * step)
            for e in torch.eye(3, dtype=torch.float64)
        ],
        dim=1,
    )
    along = torch.einsum("bpd,bd->bp", tangents.conj(), psi)
    expected = (tangents.conj() @ tangents.mT - along[:, :, None] * along[:, None].conj()).real
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    each = fubini_study_metric(program, weights.expand(64, -1), None, states)
    torch.testing.assert_close(each, found, rtol=0, atol=1e-11)


def test_projected_states_are_taken_as_normalised():
    w = ParameterVector("w", 2)
    circuit = QuantumCircuit(2, 1)
    circuit.ry(w[0], 0)
    circuit.ry(w[1], 1)
    circuit.cx(0, 1)
    circuit.measure(1, 0)
    circuit.rx(w[0], 0)
    bare, unit = (
        compile_circuit(circuit, (), list(w), postselect={0: 1}, renormalise=norm)
        for norm in (False, True)
    )
    weights = torch.tensor([0.7, 1.1], dtype=torch.float64)
    pair = [fubini_study_metric(program, weights) for program in (bare, unit)]
    torch.testing.assert_close(*pair, rtol=0, atol=1e-13)


def test_dtype_follows_the_weights_and_nothing_is_attached():
    program, count = layered(1)
    weights = uniform(count).float().requires_grad_()
    found = fubini_study_metric(program, weights, uniform(2, 2))
    assert found.dtype == torch.float32
    assert not found.requires_grad


def test_wrong_blocks_and_batches_are_refused():
    program, count = layered(1)
    weights, inputs = uniform(count), uniform(2, 2)
    for blocks in ([[0, 1]], [[0, 1], [1, 2, 3, 4]], [[0, 1, 2, 3, 4, 5]]):
        with pytest.raises(InvalidOption, match=r"weights 0 \.\. 4 exactly once"):
            fubini_study_metric(program, weights, inputs, blocks=blocks)
    with pytest.raises(InvalidData, match="one batch size"):
        fubini_study_metric(program, uniform(3, count), inputs)
    with pytest.raises(InvalidData, match="Weights have shape"):
        fubini_study_metric(program, uniform(count + 1), inputs)
