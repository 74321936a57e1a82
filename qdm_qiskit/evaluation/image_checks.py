"""Images as metrics take them: numpy arrays ``(count, channels, height, width)`` in [0, 1]."""

from __future__ import annotations

import math

import numpy as np

from ..arguments import shown
from ..errors import InvalidData

__all__ = [
    "check_images",
    "check_pairs",
]

_TOLERANCE = 1e-6


def check_images(images: np.ndarray, what: str) -> None:
    """Refuse images that cannot be compared.

    Args:
        images: Any array.
        what: What the message calls them.

    Raises:
        InvalidData: If the shape is not ``(count, channels, height, width)``, or a value is not
            finite or outside [0, 1] by more than 1e-6.
    """
    # A mask would be dropped without a word.
    plain = isinstance(images, np.ndarray) and not isinstance(images, np.ma.MaskedArray)
    if not plain or images.dtype.kind not in "fiu":
        kind = images.dtype if plain else shown(images)
        raise InvalidData(f"The {what} must be a numpy array of numbers, got {kind}.")
    if images.ndim != 4 or 0 in images.shape:
        raise InvalidData(
            f"The {what} need shape (count, channels, height, width) without a zero, got "
            f"{images.shape}."
        )
    low, high = float(images.min()), float(images.max())
    finite = math.isfinite(low) and math.isfinite(high)
    if not finite or low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise InvalidData(
            f"The {what} must lie in [0, 1], got values from {low:.6g} to {high:.6g}: rescale them."
        )


def check_pairs(images: np.ndarray, references: np.ndarray) -> None:
    """Refuse two sets of images that cannot be compared one by one.

    Raises:
        InvalidData: As :func:`check_images`, or if their shapes differ.
    """
    check_images(images, "images")
    check_images(references, "references")
    if images.shape != references.shape:
        raise InvalidData(
            "Two sets of images need one shape (count, channels, height, width), got "
            f"{images.shape} and {references.shape}."
        )
