"""Pixel by pixel: SSIM, PSNR and distances to the nearest image of a set.

Images are numpy arrays ``(count, channels, height, width)`` in [0, 1].
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import InvalidData

GAUSSIAN_WINDOW = 11
"""Pixels of SSIM's window (Wang et al., 2004: sigma 1.5), where images are at least as large."""
SMALL_WINDOW = 7
"""Pixels of the uniform window for smaller images, or the largest odd number that fits."""
LEAST_SIZE = 3
"""Pixels below which a window holds no structure."""
_CHUNK = 2**22  # numbers of one block of distances


def check_images(images: np.ndarray, what: str) -> None:
    """Refuse images that cannot be compared.

    Args:
        images: Any array.
        what: What the message calls them.

    Raises:
        InvalidData: If the shape is not ``(count, channels, height, width)``, or a value is not
            finite or outside [0, 1] by more than 1e-6.
    """
    if not isinstance(images, np.ndarray) or images.dtype.kind not in "fiu":
        kind = getattr(images, "dtype", type(images).__name__)
        raise InvalidData(f"The {what} must be a numpy array of numbers, got {kind}.")
    if images.ndim != 4 or 0 in images.shape:
        raise InvalidData(
            f"The {what} need shape (count, channels, height, width) without a zero, got "
            f"{images.shape}."
        )
    low, high = float(images.min()), float(images.max())
    if not (math.isfinite(low) and math.isfinite(high)) or low < -1e-6 or high > 1 + 1e-6:
        raise InvalidData(
            f"The {what} must lie in [0, 1], got values from {low:.6g} to {high:.6g}: rescale them."
        )


def ssim_window(size: int) -> str:
    """The window that :func:`structural_similarity` takes at an image size, in words."""
    if size >= GAUSSIAN_WINDOW:
        return f"Gaussian window of {GAUSSIAN_WINDOW} x {GAUSSIAN_WINDOW} pixels, sigma 1.5"
    window = _uniform_window(size)
    return f"uniform window of {window} x {window} pixels"


def structural_similarity(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """SSIM of each image with its reference (torchmetrics, data range 1).

    Args:
        images: ``(count, channels, height, width)``, at least :data:`LEAST_SIZE` pixels wide and high.
        references: The same shape.

    Returns:
        ``(count,)``, 1 for equal images.

    Raises:
        InvalidData: If the shapes differ or are too small.
    """
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    _check_same_shape(images, references)
    size = min(images.shape[2:])
    if size < LEAST_SIZE:
        raise InvalidData(f"SSIM needs images of at least 3 x 3 pixels, got {images.shape[2:]}.")
    values = []
    for start in range(0, len(images), 1024):
        answer = structural_similarity_index_measure(
            torch.from_numpy(np.ascontiguousarray(images[start : start + 1024], np.float32)),
            torch.from_numpy(np.ascontiguousarray(references[start : start + 1024], np.float32)),
            gaussian_kernel=size >= GAUSSIAN_WINDOW,
            kernel_size=_uniform_window(size),
            data_range=1.0,
            reduction="none",
        )
        assert isinstance(answer, torch.Tensor)
        values.append(answer.double().numpy())
    return np.concatenate(values)


def squared_errors(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Mean squared pixel error of each image, ``(count,)``.

    Raises:
        InvalidData: If the shapes differ.
    """
    _check_same_shape(images, references)
    difference = images.astype(np.float64) - references
    return (difference**2).reshape(len(images), -1).mean(axis=1)


def peak_signal_to_noise(mean_squared_error: float) -> float:
    """PSNR in decibels for images in [0, 1]; infinite where there is no error."""
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
        InvalidData: If the images have different shapes.
    """
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


def _uniform_window(size: int) -> int:
    return min(SMALL_WINDOW, size if size % 2 else size - 1)


def _check_same_shape(images: np.ndarray, references: np.ndarray) -> None:
    if images.shape != references.shape or images.ndim != 4 or 0 in images.shape:
        raise InvalidData(
            "Two sets of images need one shape (count, channels, height, width), got "
            f"{images.shape} and {references.shape}."
        )
