"""Intervals hold the true figure as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.evaluation.bootstrap import bootstrap_interval, share_interval
from qdm_qiskit.evaluation.distances import KernelMatrices, frechet_distance


def mean_interval(values: np.ndarray, seed: int = 0, **options):
    rng = np.random.default_rng(seed)
    return bootstrap_interval(
        lambda rows: float(values[rows].mean()), (len(values),), rng, **options
    )


def test_interval_of_a_mean_is_the_textbook_one():
    values = np.random.default_rng(1).normal(size=400)
    found = mean_interval(values, resamples=4000)
    half = 1.96 * values.std() / np.sqrt(400)
    assert found.estimate == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.06)
    assert (found.high + found.low) / 2 == pytest.approx(values.mean(), abs=0.1 * half)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(2).normal(size=50)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values) != mean_interval(values, seed=1)


def test_width_falls_as_one_over_root_n():
    rng = np.random.default_rng(3)
    counts = np.array([2**k for k in range(5, 12)])
    widths = [np.ptp([(f := mean_interval(rng.normal(size=n))).low, f.high]) for n in counts]
    slope = np.polyfit(np.log2(counts), np.log2(widths), 1)[0]
    assert abs(slope + 0.5) < 0.08


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_of_a_mean_cover_at_their_rate(level):
    rng = np.random.default_rng(4)
    repeats = 400
    held = 0
    for _ in range(repeats):
        found = mean_interval(rng.normal(size=60), resamples=60, level=level)
        held += found.low <= 0 <= found.high
    sigma = np.sqrt(level * (1 - level) / repeats)
    assert abs(held / repeats - level) < 4 * sigma + 0.02  # 60 values: a little below the level


def test_intervals_of_the_frechet_distance_cover_though_its_estimate_is_biased():
    rng = np.random.default_rng(5)
    features, shift, repeats = 8, 0.4, 80
    true = features * shift**2
    held, estimates = 0, []
    for _ in range(repeats):
        x, y = rng.normal(size=(150, features)), rng.normal(size=(150, features)) + shift
        found = bootstrap_interval(
            lambda a, b, x=x, y=y: frechet_distance(x[a], y[b]), (150, 150), rng, resamples=40
        )
        held += found.low <= true <= found.high
        estimates.append(found.estimate)
    assert np.mean(estimates) > true + 4 * np.std(estimates) / np.sqrt(repeats)  # biased upward
    assert held / repeats > 0.95 - 4 * np.sqrt(0.95 * 0.05 / repeats)


def test_intervals_of_the_kernel_distance_cover():
    """With x ~ N(0, 1), y ~ N(s, 1): (xy+1)^3 has closed moments, so the true distance is known."""
    rng = np.random.default_rng(6)
    s, repeats, held = 0.8, 80, 0
    m = np.array([[1, 0, 1, 0], [1, s, s**2 + 1, s**3 + 3 * s]])  # moments 0..3 of x and of y
    true = float(((m[0] - m[1]) ** 2 * [1, 3, 3, 1]).sum())
    for _ in range(repeats):
        kernels = KernelMatrices.of(rng.normal(size=(200, 1)), rng.normal(size=(200, 1)) + s)
        found = bootstrap_interval(kernels.distance, (200, 200), rng, resamples=40)
        held += found.low <= true <= found.high
    # The distance is skewed: a normal interval covers somewhat less than its level.
    assert held / repeats > 0.95 - 4 * np.sqrt(0.95 * 0.05 / repeats)


def test_equal_distributions_have_an_interval_around_zero():
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(30):
        x, y = rng.normal(size=(2, 100, 6))
        found = bootstrap_interval(
            lambda a, b, x=x, y=y: frechet_distance(x[a], y[b]), (100, 100), rng, resamples=30
        )
        held += found.low <= 0 <= found.high
    assert held >= 28


def test_wilson_interval_against_its_equation():
    hits = np.arange(80) < 6
    found = share_interval(hits)
    assert found.estimate == 6 / 80
    for end in (found.low, found.high):  # the ends solve |share - p| = z sqrt(p (1 - p) / n)
        assert abs(6 / 80 - end) == pytest.approx(1.95996 * np.sqrt(end * (1 - end) / 80), rel=1e-4)
    none = share_interval(np.zeros(80, dtype=bool))
    assert none.low == 0
    assert 0.02 < none.high < 0.06


def test_bad_options_are_refused():
    values = np.zeros(5)
    for options in ({"resamples": 19}, {"resamples": True}, {"level": 1.0}, {"level": np.nan}):
        with pytest.raises(InvalidOption):
            mean_interval(values, **options)
    with pytest.raises(InvalidData, match="at least 2 images"):
        mean_interval(np.zeros(1))
    with pytest.raises(InvalidData):
        share_interval(np.zeros(0, dtype=bool))
