"""Errors of restored images: squared error of what was hidden, and a score of draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..data import RowFormat
from ..data.known import Known
from ..errors import InvalidData
from .bootstrap import Interval

__all__ = ["Fill", "column_errors", "crps", "fill_table", "hidden_errors", "mean_interval"]


@dataclass(frozen=True)
class Fill:
    """One way of restoring, measured on the hidden part."""

    mse: Interval
    """Mean squared error of the mean of the draws, with the 95 % interval over the images."""
    crps: Interval
    """Continuous ranked probability score of the draws, of one draw its mean absolute error."""
    less: Interval
    """Its mean squared error less that of the run on the same images; the run's own is 0."""


def hidden_errors(images: np.ndarray, truth: np.ndarray, known: Known) -> np.ndarray:
    """Return the mean squared error over the hidden pixels of each image, ``(count,)``.

    Of blocks' means all pixels count. An image of which nothing is hidden has error 0.
    """
    return _over_hidden((images - truth) ** 2, known)


def crps(draws: np.ndarray, truth: np.ndarray, known: Known) -> np.ndarray:
    """Return the continuous ranked probability score over the hidden pixels of each image.

    ``mean |x - y|`` less half of the mean distance of two different draws: least on average for draws
    from the true distribution (Gneiting and Raftery 2007). One draw has its absolute error.

    Args:
        draws: ``(draws, count, channels, height, width)``.
        truth: ``(count, channels, height, width)``.
        known: What was known.
    """
    found = np.abs(draws - truth).mean(axis=0)
    many = len(draws)
    if many > 1:
        order = np.sort(draws, axis=0)  # sum of |x_i - x_j| over pairs, by ranks
        weight = (2 * np.arange(1, many + 1) - many - 1).reshape(-1, *[1] * truth.ndim)
        found = found - (weight * order).sum(axis=0) / (many * (many - 1))
    return _over_hidden(found, known)


def _over_hidden(values: np.ndarray, known: Known) -> np.ndarray:
    weight = np.ones(values.shape) if known.mask is None else (~known.mask).astype(float)
    axes = tuple(range(1, values.ndim))
    total: np.ndarray = (values * weight).sum(axis=axes) / np.maximum(weight.sum(axis=axes), 1)
    return total


def column_errors(
    rows: RowFormat, images: np.ndarray, truth: np.ndarray, known: Known
) -> dict[str, dict[str, float]]:
    """Return the errors of hidden columns, in their own units.

    Args:
        rows: What the cells mean.
        images: ``(count, 1, height, width)``: restored rows.
        truth: The same shape.
        known: What was known of it, by a mask.

    Returns:
        By column: ``rmse`` of numbers, or ``right``, the share of categories and spins; of the rows in
        which it was hidden, ``rows`` of them. Columns that were never hidden are left out.
    """
    if known.mask is None:
        return {}
    hidden = ~known.mask.reshape(len(known.mask), -1)
    made, real = rows.values(images), rows.values(truth)
    found, start = {}, 0
    for place, column in enumerate(rows.columns):
        where = hidden[:, start : start + column.cells].any(axis=1)
        start += column.cells
        if not where.any():
            continue
        off = made[where, place] - real[where, place]
        if column.kind == "number":
            value = {"rmse": float(np.sqrt((off**2).mean()))}
        else:
            value = {"right": float((off == 0).mean())}
        found[column.name] = {**value, "rows": float(where.sum())}
    return found


def mean_interval(values: np.ndarray) -> Interval:
    """Return a mean with its 95 % interval by Student's t; of one value the interval is infinite."""
    from scipy.stats import t as student

    mean, count = float(values.mean()), len(values)
    if count < 2:
        return Interval(mean, -math.inf, math.inf)
    half = float(student.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count))
    return Interval(mean, mean - half, mean + half)


def fill_table(
    draws: Mapping[str, np.ndarray], truth: np.ndarray, known: Known, own: str
) -> dict[str, Fill]:
    """Return the errors of every way of restoring.

    Args:
        draws: Name to ``(draws, count, channels, height, width)``.
        truth: ``(count, channels, height, width)``.
        known: What was known of it.
        own: Name that the others are compared with.

    Raises:
        InvalidData: If a shape differs.
    """
    for name, each in draws.items():
        if each.ndim != 5 or each.shape[1:] != truth.shape:
            raise InvalidData(
                f"Draws of {name} have shape (draws, {truth.shape}), got {each.shape}."
            )
    errors = {name: hidden_errors(each.mean(axis=0), truth, known) for name, each in draws.items()}
    return {
        name: Fill(
            mean_interval(errors[name]),
            mean_interval(crps(each, truth, known)),
            mean_interval(errors[name] - errors[own]),
        )
        for name, each in draws.items()
    }
