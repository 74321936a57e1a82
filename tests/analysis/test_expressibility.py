"""Expressibility against integrals that are known, and against Haar states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from scipy.integrate import quad

from qdm_qiskit.analysis import expressibility, haar_states
from qdm_qiskit.analysis.expressibility import (
    haar_fidelity_probabilities,
    kl_divergence,
    pair_fidelities,
)
from qdm_qiskit.circuits import strongly_entangling_layers
from qdm_qiskit.errors import InvalidData, InvalidOption


def one_qubit(*gates: str) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    for index, gate in enumerate(gates):
        getattr(circuit, gate)(Parameter(f"w_{index:04d}"), 0)
    return circuit


@pytest.mark.parametrize("num_qubits", [1, 2, 4])
def test_haar_probabilities_are_the_integral_of_the_density(num_qubits):
    dimension = 2**num_qubits
    found = haar_fidelity_probabilities(10, num_qubits)
    for index, probability in enumerate(found):
        edges = index / 10, (index + 1) / 10
        exact, _ = quad(lambda f: (dimension - 1) * (1 - f) ** (dimension - 2), *edges)
        assert probability == pytest.approx(exact, abs=1e-12)
    assert found.sum() == pytest.approx(1, abs=1e-12)


def test_fidelities_of_all_pairs():
    states = haar_states(2, 6, np.random.default_rng(0))
    expected = [
        abs(np.vdot(states[i].numpy(), states[j].numpy())) ** 2
        for i in range(6)
        for j in range(i + 1, 6)
    ]
    assert np.allclose(pair_fidelities(states), expected)
    assert pair_fidelities(torch.ones(3, 1, dtype=torch.complex128)).tolist() == [1.0, 1.0, 1.0]


def test_a_rotation_about_one_axis_has_the_divergence_of_its_arcsine_law():
    """F = cos((a - b)/2)^2 with a uniform angle has the arcsine distribution; Haar is uniform."""
    bins = 20
    edges = 2 / np.pi * np.arcsin(np.sqrt(np.linspace(0, 1, bins + 1)))
    exact = kl_divergence(np.diff(edges), np.full(bins, 1 / bins))
    found = expressibility(
        one_qubit("rx"), samples=200, repeats=20, bins=bins, generator=np.random.default_rng(1)
    ).divergence
    assert exact > 0.1
    # Finitely many pairs add about (bins - 1) / (2 * pairs) at least.
    assert found.value == pytest.approx(exact, abs=0.02)
    assert found.low < exact + 0.005
    assert exact < found.high + 0.005


def test_haar_states_have_the_floor_and_no_more():
    rng = np.random.default_rng(2)
    circuit = strongly_entangling_layers(3, 8)
    found = expressibility(circuit, samples=200, repeats=10, generator=rng)
    assert abs(found.divergence.value - found.haar.value) < 3e-4
    assert found.frame_potential.value == pytest.approx(1, abs=0.02)
    assert found.histogram.sum() == pytest.approx(1)
    assert np.abs(found.histogram - found.haar_histogram).max() < 0.01


def test_more_gates_are_more_expressive():
    values = [
        expressibility(one_qubit(*gates), generator=np.random.default_rng(3), repeats=4)
        for gates in (["rz"], ["ry"], ["ry", "rz"])
    ]
    divergences = [each.divergence.value for each in values]
    assert divergences[0] > 3 > divergences[1] > 0.1 > divergences[2]
    # All fidelities of one state are 1: E[F^2] = 1 against 2 / (N (N + 1)) = 1/3.
    assert values[0].frame_potential.value == pytest.approx(3)
    # cos^4 averages to 3/8.
    assert values[1].frame_potential.value == pytest.approx(9 / 8, abs=0.02)


def test_the_interval_is_that_of_repeating_everything():
    circuit = one_qubit("ry", "rz")
    many = [
        expressibility(
            circuit, samples=60, repeats=8, bins=20, generator=np.random.default_rng(seed)
        ).divergence
        for seed in range(60)
    ]
    centre = np.mean([each.value for each in many])
    covered = np.mean([each.low <= centre <= each.high for each in many])
    assert 0.83 < covered <= 1


def test_the_same_generator_gives_the_same_number():
    circuit = one_qubit("ry", "rz")
    first, second = (
        expressibility(circuit, repeats=2, samples=20, generator=np.random.default_rng(5))
        for _ in range(2)
    )
    assert first.divergence == second.divergence
    assert first.haar == second.haar


def test_progress_counts_the_repeats():
    calls = []
    expressibility(
        one_qubit("ry"),
        samples=5,
        repeats=3,
        generator=np.random.default_rng(0),
        progress=lambda each: calls.append((each.done, each.total)),
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("change", [{"bins": 1}, {"bins": 10**7}, {"repeats": 1}, {"samples": 0}])
def test_numbers_out_of_range_are_refused(change):
    with pytest.raises(InvalidOption, match=rf"{next(iter(change))} must be 2 to"):
        expressibility(one_qubit("ry"), generator=np.random.default_rng(0), **change)


def test_histograms_that_do_not_fit_are_refused():
    for p, q in ((np.ones(2), np.ones(3)), (np.array([-0.1, 1.1]), np.full(2, 0.5))):
        with pytest.raises(InvalidData, match="one shape"):
            kl_divergence(p, q)
