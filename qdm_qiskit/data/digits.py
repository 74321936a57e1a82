"""scikit-learn's embedded digits: 1,797 real 8 x 8 scans, values 0 to 16."""

from __future__ import annotations

import numpy as np

from .raw import RawImages

__all__ = [
    "read_digits",
]


def read_digits() -> RawImages:
    """Return all digits; their 17 grey levels are divided by 16.

    Returns:
        1,797 images of shape (1, 8, 8) and their labels 0 to 9.

    References:
        E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998).
    """
    from sklearn.datasets import load_digits  # most of a second, so only when asked

    bunch = load_digits()
    pixels = (bunch.images / 16).astype(np.float32)[:, None]
    return RawImages(pixels, bunch.target.astype(np.int64))
