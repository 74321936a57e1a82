"""Metrics of rows: closed forms, planted differences, nothing of pictures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from qdm_qiskit.data import Column, RowFormat, find_dataset, table_rows
from qdm_qiskit.data.ising import exact_ising, ising_samples
from qdm_qiskit.data.series import FREQUENCIES, wave_autocorrelation, wave_series
from qdm_qiskit.data.showers import deposits
from qdm_qiskit.evaluation import measure_images
from qdm_qiskit.evaluation.row_metrics import (
    OF_ROWS,
    autocorrelations,
    column_distance,
    correlation_matrix,
    spectra,
)

FEW = {"resamples": 20}


def measured(rows, ours, theirs, metrics, **options):
    """Metrics of two arrays of rows ``(count, columns)``."""
    images = [rows.images(values) for values in (ours, theirs)]
    return measure_images(*images, metrics, rows=rows, **FEW, **options)


def numbers(count=2):
    return RowFormat(
        kind="table",
        columns=tuple(Column(name=f"c{k}", low=-4.0, high=4.0, decimals=6) for k in range(count)),
    )


def test_columns_are_as_far_as_they_were_moved():
    column = Column(name="a", low=0.0, high=10.0)
    x = np.random.default_rng(0).uniform(0, 5, 50)
    assert np.isclose(column_distance(column, x, x + 2), 0.2)
    assert column_distance(column, x, x) == 0
    colour = Column(name="b", kind="category", high=2, categories=("x", "y", "z"))
    assert column_distance(colour, np.array([0, 0, 1, 1]), np.array([0, 2])) == 0.5
    form = numbers()
    values = np.random.default_rng(1).uniform(-3, 2, (60, 2))
    found = measured(form, values, values + np.array([1.0, 0.0]), ["marginals"]).metrics[
        "marginals"
    ]
    assert np.isclose(found.estimate, 1 / 8 / 2, atol=1e-6)


def test_correlations_are_those_of_numpy():
    cells = np.random.default_rng(2).normal(size=(30, 4))
    np.testing.assert_allclose(correlation_matrix(cells), np.corrcoef(cells.T))
    cells[:, 2] = 1.0
    assert (correlation_matrix(cells)[2, :2] == 0).all()
    line = np.linspace(-3, 3, 40)
    ours, theirs = np.stack([line, line], axis=1), np.stack([line, -line], axis=1)
    found = measured(numbers(), ours, theirs, ["correlations"]).metrics["correlations"]
    assert np.isclose(found.estimate, 2)


def test_trained_on_good_rows_and_on_rows_with_shuffled_targets():
    rows = find_dataset("iris").loaded_rows
    order = np.random.default_rng(3).permutation(150)
    train, test = rows.values[order[:100]], rows.values[order[100:]]
    shuffled = train.copy()
    shuffled[:, -1] = np.random.default_rng(4).permutation(shuffled[:, -1])
    good, bad = (
        measured(rows.format, each, test, ["tstr"]).metrics["tstr"].estimate
        for each in (train, shuffled)
    )
    assert good > 0.85
    assert bad < 0.65


def test_targets_of_numbers_are_judged_by_r_squared():
    x = np.random.default_rng(5).uniform(-3, 3, (200, 1))
    values = np.concatenate([x, x], axis=1)
    form = RowFormat(kind="table", columns=numbers().columns, target="c1")
    noise = np.random.default_rng(6).uniform(-3, 3, (100, 2))
    found = measured(form, values[:100], values[100:], ["tstr"]).metrics["tstr"].estimate
    assert found > 0.95
    assert measured(form, noise, values[100:], ["tstr"]).metrics["tstr"].estimate < 0.2


def test_autocorrelation_and_spectrum_of_waves():
    slow, fast = (wave_series(400, ends, np.random.default_rng(7)) for ends in FREQUENCIES)
    products = autocorrelations(slow).mean(axis=0)
    closed = wave_autocorrelation(FREQUENCIES[0], np.arange(9))
    assert abs(products / products[0] - closed).max() < 0.15
    # Parseval: the periodogram and its mean hold the energy of the series.
    total = 2 * spectra(slow)[:, :-1].sum(axis=1) + spectra(slow)[:, -1]
    np.testing.assert_allclose(total, 16 * (slow**2).sum(axis=1) - slow.sum(axis=1) ** 2, rtol=1e-9)
    form = find_dataset("waves").loaded_rows.format
    names = ["autocorrelation", "spectrum", "series_spread"]
    same = measured(form, slow[:200].clip(-1.3, 1.3), slow[200:].clip(-1.3, 1.3), names).metrics
    other = measured(form, slow[:200].clip(-1.3, 1.3), fast[200:].clip(-1.3, 1.3), names).metrics
    assert same["autocorrelation"].low < 0.05
    assert other["autocorrelation"].low > 0.4
    assert same["spectrum"].high < 0.1
    assert other["spectrum"].low > 0.5
    # A Gaussian of the same covariance has the spectrum, and not the spread.
    covariance = np.cov(slow.T)
    normal = np.random.default_rng(8).multivariate_normal(np.zeros(16), covariance, 200)
    close = measured(form, normal.clip(-1.3, 1.3), slow[200:].clip(-1.3, 1.3), names).metrics
    assert close["spectrum"].high < 0.15
    assert close["series_spread"].low > 2 * same["series_spread"].estimate


def test_spins_of_other_temperatures():
    form = find_dataset("ising").loaded_rows.format
    cold, hot, again = (
        ising_samples(4, t, 300, np.random.default_rng(seed)).reshape(300, 16).astype(float)
        for seed, t in enumerate((1.7, 3.5, 1.7))
    )
    names = ["spin_energy", "magnetisation"]
    same = measured(form, again, cold, names).metrics
    other = measured(form, hot, cold, names).metrics
    means = [exact_ising(4, t) for t in (1.7, 3.5)]
    exact = [each.mean(each.energies) / 16 for each in means]
    # Energies of the hot lattice lie above the cold one's: the distance is that of the means.
    assert abs(other["spin_energy"].estimate - (exact[1] - exact[0])) < 0.15
    assert same["spin_energy"].estimate < 0.1
    assert same["magnetisation"].estimate < 0.35 < other["magnetisation"].estimate


def test_distances_within_classes_see_classes_that_are_swapped():
    form = find_dataset("ising").loaded_rows.format
    cold, hot = (
        ising_samples(4, t, 100, np.random.default_rng(1)).reshape(100, 16).astype(float)
        for t in (1.7, 3.5)
    )
    both = np.concatenate([cold, hot])
    labels = np.repeat([0, 1], 100)
    swapped = measured(form, both, both, ["spin_energy"], labels=(1 - labels, labels)).metrics
    right = measured(form, both, both, ["spin_energy"], labels=(labels, labels)).metrics
    blind = measured(form, both, both, ["spin_energy"]).metrics
    assert right["spin_energy"].estimate == blind["spin_energy"].estimate == 0
    assert swapped["spin_energy"].estimate > 0.8


def test_showers_that_are_brighter_and_deeper():
    rows = find_dataset("showers").loaded_rows
    form = rows.format
    ends = np.array([column.high for column in form.columns])
    ours = np.minimum(deposits(300, -0.5, np.random.default_rng(0)).reshape(300, -1), ends)
    names = ["energy_sum", "shower_profile", "shower_depth"]
    dim = measured(form, ours / 2, ours, names).metrics
    assert np.isclose(dim["energy_sum"].estimate, 0.5, atol=1e-3)
    assert dim["shower_profile"].estimate < 1e-3
    deeper = ours.reshape(300, *form.shape)
    deeper = np.minimum(np.roll(deeper, 1, axis=1).reshape(300, -1), ends)
    moved = measured(form, deeper, ours, names).metrics
    assert 0.7 < moved["shower_profile"].estimate < 1.1  # about one layer; little is in the last
    assert 0.7 < moved["shower_depth"].estimate < 1.1
    sums = [each.sum(axis=1) for each in (ours[:100], ours[100:])]
    found = measured(form, ours[:100], ours[100:], names).metrics["energy_sum"].estimate
    assert np.isclose(found, wasserstein_distance(*sums) / sums[1].mean(), rtol=1e-3)


@pytest.mark.parametrize("name", OF_ROWS)
def test_nothing_is_said_of_pictures(name):
    images = np.random.default_rng(0).random((20, 1, 4, 4))
    found = measure_images(images, images, [name], **FEW)
    assert found.metrics == {}
    assert "nothing to measure" in found.failures[0]


def test_rows_are_no_pictures():
    rows = table_rows({"a": range(40), "b": list("xy") * 20}, "b")
    images = rows.format.images(rows.values, 8)
    found = measure_images(images, images, ["ssim", "psnr"], rows=rows.format, **FEW)
    assert found.metrics == {}
