"""SSIM over the part of an image where its window fits (Wang et al., IEEE TIP 13, 600, 2004).

torchmetrics 1.9 mirrors the border instead and averages over it too: .794 where the valid part of an
11 x 11 image has .861.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arguments import whole_number
from ..errors import InvalidData
from .image_checks import check_pairs

__all__ = [
    "CONTRAST",
    "GAUSSIAN_SIGMA",
    "GAUSSIAN_WINDOW",
    "LEAST_SIZE",
    "LUMINANCE",
    "SMALL_WINDOW",
    "Window",
    "ssim_window",
    "structural_similarity",
    "window_of",
]

GAUSSIAN_WINDOW, GAUSSIAN_SIGMA = 11, 1.5
"""Pixels and standard deviation of Wang's window, where images are at least as large."""
SMALL_WINDOW = 7
"""Pixels of the uniform window for smaller images, or the largest odd number that fits."""
LEAST_SIZE = 3
"""Pixels below which a window holds no structure."""
LUMINANCE, CONTRAST = 0.01**2, 0.03**2
"""C_1 and C_2 of the paper, for a data range of 1."""
_CHUNK = 1024  # images at once


@dataclass(frozen=True)
class Window:
    """A separable window and what goes with it."""

    weights: np.ndarray
    """``(pixels,)`` with sum 1; the window is their outer square."""
    correction: float
    """Factor of variances and covariances: 1, or N / (N - 1) for those of samples."""
    name: str
    """Name in words."""


def window_of(size: int) -> Window:
    """The window for images whose shorter side has ``size`` pixels, at least :data:`LEAST_SIZE`.

    From 11 pixels on it is Wang's. Below it is uniform, with the variances of samples: what
    scikit-image takes unless it is told otherwise.

    Raises:
        InvalidData: If ``size`` is too small.
    """
    size = whole_number(size, "size")
    if size < LEAST_SIZE:
        raise InvalidData(f"SSIM needs images of at least 3 x 3 pixels, got a side of {size}.")
    if size >= GAUSSIAN_WINDOW:
        offsets = np.arange(GAUSSIAN_WINDOW) - GAUSSIAN_WINDOW // 2
        weights = np.exp(-(offsets**2) / (2 * GAUSSIAN_SIGMA**2))
        name = f"Gaussian window of {GAUSSIAN_WINDOW} x {GAUSSIAN_WINDOW} pixels, sigma 1.5"
        return Window(weights / weights.sum(), 1.0, name)
    side = min(SMALL_WINDOW, size if size % 2 else size - 1)
    name = (
        f"uniform window of {side} x {side} pixels with sample variances, because images below "
        f"{GAUSSIAN_WINDOW} x {GAUSSIAN_WINDOW} have no room for the Gaussian one"
    )
    return Window(np.full(side, 1 / side), side**2 / (side**2 - 1), name)


def ssim_window(size: int) -> str:
    """The window that :func:`structural_similarity` takes at an image size, in words."""
    return window_of(size).name


def structural_similarity(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """SSIM of each image with its reference: the mean over the pixels where the window fits.

    Args:
        images: ``(count, channels, height, width)`` in [0, 1], at least :data:`LEAST_SIZE` pixels wide
            and high. Channels are measured one by one and averaged.
        references: The same shape.

    Returns:
        ``(count,)`` float64, 1 for equal images.

    Raises:
        InvalidData: If the shapes differ or are too small, or a set is no array of numbers in [0, 1].
    """
    check_pairs(images, references)
    window = window_of(min(images.shape[2:]))
    return np.concatenate(
        [
            _similarity(
                images[start : start + _CHUNK].astype(np.float64),
                references[start : start + _CHUNK].astype(np.float64),
                window,
            )
            for start in range(0, len(images), _CHUNK)
        ]
    )


def _similarity(x: np.ndarray, y: np.ndarray, window: Window) -> np.ndarray:
    """Equation 13 of the paper, averaged over its map."""
    mean_x, mean_y = _valid(x, window), _valid(y, window)
    var_x, var_y, covariance = (
        window.correction * (_valid(a * b, window) - mean_a * mean_b)
        for a, b, mean_a, mean_b in (
            (x, x, mean_x, mean_x),
            (y, y, mean_y, mean_y),
            (x, y, mean_x, mean_y),
        )
    )
    similar = (2 * mean_x * mean_y + LUMINANCE) * (2 * covariance + CONTRAST)
    largest = (mean_x**2 + mean_y**2 + LUMINANCE) * (var_x + var_y + CONTRAST)
    return (similar / largest).mean(axis=(1, 2, 3))


def _valid(images: np.ndarray, window: Window) -> np.ndarray:
    """Weighted means over the window, where it fits: both sides shrink by its pixels less one."""
    from scipy.ndimage import correlate1d

    border = len(window.weights) // 2
    for axis in (2, 3):
        images = correlate1d(images, window.weights, axis=axis)
    height, width = images.shape[2:]
    return images[:, :, border : height - border, border : width - border]
