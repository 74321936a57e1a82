"""Series against their closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from qdm_qiskit.data.series import (
    AR_ANGLES,
    AR_RADIUS,
    FREQUENCIES,
    ar2_autocorrelation,
    ar2_series,
    wave_autocorrelation,
    wave_series,
)

COUNT, LAGS = 4000, np.arange(9)


def measured(values):
    """Mean autocorrelation, and five times its error over the series."""
    products = np.stack(
        [(values[:, : 16 - lag] * values[:, lag:]).mean(axis=1) for lag in LAGS], axis=1
    )
    ratio = products.mean(axis=0) / products[:, 0].mean()
    off = products - ratio * products[:, :1]  # the delta method
    return ratio, 5 * off.std(axis=0) / products[:, 0].mean() / np.sqrt(len(values)) + 1e-12


@pytest.mark.parametrize("ends", FREQUENCIES)
def test_waves_have_their_autocorrelation(ends):
    found, most = measured(wave_series(COUNT, ends, np.random.default_rng(1)))
    assert (abs(found - wave_autocorrelation(ends, LAGS)) < most).all()


@pytest.mark.parametrize("angle", AR_ANGLES)
def test_the_process_of_two_pasts_has_its_autocorrelation(angle):
    found, most = measured(ar2_series(COUNT, angle, np.random.default_rng(2)))
    closed = ar2_autocorrelation(angle, LAGS)
    assert (abs(found - closed) < most).all()
    # A second way: roots r exp(+-i angle) give r^k (cos k angle + c sin k angle).
    c = (1 - AR_RADIUS**2) / (1 + AR_RADIUS**2) / np.tan(angle)
    np.testing.assert_allclose(
        closed, AR_RADIUS**LAGS * (np.cos(LAGS * angle) + c * np.sin(LAGS * angle)), atol=1e-12
    )


def test_a_series_begins_as_it_goes_on():
    values = ar2_series(COUNT, AR_ANGLES[0], np.random.default_rng(3))
    spread = values.std(axis=0)
    assert abs(spread[0] / spread[-1] - 1) < 5 * np.sqrt(1 / COUNT)
