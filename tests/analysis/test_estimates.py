"""Intervals cover what they should."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from qdm_qiskit.analysis.estimates import Estimate, mean_estimate, variance_estimate
from qdm_qiskit.errors import InvalidData


def test_the_interval_of_a_mean_is_students():
    found = mean_estimate(np.array([1.0, 2.0, 3.0, 4.0]))
    # t(0.975, 3) = 3.18245, standard error sqrt(5/3)/2.
    half = 3.182446 * np.sqrt(5 / 3) / 2
    assert found.value == 2.5
    assert (found.low, found.high) == pytest.approx((2.5 - half, 2.5 + half), rel=1e-6)


@pytest.mark.parametrize("count", [5, 200])
def test_intervals_of_means_cover_the_truth_as_often_as_they_say(count):
    rng = np.random.default_rng(3)
    found = [mean_estimate(rng.normal(2, 1, count)) for _ in range(1000)]
    hits = np.mean([each.low <= 2 <= each.high for each in found])
    assert abs(hits - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 1000)


@pytest.mark.parametrize("columns", [1, 5])
def test_intervals_of_variances_cover_the_truth_nearly_as_often(columns):
    rng = np.random.default_rng(4)
    found = [variance_estimate(rng.laplace(7, 1, (300, columns)), rng) for _ in range(200)]
    hits = np.mean([each.low <= 2 <= each.high for each in found])
    assert 0.87 < hits < 0.995
    assert np.mean([each.value for each in found]) == pytest.approx(2, abs=0.06)


def test_the_error_of_a_variance_falls_as_one_over_the_root_of_samples():
    rng = np.random.default_rng(5)
    widths = []
    for count in (200, 1800):
        found = [variance_estimate(rng.normal(size=count), rng) for _ in range(16)]
        widths.append(np.mean([each.high - each.low for each in found]))
    assert np.log(widths[0] / widths[1]) / np.log(9) == pytest.approx(0.5, abs=0.06)


def test_resamples_have_a_mean_of_their_own():
    """With three rows the means of resamples scatter nearly as widely as the rows do."""
    drawn = np.array(list(itertools.product([-1.0, 0.0, 1.0], repeat=3)))
    exact = drawn.var(axis=1, ddof=1)
    found = variance_estimate(np.array([-1.0, 0.0, 1.0]), np.random.default_rng(7))
    # The reflected end comes from the largest resample: 4/3, where without its mean it would be 3/2.
    assert exact.max() == pytest.approx(4 / 3)
    assert found.low == pytest.approx(1 / exact.max())


def test_columns_that_do_not_vary_have_no_error():
    rng = np.random.default_rng(6)
    assert variance_estimate(np.ones((9, 3)), rng) == Estimate(0.0, 0.0, 0.0)
    assert mean_estimate(np.full(9, 0.1)) == Estimate(0.1, 0.1, 0.1)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, np.nan], [np.inf, 1.0], 3.0])
def test_too_little_is_refused(values):
    with pytest.raises(InvalidData, match="at least 2 finite"):
        mean_estimate(np.array(values))
    with pytest.raises(InvalidData, match="at least 2 finite"):
        variance_estimate(np.array(values), np.random.default_rng(0))


def test_an_estimate_as_text_and_json():
    found = Estimate(0.123456, 0.1, 0.2)
    assert str(found) == "0.1235 [0.1, 0.2]"
    assert json.loads(json.dumps(found.to_dict())) == {"value": 0.123456, "low": 0.1, "high": 0.2}
