"""Linear corrections learnt from a device: a model's last layer fitted again to measured values.

Noise that shrinks and mixes expectation values is, to first order, a linear map of them. A linear
head behind them can undo as much of it as shots allow: ridge regression on values that the device
itself returned. Where nothing linear follows, the measured values themselves are corrected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import real_array
from ..errors import InvalidData, InvalidOption

__all__ = [
    "STRENGTHS",
    "AffineCorrection",
    "RidgeFit",
    "affine_correction",
    "ridge",
]

STRENGTHS = tuple(10.0**k for k in range(-4, 3))
"""Strengths of the penalty that are tried, in units of the mean variance of a value."""


@dataclass(frozen=True)
class RidgeFit:
    """A linear map fitted to measured values."""

    weight: np.ndarray
    """``(outputs, values)``."""
    bias: np.ndarray
    """``(outputs,)``."""
    strength: float
    """Strength of the penalty, of those tried the best by leaving one circuit out."""
    error_before: float
    """Mean squared error of the map it started from, on the same circuits."""
    error_left_out: float
    """Mean squared error of circuits that were left out of the fit."""
    circuits: int
    """Number of circuits."""


def ridge(
    values: np.ndarray,
    targets: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> RidgeFit:
    """Fit a linear map to targets, drawn towards the map that is there.

    Minimises ``|W f + b - v|^2 + lambda |W - W_0|^2`` over the circuits, the bias free. Each
    lambda's error is that of leaving one circuit out, in closed form; the lowest wins, and the map
    that is there stands for an infinite lambda.

    Args:
        values: ``(circuits, values)``: what the device returned.
        targets: ``(circuits, outputs)``: what the map should make of them.
        weight: ``(outputs, values)``: W_0.
        bias: ``(outputs,)``: of the map that is there.
        strengths: Values of lambda that are tried, each times circuits and the mean variance of a
            value; above 0.

    Raises:
        InvalidData: If a shape does not fit, there are fewer than 3 circuits, or a number is not
            finite.
        InvalidOption: If there is no strength, or one is not above 0.
    """
    f, v = real_array(values, "values"), real_array(targets, "targets")
    w_0, b_0 = real_array(weight, "weight"), real_array(bias, "bias")
    shapes = {"values": f.shape, "targets": v.shape, "weight": w_0.shape, "bias": b_0.shape}
    fits = f.ndim == v.ndim == w_0.ndim == 2 and len(f) == len(v) >= 3
    if not fits or w_0.shape != (v.shape[1], f.shape[1]) or b_0.shape != v.shape[1:]:
        raise InvalidData(
            "A refit takes values (circuits, n), targets (circuits, m), weight (m, n) and bias (m,) "
            f"of at least 3 circuits, got {shapes}."
        )
    if not all(np.isfinite(each).all() for each in (f, v, w_0, b_0)):
        raise InvalidData("Values, targets, weight and bias of a refit are finite numbers.")
    if not strengths or min(strengths) <= 0:
        raise InvalidOption(f"strengths are numbers above 0, at least one, got {strengths}.")
    rest = v - f @ w_0.T  # what a change of the weights, and the bias, have to explain
    centred, wanted = f - f.mean(axis=0), rest - rest.mean(axis=0)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    scale = len(f) * max(float(centred.var(axis=0).mean()), 1e-300)
    tried = [
        (_left_out(left, singular, wanted, strength * scale), strength) for strength in strengths
    ]
    error, best = min(tried)
    shrunk = singular / (singular**2 + best * scale)
    change = (right.T @ (shrunk[:, None] * (left.T @ wanted))).T
    before = float(np.square(rest - b_0).mean())
    new = w_0 + change
    return RidgeFit(
        weight=new,
        bias=(v - f @ new.T).mean(axis=0),
        strength=float(best),
        error_before=before,
        error_left_out=error,
        circuits=len(f),
    )


def _left_out(left: np.ndarray, singular: np.ndarray, wanted: np.ndarray, penalty: float) -> float:
    """Return the mean squared error of circuits that are left out, each in turn."""
    share = singular**2 / (singular**2 + penalty)
    fitted = left @ (share[:, None] * (left.T @ wanted))
    leverage = np.square(left) @ share + 1 / len(left)  # the mean is fitted too
    return float(np.square((wanted - fitted) / (1 - leverage.clip(max=1 - 1e-9))[:, None]).mean())


@dataclass(frozen=True)
class AffineCorrection:
    """A map of measured values to what they would be exactly: ``gain * value + offset``."""

    gain: np.ndarray
    """``(values,)``."""
    offset: np.ndarray
    """``(values,)``."""
    error_before: float
    """Mean squared error of the measured values on the circuits of the fit."""
    error_after: float
    """The same after the correction."""
    circuits: int

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Correct values ``(rows, values)``; expectation values may then leave [-1, 1] a little."""
        return values * self.gain + self.offset

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}


def affine_correction(
    measured: np.ndarray, exact: np.ndarray, *, strength: float = 1e-2
) -> AffineCorrection:
    """Fit a gain and an offset to each value, drawn towards no correction.

    Args:
        measured: ``(circuits, values)``: what the device returned.
        exact: ``(circuits, values)``: the same circuits on the engine.
        strength: Weight of the distance from gain 1 and offset 0, in circuits' mean square.

    Raises:
        InvalidData: If the shapes differ, there are fewer than 3 circuits, or a number is not
            finite.
        InvalidOption: If the strength is negative.
    """
    f, e = real_array(measured, "measured"), real_array(exact, "exact")
    if f.ndim != 2 or f.shape != e.shape or len(f) < 3:
        raise InvalidData(
            "A correction takes measured and exact values of one shape (circuits, values), at least "
            f"3 circuits, got {f.shape} and {e.shape}."
        )
    if not (np.isfinite(f).all() and np.isfinite(e).all()):
        raise InvalidData("Measured and exact values are finite numbers.")
    if not strength >= 0:
        raise InvalidOption(f"strength is at least 0, got {strength}.")
    penalty = strength * float(np.square(f).mean())
    # Normal equations of (gain - 1, offset) for each value apart.
    a, b = np.square(f).mean(axis=0) + penalty, f.mean(axis=0)
    rest = e - f
    p, q = (f * rest).mean(axis=0), rest.mean(axis=0)
    det = np.maximum(a * (1 + penalty) - b**2, 1e-300)
    gain, offset = 1 + (p * (1 + penalty) - b * q) / det, (a * q - b * p) / det
    return AffineCorrection(
        gain=gain,
        offset=offset,
        error_before=float(np.square(rest).mean()),
        error_after=float(np.square(e - f * gain - offset).mean()),
        circuits=len(f),
    )
