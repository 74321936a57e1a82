"""Pixel by pixel: SSIM, PSNR and distances to the nearest image of a set.

Images are numpy arrays ``(count, channels, height, width)`` in [0, 1].
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import real_number
from ..errors import InvalidData
from .image_checks import check_images, check_pairs
from .ssim import LEAST_SIZE, ssim_window, structural_similarity

__all__ = [
    "LEAST_SIZE",
    "check_images",
    "nearest",
    "peak_signal_to_noise",
    "squared_errors",
    "ssim_window",
    "structural_similarity",
]

_CHUNK = 2**22  # numbers of one block of distances


def squared_errors(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Mean squared pixel error of each image, ``(count,)``.

    Raises:
        InvalidData: If the shapes differ, or a set is no array of numbers in [0, 1].
    """
    check_pairs(images, references)
    difference = images.astype(np.float64) - references.astype(np.float64)
    return (difference**2).reshape(len(images), -1).mean(axis=1)


def peak_signal_to_noise(mean_squared_error: float) -> float:
    """PSNR in decibels for images in [0, 1]; infinite where there is no error.

    Raises:
        InvalidData: If the error is below 0 or not finite.
    """
    mean_squared_error = real_number(mean_squared_error, "mean_squared_error")
    if not (math.isfinite(mean_squared_error) and mean_squared_error >= 0):
        raise InvalidData(f"A mean squared error is a number >= 0, got {mean_squared_error}.")
    return math.inf if mean_squared_error == 0 else -10 * math.log10(mean_squared_error)


def nearest(images: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest reference of each image.

    Args:
        images: ``(count, channels, height, width)``.
        references: ``(others, channels, height, width)``.

    Returns:
        Indices ``(count,)`` and root mean square pixel distances ``(count,)``: 0 for copies, at
        most 1.

    Raises:
        InvalidData: If the images have different shapes, or a set is no array of numbers in [0, 1].
    """
    check_images(images, "images")
    check_images(references, "references")
    if images.shape[1:] != references.shape[1:]:
        raise InvalidData(
            f"Images of shape {images.shape[1:]} and {references.shape[1:]} cannot be compared."
        )
    flat, other = (each.reshape(len(each), -1).astype(np.float64) for each in (images, references))
    norms = (other**2).sum(axis=1)
    indices = np.empty(len(flat), dtype=np.int64)
    step = max(1, _CHUNK // len(other))
    for start in range(0, len(flat), step):
        rows = flat[start : start + step]
        indices[start : start + step] = (norms - 2 * rows @ other.T).argmin(axis=1)
    # From the differences themselves: a copy is at distance 0, not at the root of a rounding error.
    return indices, np.sqrt(((flat - other[indices]) ** 2).mean(axis=1))
