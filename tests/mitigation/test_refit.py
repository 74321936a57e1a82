"""Ridge towards the map that is there: closed forms by other means, limits, recovery from noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.mitigation.refit import affine_correction, ridge


def setting(seed: int = 0, circuits: int = 60):
    rng = np.random.default_rng(seed)
    exact = rng.uniform(-1, 1, (circuits, 5))
    weight, bias = rng.normal(size=(3, 5)), rng.normal(size=3)
    gain, offset = rng.uniform(0.5, 0.9, 5), rng.normal(size=5) / 10
    return rng, exact, weight, bias, exact * gain + offset, gain, offset


def solved(f, v, weight, penalty):
    """The same by least squares on stacked rows: circuits, then the penalty."""
    rows = np.vstack(
        [np.hstack([f, np.ones((len(f), 1))]), np.hstack([np.eye(5), np.zeros((5, 1))])]
    )
    rows[len(f) :] *= np.sqrt(penalty)
    found = np.linalg.lstsq(rows, np.vstack([v, np.sqrt(penalty) * weight.T]), rcond=None)[0]
    return found[:-1].T, found[-1]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.sampled_from([1e-3, 0.1, 10.0]))
def test_it_is_least_squares_with_rows_for_the_penalty(seed, strength):
    rng, exact, weight, bias, measured, *_ = setting(seed)
    targets = exact @ weight.T + bias + rng.normal(size=(60, 3)) / 10
    fit = ridge(measured, targets, weight, bias, strengths=[strength])
    penalty = strength * 60 * measured.var(axis=0).mean()
    wanted, constant = solved(measured, targets, weight, penalty)
    np.testing.assert_allclose(fit.weight, wanted, atol=1e-9)
    np.testing.assert_allclose(fit.bias, constant, atol=1e-9)


def test_the_error_is_that_of_leaving_each_circuit_out():
    rng, exact, weight, bias, measured, *_ = setting(circuits=12)
    targets = exact @ weight.T + bias + rng.normal(size=(12, 3)) / 5
    fit = ridge(measured, targets, weight, bias, strengths=[0.3])
    penalty = 0.3 * 12 * measured.var(axis=0).mean()
    errors = []
    for k in range(12):
        rest = np.arange(12) != k
        w, b = solved(measured[rest], targets[rest], weight, penalty)
        errors.append(np.square(targets[k] - measured[k] @ w.T - b))
    assert fit.error_left_out == pytest.approx(np.mean(errors), rel=1e-9)


def test_a_noiseless_linear_device_is_undone_and_a_huge_penalty_keeps_the_head():
    _, exact, weight, bias, measured, gain, offset = setting()
    targets = exact @ weight.T + bias
    fit = ridge(measured, targets, weight, bias)
    assert fit.error_left_out < 1e-3 * fit.error_before
    sharp = ridge(measured, targets, weight, bias, strengths=[1e-12])
    np.testing.assert_allclose(sharp.weight, weight / gain, atol=1e-6)
    np.testing.assert_allclose(sharp.bias, bias - (weight / gain) @ offset, atol=1e-6)
    kept = ridge(measured, targets, weight, bias, strengths=[1e12])
    np.testing.assert_allclose(kept.weight, weight, atol=1e-9)


def test_noise_calls_for_a_stronger_penalty():
    rng, exact, weight, bias, measured, *_ = setting()
    targets = exact @ weight.T + bias
    clean = ridge(measured, targets, weight, bias)
    noisy = ridge(measured + rng.normal(size=measured.shape), targets, weight, bias)
    assert noisy.strength > clean.strength


def test_a_correction_undoes_gain_and_offset():
    _, exact, _, _, measured, gain, offset = setting()
    found = affine_correction(measured, exact, strength=0.0)
    np.testing.assert_allclose(found(measured), exact, atol=1e-9)
    np.testing.assert_allclose(found.gain, 1 / gain, atol=1e-9)
    np.testing.assert_allclose(found.offset, -offset / gain, atol=1e-9)
    assert found.error_after < 1e-12 < found.error_before
    heavy = affine_correction(measured, exact, strength=1e9)
    np.testing.assert_allclose(heavy.gain, 1, atol=1e-6)
    np.testing.assert_allclose(heavy.offset, 0, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.sampled_from([1e-2, 1.0]))
def test_a_correction_is_at_its_minimum(seed, strength):
    """Its objective, written out, is lower there than anywhere near."""
    _, exact, _, _, measured, *_ = setting(seed)
    found = affine_correction(measured, exact, strength=strength)
    penalty = strength * np.square(measured).mean()

    def objective(gain, offset):
        off = np.square(exact - measured * gain - offset).mean(axis=0)
        return off + penalty * (np.square(gain - 1) + np.square(offset))

    least = objective(found.gain, found.offset)
    for step in (1e-3, -1e-3):
        assert (objective(found.gain + step, found.offset) > least).all()
        assert (objective(found.gain, found.offset + step) > least).all()


def test_what_does_not_fit_is_refused():
    _, exact, weight, bias, measured, *_ = setting()
    with pytest.raises(InvalidData, match="at least 3 circuits"):
        ridge(measured[:2], exact[:2] @ weight.T, weight, bias)
    with pytest.raises(InvalidData, match=r"weight \(m, n\)"):
        ridge(measured, exact @ weight.T, weight.T, bias)
    with pytest.raises(InvalidData, match="finite"):
        ridge(measured * np.nan, exact @ weight.T, weight, bias)
    with pytest.raises(InvalidOption, match="above 0"):
        ridge(measured, exact @ weight.T, weight, bias, strengths=[0.0])
    with pytest.raises(InvalidData, match="of one shape"):
        affine_correction(measured, exact[:-1])
