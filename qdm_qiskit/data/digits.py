"""scikit-learn's embedded digits: 1,797 real 8 x 8 scans, values 0 to 16."""

from __future__ import annotations

import gzip
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .raw import RawImages

__all__ = [
    "COUNT",
    "read_digits",
]

COUNT = 1797


def read_digits() -> RawImages:
    """Return all digits; their 17 grey levels are divided by 16.

    Returns:
        1,797 images of shape (1, 8, 8) and their labels 0 to 9.

    References:
        E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998).
    """
    pixels, labels = _embedded() or _loaded()
    grey = (pixels.reshape(-1, 8, 8) / 16).astype(np.float32)[:, None]
    return RawImages(grey, labels.astype(np.int64))


def _embedded() -> tuple[np.ndarray, np.ndarray] | None:
    """Return pixels ``(count, 64)`` and labels from scikit-learn's own file; None if it moved.

    The package itself would take most of a second to import, for its statistics.
    """
    found = find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            rows = np.array([line.split(",") for line in file.read().split()], dtype=np.float64)
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    if rows.shape != (COUNT, 65):
        return None
    return rows[:, :-1], rows[:, -1]


def _loaded() -> tuple[np.ndarray, np.ndarray]:
    """Return the same as :func:`_embedded`, as scikit-learn gives it."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.data, bunch.target
