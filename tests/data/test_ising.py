"""The sampler of spins against all configurations of a lattice."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from qdm_qiskit.data import IsingSpins, exact_ising, ising_samples
from qdm_qiskit.data.ising import TEMPERATURES, metropolis_sweep, spin_energies, wolff_step
from qdm_qiskit.errors import InvalidOption


@pytest.fixture(scope="module", params=TEMPERATURES)
def exact(request):
    return request.param, exact_ising(4, request.param)


def assert_means(spins, found):
    """Energy and magnetisation agree within five deviations of their means."""
    count = len(spins)
    for values, every in (
        (spin_energies(spins), found.energies),
        (abs(spins.mean(axis=(1, 2))), abs(found.magnetisations)),
        (spins.mean(axis=(1, 2)), found.magnetisations),
    ):
        mean = found.mean(every)
        deviation = np.sqrt(found.mean(every**2) - mean**2)
        assert abs(values.mean() - mean) < 5 * deviation / np.sqrt(count)


def test_energies_are_sums_over_bonds():
    spins = 2 * np.random.default_rng(0).integers(2, size=(3, 4, 4)) - 1
    for lattice, energy in zip(spins, spin_energies(spins), strict=True):
        bonds = 0
        for i, j in product(range(4), repeat=2):
            bonds += lattice[i, j] * (lattice[(i + 1) % 4, j] + lattice[i, (j + 1) % 4])
        assert energy == -bonds


def test_all_configurations_of_two_by_two_by_hand():
    # Double bonds: energies -8 twice, 8 twice, 0 otherwise.
    found = exact_ising(2, 2.0)
    weights = {-8: 2, 8: 2, 0: 12}
    total = sum(n * np.exp(-e / 2) for e, n in weights.items())
    assert np.isclose(
        found.mean(found.energies), sum(e * n * np.exp(-e / 2) for e, n in weights.items()) / total
    )


def test_samples_are_those_of_the_exact_distribution(exact):
    temperature, found = exact
    spins = ising_samples(4, temperature, 1500, np.random.default_rng(1))
    assert_means(spins, found)
    energies = np.unique(found.energies)
    shares = np.array([found.probabilities[found.energies == e].sum() for e in energies])
    counts = np.array([(spin_energies(spins) == e).sum() for e in energies])
    likely = shares * len(spins) >= 5
    sigma = np.sqrt(shares * (1 - shares) * len(spins))[likely]
    assert (abs(counts - shares * len(spins))[likely] < 5 * sigma).all()


@pytest.mark.parametrize("step", [metropolis_sweep, wolff_step])
def test_each_move_alone_leaves_the_distribution_as_it_is(step, exact):
    temperature, found = exact
    rng = np.random.default_rng(2)
    codes = rng.choice(2**16, size=1500, p=found.probabilities)
    spins = (2 * (codes[:, None] >> np.arange(16) & 1) - 1).reshape(-1, 4, 4)
    before = spins.copy()
    for _ in range(3):
        step(spins, temperature, rng)
    assert (spins != before).any()
    assert_means(spins, found)


def test_the_same_seed_gives_the_same_spins():
    small, again = (IsingSpins(6, (2.0,), 5, seed=1, name="mine").loaded_rows for _ in range(2))
    assert (small.values == again.values).all()
    assert small.values.shape == (5, 36)
    assert (small.values != IsingSpins(6, (2.0,), 5, seed=2, name="mine").loaded_rows.values).any()


def test_bad_options():
    with pytest.raises(InvalidOption, match="give a name"):
        IsingSpins(side=6)
    for side in (3, 5, 34):
        with pytest.raises(InvalidOption, match="even number from 4 to 32"):
            ising_samples(side, 2.0, 1, np.random.default_rng(0))
    with pytest.raises(InvalidOption, match="temperature"):
        ising_samples(4, 0.0, 1, np.random.default_rng(0))
    with pytest.raises(InvalidOption, match="at least 1"):
        ising_samples(4, 2.0, 0, np.random.default_rng(0))
    with pytest.raises(InvalidOption, match="2 to 4"):
        exact_ising(5, 2.0)
