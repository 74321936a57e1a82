"""Trajectories against the exact evolution: unbiased values and gradients, derived 5 sigma."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import (
    NoiseModel,
    ReadoutError,
    amplitude_damping_error,
    coherent_unitary_error,
    depolarizing_error,
    phase_amplitude_damping_error,
    thermal_relaxation_error,
)

from qdm_qiskit.engine.noise import TrajectoryProgram, compile_noisy
from qdm_qiskit.errors import InvalidData, InvalidOption
from tests.helpers import random_angles

TURN = np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])
ONE = (
    depolarizing_error(0.05, 1),
    amplitude_damping_error(0.05),
    phase_amplitude_damping_error(0.04, 0.03),
    thermal_relaxation_error(50, 40, 2),
    thermal_relaxation_error(50, 80, 2),
    coherent_unitary_error(TURN),
)
TWO = (
    depolarizing_error(0.05, 2),
    ONE[1].tensor(ONE[4]),
    depolarizing_error(0.03, 2).compose(ONE[3].tensor(ONE[0])),
)


def noise_model(seed: int) -> NoiseModel:
    rng = np.random.default_rng(seed)
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(ONE[rng.integers(len(ONE))], ["ry", "rx"])
    noise.add_all_qubit_quantum_error(TWO[rng.integers(len(TWO))], ["cx"])
    noise.add_all_qubit_readout_error(ReadoutError([[0.95, 0.05], [0.1, 0.9]]))
    return noise


def layers(num_qubits: int, depth: int = 1):
    x = [Parameter(f"x_{k:04d}") for k in range(num_qubits)]
    w = [Parameter(f"w_{k:04d}") for k in range(num_qubits * depth)]
    circuit = QuantumCircuit(num_qubits)
    for layer in range(depth):
        for q in range(num_qubits):
            circuit.rx(x[q] * (layer + 1), q)
            circuit.ry(w[layer * num_qubits + q], q)
        for q in range(num_qubits - 1):
            circuit.cx(q, q + 1)
    return circuit, x, w


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_mean_is_within_five_sigma_of_the_exact_values(seed, readout):
    circuit, inputs, weights = layers(3)
    noise = noise_model(seed)
    x, w = random_angles(3, 3, 2, seed)
    exact = compile_noisy(circuit, noise, inputs, weights, method="density")
    program = compile_noisy(circuit, noise, inputs, weights, method="trajectories")
    observables = [SparsePauliOp("ZZI"), SparsePauliOp("XYZ"), SparsePauliOp("IIZ")]
    count = 4000
    generator = torch.Generator().manual_seed(seed)
    options = {"trajectories": count, "generator": generator, "readout": readout}
    # A trajectory's variance is at most |O|^2 prod(S) - <O>^2 (the module's docstring).
    factor = program.variance_factor
    true = exact.expectation(observables, x, w, readout=readout)
    found = program.expectation(observables, x, w, **options)
    assert ((found - true).abs() < 5 * ((factor - true**2) / count).sqrt()).all()
    true = exact.probabilities(x, w, readout=readout, qubits=[2, 0])
    found = program.probabilities(x, w, qubits=[2, 0], **options)
    # A probability lies in [0, prod(S)], so its second moment is at most prod(S) p.
    assert ((found - true).abs() < 5 * ((factor * true - true**2) / count).sqrt() + 1e-12).all()


def test_error_falls_as_one_over_the_root_of_the_number():
    circuit, inputs, weights = layers(2)
    noise = noise_model(3)
    x, w = random_angles(2, 2, 400, 0)
    x[:] = x[0]  # 400 repetitions of one sample
    program = compile_noisy(circuit, noise, inputs, weights, method="trajectories")
    exact = compile_noisy(circuit, noise, inputs, weights, method="density")
    z = [SparsePauliOp("ZI")]
    true = exact.expectation(z, x[:1], w)
    generator = torch.Generator().manual_seed(1)
    counts = [4, 16, 64, 256]
    spread = [
        (program.expectation(z, x, w, trajectories=k, generator=generator) - true)
        .square()
        .mean()
        .sqrt()
        .item()
        for k in counts
    ]
    slope = np.polyfit(np.log(counts), np.log(spread), 1)[0]
    assert abs(slope + 0.5) < 0.06


def test_gradients_are_unbiased():
    """Each trajectory's gradient is a sum of bounded terms; its own scatter gives the sigma."""
    circuit, inputs, weights = layers(3)
    noise = noise_model(11)
    x, w = random_angles(3, 3, 1, 4)
    exact = compile_noisy(circuit, noise, inputs, weights, method="density")
    program = compile_noisy(circuit, noise, inputs, weights, method="trajectories")
    z = [SparsePauliOp("ZZZ")]
    rows = x.expand(2000, 3).clone().requires_grad_()  # one trajectory a row
    (found,) = torch.autograd.grad(
        program.expectation(
            z, rows, w, trajectories=1, generator=torch.Generator().manual_seed(5)
        ).sum(),
        rows,
    )
    x.requires_grad_()
    (true,) = torch.autograd.grad(exact.expectation(z, x, w).sum(), x)
    sigma = found.std(0) / math.sqrt(2000)
    assert ((found.mean(0) - true[0]).abs() < 5 * sigma + 1e-12).all()


def test_gradcheck_with_fixed_branches():
    circuit, inputs, weights = layers(3)
    program = compile_noisy(circuit, noise_model(2), inputs, weights, method="trajectories")
    x, w = random_angles(3, 3, 2, 1)
    rng = np.random.default_rng(1)
    states = torch.tensor(rng.normal(size=(2, 4)) + 1j * rng.normal(size=(2, 4)))

    def run(x, w, states):
        return program.probabilities(
            x,
            w,
            states / torch.linalg.vector_norm(states, dim=1, keepdim=True),
            initial_qubits=[2, 0],
            trajectories=5,
            generator=torch.Generator().manual_seed(3),
        )

    assert torch.autograd.gradcheck(run, [t.requires_grad_() for t in (x, w, states)])


def test_chunks_with_checkpoints_give_the_same(monkeypatch):
    circuit, inputs, weights = layers(3, depth=2)
    program = compile_noisy(circuit, noise_model(4), inputs, weights, method="trajectories")
    x, w = random_angles(3, 6, 2, 1)
    w.requires_grad_()

    def gradient():
        value = program.probabilities(
            x, w, trajectories=1, generator=torch.Generator().manual_seed(3)
        )
        return torch.autograd.grad(value.square().sum(), w)[0]

    whole = gradient()
    monkeypatch.setattr("qdm_qiskit.engine.noise.trajectories.CHUNK_BYTES", 1)
    assert torch.equal(whole, gradient())
    # With chunks of one trajectory the order of the draws is another one: compare with the mean.
    many = program.probabilities(x, w, trajectories=3, generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    single = [program.probabilities(x, w, trajectories=1, generator=generator) for _ in range(3)]
    assert torch.allclose(many, sum(single) / 3)
    many.sum().backward()
    assert w.grad is not None


def test_without_noise_one_trajectory_is_exact_also_with_a_state_on_some_qubits():
    circuit, inputs, weights = layers(4, depth=2)
    x, w = random_angles(4, 8, 3, 0)
    rng = np.random.default_rng(0)
    states = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
    states = torch.tensor(states / np.linalg.norm(states, axis=1, keepdims=True))
    empty = NoiseModel()
    empty.add_all_qubit_readout_error(ReadoutError([[0.95, 0.05], [0.1, 0.9]]))
    exact = compile_noisy(circuit, empty, inputs, weights, method="density")
    program = compile_noisy(circuit, empty, inputs, weights, method="trajectories")
    assert program.variance_factor == pytest.approx(1)
    options = {"initial_qubits": [2, 0]}
    first = exact.probabilities(x, w, states, **options)
    second = program.probabilities(x, w, states, trajectories=1, **options)
    assert torch.allclose(first, second, atol=1e-12)
    observables = [SparsePauliOp(["XYZI", "ZZZZ"], [1, 0.5]), SparsePauliOp("IIIX")]
    first = exact.expectation(observables, x, w, states, **options)
    second = program.expectation(observables, x, w, states, trajectories=1, **options)
    assert torch.allclose(first, second, atol=1e-12)


def test_idle_qubits_read_as_in_the_exact_program():
    circuit = QuantumCircuit(5)
    circuit.ry(0.7, 3)
    circuit.cx(3, 1)
    noise = NoiseModel()
    noise.add_all_qubit_readout_error(ReadoutError([[0.95, 0.05], [0.1, 0.9]]))
    exact = compile_noisy(circuit, noise, method="density")
    program = compile_noisy(circuit, noise, method="trajectories")
    for qubits in (None, [3, 0, 1], [4, 2], [2, 1, 4, 3]):
        first = exact.probabilities(qubits=qubits)
        second = program.probabilities(qubits=qubits, trajectories=1)
        assert torch.allclose(first, second, atol=1e-6)
    for label in ("ZIZIZ", "IXXII", "XIIII", "IIIII", "ZIIIZ"):
        first = exact.expectation([SparsePauliOp(label)])
        second = program.expectation([SparsePauliOp(label)], trajectories=1)
        assert torch.allclose(first, second, atol=1e-6)


def test_auto_takes_trajectories_for_many_qubits():
    circuit, inputs, weights = layers(12)
    program = compile_noisy(circuit, noise_model(0), inputs, weights)
    assert isinstance(program, TrajectoryProgram)
    x, w = random_angles(12, 12, 1, 0)
    found = program.probabilities(x, w, qubits=[0, 11], trajectories=2)
    assert found.shape == (1, 4)


def test_refusals():
    damped = NoiseModel()
    damped.add_all_qubit_quantum_error(amplitude_damping_error(0.5), ["x"])
    circuit = QuantumCircuit(1)
    for _ in range(20):
        circuit.x(0)
    with pytest.raises(InvalidOption, match="variance"):
        compile_noisy(circuit, damped, method="trajectories")
    program = compile_noisy(QuantumCircuit(1), damped, method="trajectories")
    with pytest.raises(InvalidOption, match="at least 1"):
        program.probabilities(trajectories=0)
    wide = QuantumCircuit(50)
    wide.h(range(50))
    with pytest.raises(InvalidData, match="GiB"):
        compile_noisy(wide, NoiseModel()).probabilities(qubits=[0])


def test_the_variance_is_what_estimates_scatter():
    """Squares of errors against the exact value, in units of the variance, are 1 in the mean."""
    circuit, x, w = layers(2)
    noise = noise_model(3)
    program = compile_noisy(circuit, noise, x, w, method="trajectories")
    exact = compile_noisy(circuit, noise, x, w, method="density")
    assert isinstance(program, TrajectoryProgram)
    inputs, weights = random_angles(2, 2, 1)
    observables = [SparsePauliOp("ZI"), SparsePauliOp("XY")]
    wanted = exact.expectation(observables, inputs, weights)
    draws, repeats, squares = torch.Generator().manual_seed(5), 200, []
    for _ in range(repeats):
        mean, variance = program.estimate(
            observables, inputs, weights, trajectories=100, generator=draws
        )
        squares.append(((mean - wanted).square() / variance).mean())
    # A square of a normal number has variance 2; those of one repetition may hang together.
    assert abs(float(torch.stack(squares).mean()) - 1) < 5 * math.sqrt(2 / repeats)
    one, two = (torch.Generator().manual_seed(7) for _ in range(2))
    mean, _ = program.estimate(observables, inputs, weights, trajectories=9, generator=one)
    plain = program.expectation(observables, inputs, weights, trajectories=9, generator=two)
    assert torch.equal(mean, plain)
    with pytest.raises(InvalidOption, match="at least 2 trajectories, got 1"):
        program.estimate(observables, inputs, weights, trajectories=1)


@pytest.fixture(scope="module")
def half_lost():
    angle = Parameter("x")
    circuit = QuantumCircuit(2)
    for _ in range(4):
        circuit.ry(angle, 0)
        circuit.cx(0, 1)
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.5, 2), ["cx"])
    return compile_noisy(circuit, noise, [angle], unknown_gates="noiseless", method="trajectories")


@pytest.mark.parametrize("trajectories", [1, 3])
def test_parts_draw_what_the_whole_draws(half_lost, trajectories):
    rows = torch.linspace(0.1, 1.3, 5, dtype=torch.float64)[:, None]

    def found(first, end, **given):
        generator = torch.Generator().manual_seed(4)
        return half_lost.probabilities(
            rows[first:end], trajectories=trajectories, generator=generator, **given
        )

    whole = found(0, 5)
    parts = [found(0, 2, part_of=(0, 5)), found(2, 5, part_of=(2, 5))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-15)
    assert not torch.allclose(found(2, 5), whole[2:])


@pytest.mark.parametrize("part", [(-1, 5), (4, 5), (0, 1)])
def test_a_part_outside_of_its_batch_is_refused(half_lost, part):
    with pytest.raises(InvalidOption, match=r"part_of is \(first, samples\) of a batch that 2 sam"):
        half_lost.probabilities(torch.zeros(2, 1), trajectories=1, part_of=part)
