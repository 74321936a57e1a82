"""Result of a reader: published pixels and labels, before a choice is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = [
    "RawImages",
]


@dataclass(frozen=True, eq=False)
class RawImages:
    """Images as they were published; only those that are wanted get converted."""

    pixels: np.ndarray
    """``(count, channels, height, width)``: uint8 of 255, or float32 in [0, 1]."""
    labels: np.ndarray
    """``(count,)``, int64."""
    files: tuple[Path, ...] = ()
    """The files that they were read from; none if they come with a package."""

    def chosen(self, indices: np.ndarray) -> np.ndarray:
        """Return the images at ``indices``, float32 in [0, 1]."""
        pixels = self.pixels[indices]
        return pixels.astype(np.float32) / 255 if pixels.dtype == np.uint8 else pixels
