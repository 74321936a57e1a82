"""Readout errors on probabilities, and drawn counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from qiskit.quantum_info import PTM, Operator, SuperOp, random_quantum_channel, random_unitary
from qiskit_aer.noise import amplitude_damping_error, depolarizing_error, thermal_relaxation_error

from qdm_qiskit.engine.noise import apply_readout, draw_counts
from qdm_qiskit.engine.noise.channels import channel_of_error, on_axes, transfer_matrix
from qdm_qiskit.errors import InvalidData


def test_correlated_assignment_matrix_against_the_full_one():
    rng = np.random.default_rng(0)
    matrix = rng.dirichlet(np.ones(4), size=4)
    probabilities = rng.dirichlet(np.ones(8), size=3)
    # Bits 2 and 0: bit 2 is the matrix's least significant.
    full = np.zeros((8, 8))
    for true in range(8):
        for read in range(8):
            if (true ^ read) & 2 == 0:
                index = [(s >> 2 & 1) + 2 * (s & 1) for s in (true, read)]
                full[true, read] = matrix[index[0], index[1]]
    got = apply_readout(torch.tensor(probabilities), [((2, 0), matrix)])
    assert np.abs(got.numpy() - probabilities @ full).max() < 1e-14


def test_readout_is_differentiable_in_both():
    p = torch.rand(2, 4, dtype=torch.float64, requires_grad=True)
    a = torch.rand(2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p, a: apply_readout(p, [((1,), a), ((0,), a)]), (p, a))


def test_bad_readout_is_refused():
    p = torch.ones(1, 4) / 4
    for bits, size in (((2,), 2), ((0, 0), 4), ((0,), 4)):
        with pytest.raises(InvalidData):
            apply_readout(p, [(bits, np.eye(size))])
    with pytest.raises(InvalidData, match="2\\*\\*m"):
        apply_readout(torch.ones(1, 3), [])


def test_counts_follow_the_probabilities():
    p = torch.tensor([[0.5, 0.2, 0.3, 0.0], [0.0, 0.0, 1.0, 0.0]])
    shots = 20000
    generator = torch.Generator().manual_seed(0)
    counts = draw_counts(p, shots, generator)
    assert counts.sum(1).tolist() == [shots, shots]
    for found, expected in zip(counts.flatten().tolist(), p.flatten().tolist(), strict=True):
        sigma = math.sqrt(expected * (1 - expected) / shots)
        assert abs(found / shots - expected) <= 5 * sigma + 1e-7
    assert torch.equal(counts, draw_counts(p, shots, torch.Generator().manual_seed(0)))
    with pytest.raises(InvalidData, match="at least 1"):
        draw_counts(p, 0)
    with pytest.raises(InvalidData, match="sum"):
        draw_counts(p * 0, 5)


@pytest.mark.parametrize(
    "error",
    [
        depolarizing_error(0.2, 2),
        amplitude_damping_error(0.3),
        thermal_relaxation_error(50, 40, 5).tensor(thermal_relaxation_error(50, 90, 5)),
        depolarizing_error(0.01, 2).compose(
            thermal_relaxation_error(50, 40, 1).tensor(thermal_relaxation_error(50, 60, 1))
        ),
    ],
)
def test_channels_of_errors_are_those_of_qiskit(error):
    channel = channel_of_error(error)
    assert np.abs(channel.transfer - PTM(SuperOp(error)).data).max() < 1e-12
    q, operators = channel.branches
    assert math.isclose(q.sum(), 1)
    total = np.einsum("k,kba,kbc->ac", q, operators.conj(), operators)
    assert np.abs(total - np.eye(len(total))).max() < 1e-12
    # No branch multiplies a squared norm by more than the spread.
    assert np.linalg.norm(operators, ord=2, axis=(1, 2)).max() ** 2 <= channel.spread + 1e-12


def test_mixtures_of_unitaries_have_no_spread():
    assert math.isclose(channel_of_error(depolarizing_error(0.2, 2)).spread, 1)
    assert channel_of_error(amplitude_damping_error(0.3)).spread == pytest.approx(1.3)


def test_matrices_on_a_register_are_those_of_qiskit():
    unitary = random_unitary(4, seed=0)
    expected = Operator(np.eye(8)).compose(unitary, [2, 0]).data
    assert np.abs(on_axes(unitary.data, [2, 0], range(3), 2) - expected).max() < 1e-12
    channel = random_quantum_channel(4, 4, seed=1)
    expected = PTM(SuperOp(np.eye(64)).compose(channel, [2, 0])).data
    small = PTM(channel).data.real
    assert np.abs(on_axes(small, [2, 0], range(3), 4) - expected).max() < 1e-12
    gate = transfer_matrix(unitary.data[None])
    assert np.abs(gate - PTM(Operator(unitary)).data).max() < 1e-12
