"""Showers: shares against integrals, deposits against their mean."""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad
from scipy.stats import gamma

from qdm_qiskit.data import find_dataset
from qdm_qiskit.data.showers import LAYER_DEPTH, LAYERS, deposits, layer_shares, ring_shares


def test_layers_share_a_gamma_distribution():
    shares = layer_shares(np.array([7.5]), np.array([0.5]))[0]
    profile = gamma(1 + 0.5 * 7.5, scale=2)
    for layer in range(LAYERS):
        ends = LAYER_DEPTH * layer, LAYER_DEPTH * (layer + 1)
        assert np.isclose(shares[layer], quad(profile.pdf, *ends)[0])
    deepest = np.linspace(0.1, 24, 2391)
    assert abs(deepest[profile.pdf(deepest).argmax()] - 7.5) < 0.02  # the maximum is there


def test_rings_share_all_of_a_layer():
    shares = ring_shares()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (np.diff(shares[:, 0]) < 0).all()  # wider with depth
    # The density 2 r R^2 / (r^2 + R^2)^2 of the first layer, out to its first edge.
    inside = quad(lambda r: 2 * r * 0.09 / (r**2 + 0.09) ** 2, 0, 0.5)[0]
    assert np.isclose(shares[0, 0], inside)


def test_energy_is_kept_but_for_what_leaks():
    made = deposits(2000, -0.5, np.random.default_rng(0))
    total = made.sum(axis=(1, 2))
    assert made.min() >= 0
    # ln E is uniform from ln 10 to ln 100: the mean is 90 / ln 10.
    assert 0.93 < total.mean() / (90 / np.log(10)) < 1.01


def test_photons_are_deeper():
    rows = find_dataset("showers").loaded_rows
    layers = rows.values.reshape(-1, *rows.format.shape).sum(axis=2)
    depths = layers @ np.arange(LAYERS) / layers.sum(axis=1)
    electrons, photons = (depths[rows.labels == label] for label in (0, 1))
    error = np.sqrt(electrons.var() / len(electrons) + photons.var() / len(photons))
    # One radiation length deeper at the maximum; in layers of four.
    assert photons.mean() - electrons.mean() > 5 * error
