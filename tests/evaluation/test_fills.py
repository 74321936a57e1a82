"""The trivial competitors of restoring against what they should be in closed form."""

import numpy as np
import pytest

from qdm_qiskit.data import row_format
from qdm_qiskit.data.known import Known, mask_of
from qdm_qiskit.errors import InvalidData
from qdm_qiskit.evaluation.fills import (
    FILLS,
    bilinear,
    fills,
    gaussian_draws,
    mean_fill,
    nearest_neighbour,
)
from qdm_qiskit.evaluation.restored import column_errors, crps, fill_table, hidden_errors


def images(count: int, seed: int = 0, size: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 1, size, size))


def test_every_fill_keeps_what_is_known():
    x = images(3)
    for known in (Known(x, mask_of("random:0.5", x.shape)), Known(x, factor=2)):
        for name, fill in FILLS.items():
            found = fill(images(30, 1), known)
            np.testing.assert_allclose(known.part(found), known.part(x), atol=1e-12, err_msg=name)
        assert list(fills(images(30, 1), known)) == list(FILLS)


def test_mean_and_nearest_neighbour_are_looked_up():
    train = images(20, 1)
    truth = train[[4, 11]]
    known = Known(truth, mask_of("left", truth.shape))
    np.testing.assert_allclose(nearest_neighbour(train, known), truth)
    np.testing.assert_allclose(nearest_neighbour(train, Known(truth, factor=2)), truth)
    found = mean_fill(train, known)
    np.testing.assert_allclose(found[..., :2], np.tile(train.mean(axis=0), (2, 1, 1, 1))[..., :2])


def test_bilinear_is_exact_for_a_plane():
    y, x = np.mgrid[:4, :4]
    plane = ((x + 2 * y) / 12)[None, None]
    mask = np.ones(plane.shape, dtype=bool)
    mask[..., 1:3, 1:3] = False
    np.testing.assert_allclose(bilinear(images(2), Known(plane, mask)), plane, atol=1e-12)
    step = np.array([[0.0, 0.0, 1.0, 1.0]] * 4)[None, None]
    one = np.zeros(step.shape, dtype=bool)
    one[..., 0, 3] = True
    assert (bilinear(images(2), Known(step, one)) == 1).all()


def test_the_gaussian_is_the_conditional_mean_and_covariance():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 4)) / 6
    train = (0.5 + rng.normal(size=(20_000, 4)) @ root.T).reshape(-1, 1, 2, 2)
    covariance = root @ root.T
    mask = np.array([True, False, True, False]).reshape(1, 1, 2, 2)
    known = Known(np.full((1, 1, 2, 2), 0.6), mask)
    a, b = covariance[np.ix_([0, 2], [0, 2])], covariance[np.ix_([1, 3], [0, 2])]
    mean = 0.5 + b @ np.linalg.solve(a, np.full(2, 0.1))
    left = covariance[np.ix_([1, 3], [1, 3])] - b @ np.linalg.solve(a, b.T)
    found, draws = gaussian_draws(train, known, 20_000, seed=1)
    np.testing.assert_allclose(found.ravel()[[1, 3]], mean, atol=0.01)
    drawn = draws.reshape(len(draws), 4)
    np.testing.assert_allclose(np.cov(drawn[:, [1, 3]].T), left, atol=0.05 * covariance.max())
    assert (drawn[:, [0, 2]] == 0.6).all()


def test_constant_pixels_and_few_images_do_no_harm():
    train = images(3)
    train[:, :, 0] = 0.0
    x = train[:1]
    known = Known(x, mask_of("bottom", x.shape))
    assert np.isfinite(gaussian_draws(train, known, 2)[1]).all()
    with pytest.raises(InvalidData, match="at least 2"):
        gaussian_draws(train[:1], known)
    with pytest.raises(InvalidData, match="have the shape of the known ones"):
        fills(images(5, size=2), known)


def test_errors_count_hidden_pixels_alone():
    truth = np.zeros((2, 1, 2, 2))
    known = Known(truth, mask_of("left", truth.shape))
    off = truth.copy()
    off[..., 0] = 0.5
    np.testing.assert_allclose(hidden_errors(off, truth, known), [0.25, 0.25])
    np.testing.assert_allclose(hidden_errors(off, truth, Known(truth, factor=2)), [0.125, 0.125])


def test_the_score_of_draws_is_its_definition_and_least_for_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(200, 1, 2, 2))
    known = Known(np.zeros(truth.shape), mask_of("left", truth.shape))
    draws = rng.normal(size=(5, *truth.shape))
    pairs = np.mean([np.abs(draws[i] - draws[j]) for i in range(5) for j in range(5) if i != j], 0)
    expected = np.abs(draws - truth).mean(axis=0) - pairs / 2
    np.testing.assert_allclose(
        crps(draws, truth, known), expected[..., 0].mean(axis=(1, 2)), atol=1e-12
    )
    narrow, wide = (crps(scale * draws, truth, known).mean() for scale in (0.3, 3.0))
    assert crps(draws, truth, known).mean() < min(narrow, wide)


def test_the_table_compares_each_way_with_the_run_on_the_same_images():
    truth = images(6)
    known = Known(truth, mask_of("left", truth.shape))
    table = fill_table({"run": truth[None] + 0.1, "other": truth[None] + 0.2}, truth, known, "run")
    assert table["other"].less.estimate == pytest.approx(0.03)
    assert table["run"].less.estimate == 0
    assert table["run"].crps.estimate == pytest.approx(0.1)
    with pytest.raises(InvalidData, match="Draws of run"):
        fill_table({"run": truth}, truth, known, "run")


def test_columns_are_measured_in_their_own_units():
    form = row_format("iris")
    values = np.array([[5.0, 3.0, 1.5, 0.2, 0], [6.0, 3.0, 4.5, 1.5, 1]])
    truth = form.images(values)
    mask = mask_of("columns:petal length (cm),species", truth.shape, rows=form)
    made = form.images(values + np.array([[0, 0, 0.3, 0, 1], [0, 0, -0.1, 0, 0]]))
    found = column_errors(form, made, truth, Known(truth, mask))
    assert found["petal length (cm)"]["rmse"] == pytest.approx(np.sqrt((0.09 + 0.01) / 2))
    assert found["species"] == {"right": 0.5, "rows": 2.0}
    assert column_errors(form, made, truth, Known(truth, factor=3)) == {}
