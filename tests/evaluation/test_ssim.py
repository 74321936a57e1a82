"""SSIM: its formula, written out window by window, and values of scikit-image 0.26."""

from __future__ import annotations

import numpy as np
import pytest

from qdm_qiskit.evaluation.ssim import ssim_window, structural_similarity


def pair(height: int, width: int, channels: int = 1, count: int = 2):
    rng = np.random.default_rng(9)
    images = rng.random((count, channels, height, width))
    return images, np.clip(images + 0.2 * rng.normal(size=images.shape), 0, 1)


def plain_ssim(x: np.ndarray, y: np.ndarray, weights: np.ndarray, correction: float) -> float:
    """The mean over all places of the window, by loops and moments about the mean."""
    size, values = len(weights), []
    window = np.outer(weights, weights) / weights.sum() ** 2
    for row in range(x.shape[0] - size + 1):
        for column in range(x.shape[1] - size + 1):
            a, b = (each[row : row + size, column : column + size] for each in (x, y))
            ma, mb = (window * a).sum(), (window * b).sum()
            va, vb, ab = (
                correction * (window * p * q).sum()
                for p, q in ((a - ma, a - ma), (b - mb, b - mb), (a - ma, b - mb))
            )
            top = (2 * ma * mb + 0.01**2) * (2 * ab + 0.03**2)
            values.append(top / ((ma**2 + mb**2 + 0.01**2) * (va + vb + 0.03**2)))
    return float(np.mean(values))


@pytest.mark.parametrize(
    "shape", [(3, 3), (4, 4), (5, 6), (7, 7), (8, 8), (10, 12), (11, 11), (12, 28), (16, 16)]
)
def test_ssim_is_its_formula_over_the_valid_part(shape):
    x, y = pair(*shape)
    size = min(shape)
    if size >= 11:
        weights, correction = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2), 1.0
    else:
        side = min(7, size - 1 + size % 2)
        weights, correction = np.ones(side), side**2 / (side**2 - 1)
    wanted = [plain_ssim(a[0], b[0], weights, correction) for a, b in zip(x, y, strict=True)]
    assert structural_similarity(x, y) == pytest.approx(wanted, abs=1e-12)
    assert structural_similarity(x, x) == pytest.approx(np.ones(2), abs=1e-12)
    assert f"{len(weights)} x {len(weights)}" in ssim_window(size)
    assert ("sample variances" in ssim_window(size)) == (size < 11)


@pytest.mark.parametrize(
    ("size", "right"),
    [
        (8, 0.713886575223),
        (9, 0.702841294313),
        (11, 0.753228408854),
        (16, 0.723654932213),
        (28, 0.720722044083),
    ],
)
def test_values_of_scikit_image(size, right):
    """Its default below 11 pixels; from there gaussian_weights, sigma 1.5, no sample covariance.

    Images of waves, which another generator of random numbers cannot change.
    """
    row, column = np.mgrid[:size, :size]
    x = 0.5 + 0.4 * np.sin(1.3 * row + 0.4) * np.cos(0.7 * column)
    y = np.clip(x + 0.25 * np.cos(2.1 * row - 1.7 * column), 0, 1)
    assert structural_similarity(x[None, None], y[None, None])[0] == pytest.approx(right, abs=1e-9)


def test_channels_are_averaged_and_the_border_counts_no_more_than_it_does():
    x, y = pair(16, 16, channels=3, count=1)
    apart = [structural_similarity(x[:, [c]], y[:, [c]])[0] for c in range(3)]
    assert structural_similarity(x, y)[0] == pytest.approx(np.mean(apart))
    # A mirrored border would show the changed corner twice.
    changed = x.copy()
    changed[..., 0, 0] = 1 - changed[..., 0, 0]
    valid = structural_similarity(x, changed)[0]
    assert valid == pytest.approx(structural_similarity(x[..., ::-1], changed[..., ::-1])[0])
    assert valid > 0.999


def test_whole_numbers_and_many_images_are_taken():
    x, y = pair(8, 8, count=1500)
    assert len(structural_similarity(x, y)) == 1500
    black = np.zeros((1, 1, 8, 8), dtype=np.uint8)
    assert structural_similarity(black, black) == pytest.approx([1.0])
    assert structural_similarity(black, black + 1) == pytest.approx([1e-4 / (1 + 1e-4)])
