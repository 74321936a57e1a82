"""Time series made here: waves of random phase, and a process of two pasts.

Of both the autocorrelation has a closed form.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np

from ..rng import stream
from .catalog import DATASETS
from .row_format import Column, RowFormat
from .rows import RowDataset, Rows

__all__ = [
    "AR_ANGLES",
    "AR_RADIUS",
    "FREQUENCIES",
    "LENGTH",
    "SERIES_COUNT",
    "WAVE_NOISE",
    "Series",
    "ar2",
    "ar2_autocorrelation",
    "ar2_series",
    "wave_autocorrelation",
    "wave_series",
    "waves",
]

LENGTH = 16
"""Values of a series."""
SERIES_COUNT = 800
"""Series of each class."""
FREQUENCIES = ((0.06, 0.10), (0.18, 0.24))
"""Ends of the frequency of a wave, in periods a value: slow and fast ones."""
WAVE_NOISE = 0.1
"""Deviation of the noise on a wave of amplitude 1."""
AR_RADIUS, AR_ANGLES = 0.9, (math.pi / 6, math.pi / 2)
"""Modulus and angle of the roots: the two classes of ``ar2``."""


def wave_series(
    count: int, ends: tuple[float, float], rng: np.random.Generator, length: int = LENGTH
) -> np.ndarray:
    """Draw ``sin(2 pi f k + phase) + noise``, f and phase uniform.

    Args:
        count: Number of series.
        ends: Ends of f.
        rng: Source of randomness.
        length: Values k = 0 .. length - 1.

    Returns:
        ``(count, length)``.
    """
    frequency = rng.uniform(*ends, size=(count, 1))
    phase = rng.uniform(0, 2 * math.pi, size=(count, 1))
    clean = np.sin(2 * math.pi * frequency * np.arange(length) + phase)
    return clean + WAVE_NOISE * rng.normal(size=clean.shape)


def wave_autocorrelation(ends: tuple[float, float], lags: np.ndarray) -> np.ndarray:
    """Return the autocorrelation of :func:`wave_series`, ``(lags,)``: a mean of cosines over f."""
    a, b = ends
    lags = np.asarray(lags, dtype=np.float64)
    mean = np.ones(len(lags))
    later = lags > 0
    turn = 2 * math.pi * lags[later]
    mean[later] = (np.sin(turn * b) - np.sin(turn * a)) / (turn * (b - a))
    return np.where(later, mean / 2, 0.5 + WAVE_NOISE**2) / (0.5 + WAVE_NOISE**2)


def ar2_series(
    count: int, angle: float, rng: np.random.Generator, length: int = LENGTH
) -> np.ndarray:
    """Draw ``x_k = 2 r cos(angle) x_{k-1} - r^2 x_{k-2} + noise``, noise standard normal.

    Args:
        count: Number of series.
        angle: Angle of the roots, in radians a value; their modulus is :data:`AR_RADIUS`.
        rng: Source of randomness.
        length: Values; 200 before them are thrown away, so that the first is as any other.

    Returns:
        ``(count, length)``.
    """
    first, second = 2 * AR_RADIUS * math.cos(angle), -(AR_RADIUS**2)
    values = np.zeros((count, length + 202))
    noise = rng.normal(size=values.shape)
    for k in range(2, values.shape[1]):
        values[:, k] = first * values[:, k - 1] + second * values[:, k - 2] + noise[:, k]
    return values[:, -length:]


def ar2_autocorrelation(angle: float, lags: np.ndarray) -> np.ndarray:
    """Return the autocorrelation of :func:`ar2_series`, ``(lags,)``, by the Yule-Walker equations."""
    first, second = 2 * AR_RADIUS * math.cos(angle), -(AR_RADIUS**2)
    found = [1.0, first / (1 - second)]
    while len(found) <= max(lags):
        found.append(first * found[-1] + second * found[-2])
    return np.array(found)[np.asarray(lags)]


@final
class Series(RowDataset):
    """Series of two classes, by the name of :data:`~qdm_qiskit.data.DATASETS`."""

    def __init__(self, name: str) -> None:
        info = DATASETS[name]
        self.name, self.classes = name, info.classes
        self.licence, self.source, self.description = info.licence, info.source, info.description

    def rows(self) -> Rows:
        """See :meth:`.RowDataset.rows`."""
        streams = [stream(0, "data", 70, label) for label in range(2)]
        if self.name == "waves":
            parts = [
                wave_series(SERIES_COUNT, ends, rng)
                for ends, rng in zip(FREQUENCIES, streams, strict=True)
            ]
        else:
            parts = [
                ar2_series(SERIES_COUNT, angle, rng)
                for angle, rng in zip(AR_ANGLES, streams, strict=True)
            ]
        values = np.concatenate(parts).round(4)
        low, high = (
            float(values.min()),
            float(values.max()),
        )  # one range: a series stays in its shape
        columns = tuple(Column(name=f"t{k}", low=low, high=high, decimals=4) for k in range(LENGTH))
        form = RowFormat(kind="series", columns=columns, shape=(LENGTH,), classes=self.classes)
        return Rows(form, values, np.repeat(np.arange(2), SERIES_COUNT))


waves, ar2 = Series("waves"), Series("ar2")
