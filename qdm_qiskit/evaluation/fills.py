"""The trivial competitors of restoring images: each fills what is hidden from training images alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..data.known import Known
from ..errors import InvalidData

__all__ = ["FILLS", "bilinear", "fills", "gaussian_draws", "mean_fill", "nearest_neighbour"]

_CHUNK = 256


def mean_fill(train: np.ndarray, known: Known) -> np.ndarray:
    """Fill with the mean of the training images.

    Args:
        train: ``(count, channels, height, width)``.
        known: What is known.

    Returns:
        ``(images, channels, height, width)``, what is known included; not clamped.
    """
    return known.held(np.broadcast_to(train.mean(axis=0), known.images.shape))


def nearest_neighbour(train: np.ndarray, known: Known) -> np.ndarray:
    """Fill from the training image that is nearest in what is known; as :func:`mean_fill`."""
    found = np.empty(known.images.shape)
    flat = train.reshape(len(train), -1).astype(float)
    for row in range(len(known.images)):
        one = known.taken(np.array([row]))
        if one.mask is not None:
            where = one.mask.ravel()
            off = flat[:, where] - one.images.reshape(-1)[where]
        else:
            off = one.part(train - one.images).reshape(len(train), -1)
        found[row] = train[int((off**2).sum(axis=1).argmin())]
    return known.held(found)


def bilinear(train: np.ndarray, known: Known) -> np.ndarray:
    """Fill by linear interpolation between known pixels, the nearest one outside of them.

    Of blocks' means it is the bilinear picture of the small image. As :func:`mean_fill`; the training
    images are not looked at, but for an image of which nothing is known.
    """
    from scipy.interpolate import griddata

    count, channels, height, width = known.images.shape
    found = np.broadcast_to(train.mean(axis=0), known.images.shape).copy()
    every = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1)
    every = every.reshape(-1, 2).astype(float)
    for row in range(count):
        for channel in range(channels):
            if known.mask is not None:
                where = np.argwhere(known.mask[row, channel]).astype(float)
                values = known.images[row, channel][known.mask[row, channel]]
            else:
                f = known.factor
                where = np.argwhere(np.ones((height // f, width // f))) * f + (f - 1) / 2
                low = known.images[row, channel].reshape(height // f, f, width // f, f)
                values = low.mean(axis=(1, 3)).ravel()
            if not len(where):
                continue
            filled = griddata(where, values, every, method="nearest")
            if np.linalg.matrix_rank(where - where[0]) == 2:  # linear needs a triangle
                inside = griddata(where, values, every, method="linear")
                filled = np.where(np.isfinite(inside), inside, filled)
            found[row, channel] = filled.reshape(height, width)
    return known.held(found)


def gaussian_draws(
    train: np.ndarray, known: Known, draws: int = 0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Fill by the normal distribution of the training images, given what is known.

    The covariance is Ledoit and Wolf's, which shrinks towards a multiple of the identity, so that
    constant pixels and few images do no harm.

    Args:
        train, known: As for :func:`mean_fill`.
        draws: Draws of each image besides the conditional mean.
        seed: Of the draws.

    Returns:
        The conditional means, and ``(draws, images, channels, height, width)``; neither is clamped.

    Raises:
        InvalidData: If there are fewer than two training images.
    """
    from sklearn.covariance import LedoitWolf

    if len(train) < 2:
        raise InvalidData(f"A covariance needs at least 2 training images, got {len(train)}.")
    flat = train.reshape(len(train), -1).astype(float)
    mean, covariance = flat.mean(axis=0), LedoitWolf().fit(flat).covariance_
    rng = np.random.default_rng(seed)
    means = np.empty(known.images.shape)
    drawn = np.empty((draws, *known.images.shape))
    for rows in _alike(known):
        part = known.taken(rows)
        a = part.matrix_rows
        both = covariance @ a.T
        gain = np.linalg.lstsq(a @ both, both.T, rcond=None)[0].T if len(a) else both
        told = part.images.reshape(len(rows), -1)
        means[rows] = (mean + (told - mean) @ a.T @ gain.T).reshape(part.images.shape)
        if draws:
            left = covariance - gain @ both.T
            values, vectors = np.linalg.eigh((left + left.T) / 2)
            root = vectors * np.sqrt(values.clip(min=0))
            noise = rng.standard_normal((draws, len(rows), len(mean))) @ root.T
            drawn[:, rows] = means[rows] + noise.reshape(draws, *part.images.shape)
    return known.held(means), np.stack([known.held(x) for x in drawn]) if draws else drawn


def _alike(known: Known) -> list[np.ndarray]:
    """Return images with the same mask, group by group."""
    if known.mask is None:
        return [np.arange(len(known.images))]
    flat = known.mask.reshape(len(known.mask), -1)
    _, which = np.unique(flat, axis=0, return_inverse=True)
    return [np.flatnonzero(which.ravel() == each) for each in range(int(which.max()) + 1)]


FILLS: Mapping[str, Callable[[np.ndarray, Known], np.ndarray]] = {
    "mean": mean_fill,
    "nearest neighbour": nearest_neighbour,
    "bilinear": bilinear,
    "gaussian": lambda train, known: gaussian_draws(train, known)[0],
}
"""The competitors by the names of tables."""


def fills(train: np.ndarray, known: Known) -> dict[str, np.ndarray]:
    """Return the images of every competitor by name, clamped to [0, 1].

    Args:
        train: ``(count, channels, height, width)`` training images.
        known: What is known.

    Raises:
        InvalidData: If the training images are others than the known ones in shape.
    """
    if train.shape[1:] != known.images.shape[1:] or not len(train):
        raise InvalidData(
            f"Training images have the shape of the known ones, {known.images.shape[1:]}, got "
            f"{train.shape[1:]}."
        )
    return {
        name: np.clip(known.held(np.clip(fill(train, known), 0, 1)), 0, 1)
        for name, fill in FILLS.items()
    }
