"""Fits of a model to a device, place by place of its chip: what is kept of them, and how they are made.

A place is a circuit where it lies on the chip. What several places have in common is learnt from all
of them; what is a place's own is drawn towards that, and taken only where circuits that were left out
of its fit are met better by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np

from ..errors import CalibrationMismatch, InvalidData
from .refit import affine_correction, ridge

__all__ = ["SCHEMA", "DeviceFit", "PlaceMap", "fitted_corrections", "fitted_heads"]

SCHEMA = "qdm-hardware-refit/1"
_LEAST = 3


@dataclass(frozen=True, eq=False)
class PlaceMap:
    """The linear map of a call's measured values at one place."""

    weight: np.ndarray
    """``(outputs, values)`` of a head, or ``(values,)``: a gain of each value."""
    bias: np.ndarray
    """``(outputs,)``, or ``(values,)``."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return what the map makes of values ``(rows, values)``."""
        if self.weight.ndim == 1:
            return np.asarray(values * self.weight + self.bias)
        return np.asarray(values @ self.weight.T + self.bias)


@dataclass(frozen=True, kw_only=True, eq=False)
class DeviceFit:
    """A fit to a device, by calls and places."""

    kind: Literal["head", "values"]
    taken_at: str
    """Time of the measurement, ISO 8601."""
    target: str
    backend: str
    model_sha256: str
    """Hash of the model's options and weights."""
    correction: str
    """Correction of the readout before the fit; ``none`` without."""
    circuits: int
    shots: int
    error_before: float
    """Mean squared error without the fit, on its circuits."""
    error_after: float
    """The same of circuits that were left out of the fit; of corrections on its own circuits."""
    maps: Mapping[str, PlaceMap]
    """Map of each call at each place."""

    def check(
        self, *, target: str, model_sha256: str, places: set[str], ttl_seconds: float, at: float
    ) -> None:
        """Refuse a fit that does not belong to counts.

        Args:
            target: Target of the counts.
            model_sha256: Model of the run.
            places: Calls at their places.
            ttl_seconds: Largest distance in time.
            at: Time of the counts, seconds since 1970.

        Raises:
            CalibrationMismatch: If it is of another target or model, lacks a place, or is stale.
        """
        if (self.target, self.model_sha256) != (target, model_sha256):
            raise CalibrationMismatch(
                "A refit fits its own model and device only: that of "
                f"{self.taken_at} is of {self.target} and model {self.model_sha256[:8]}, the run of "
                f"{target} and model {model_sha256[:8]}; take one there."
            )
        missing = sorted(places - set(self.maps))
        if missing:
            raise CalibrationMismatch(
                f"The refit of {self.taken_at} lacks {len(missing)} places, such as {missing[0]}; take "
                "one there."
            )
        age = abs(at - datetime.fromisoformat(self.taken_at).timestamp())
        if age > ttl_seconds:
            raise CalibrationMismatch(
                f"The refit of {self.taken_at} is {age / 3600:.1f} h away from the counts, more than "
                f"{ttl_seconds / 3600:.1f} h; take a new one."
            )

    def agrees(self, other: DeviceFit) -> bool:
        """Return True if another fit is this one but for rounding."""
        mine, theirs = self.to_dict(), other.to_dict()
        del mine["maps"], theirs["maps"]
        names = ("error_before", "error_after")
        errors = [[each.pop(name) for name in names] for each in (mine, theirs)]
        return (
            mine == theirs
            and np.allclose(errors[0], errors[1], rtol=1e-6)
            and set(self.maps) == set(other.maps)
            and all(
                own.weight.shape == other.maps[name].weight.shape
                and np.allclose(own.weight, other.maps[name].weight, rtol=1e-6, atol=1e-9)
                and np.allclose(own.bias, other.maps[name].bias, rtol=1e-6, atol=1e-9)
                for name, own in self.maps.items()
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        plain = {k: v for k, v in vars(self).items() if k != "maps"}
        maps = {
            name: {"weight": each.weight.tolist(), "bias": each.bias.tolist()}
            for name, each in self.maps.items()
        }
        return {"schema": SCHEMA, **plain, "maps": maps}

    @classmethod
    def from_dict(cls, content: Any) -> DeviceFit:
        """Return the fit of JSON values.

        Raises:
            InvalidData: If they are none.
        """
        try:
            if content["schema"] != SCHEMA or content["kind"] not in ("head", "values"):
                raise ValueError(f"schema {content['schema']!r:.40}, kind {content['kind']!r:.20}")
            texts = ("taken_at", "target", "backend", "model_sha256", "correction")
            values = {name: str(content[name]) for name in texts}
            if datetime.fromisoformat(values["taken_at"]).tzinfo is None:
                raise ValueError("a time without a zone")
            found = cls(
                kind=content["kind"],
                circuits=int(content["circuits"]),
                shots=int(content["shots"]),
                error_before=float(content["error_before"]),
                error_after=float(content["error_after"]),
                maps={str(n): _map(each, content["kind"]) for n, each in content["maps"].items()},
                **values,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InvalidData(f"A refit cannot be used: {error!r:.120}.") from error
        if not found.maps:
            raise InvalidData("A refit has a map for at least one place, got none.")
        return found


def _map(content: Any, kind: str) -> PlaceMap:
    weight = np.array(content["weight"], dtype=np.float64)
    bias = np.array(content["bias"], dtype=np.float64)
    good = weight.ndim == (2 if kind == "head" else 1) and bias.ndim == 1 and len(bias) > 0
    if (
        not good
        or len(weight) != len(bias)
        or not (np.isfinite(weight).all() and np.isfinite(bias).all())
    ):
        raise ValueError(f"a map of shapes {weight.shape} and {bias.shape}")
    return PlaceMap(weight, bias)


Fitted = tuple[dict[str, PlaceMap], float, float]
"""Map of each place, and the mean squared errors before and after."""


def fitted_heads(
    values: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    weight: np.ndarray,
    bias: np.ndarray,
) -> Fitted:
    """Fit a linear head to what each place measured.

    Args:
        values: For each place ``(circuits, values)``.
        targets: For each place ``(circuits, outputs)``: what the head should make of them.
        weight: ``(outputs, values)`` of the head that is there.
        bias: ``(outputs,)``.

    Returns:
        The heads, and the errors; that after it of circuits which are left out.

    Raises:
        InvalidData: As :func:`.refit.ridge`.
    """
    every = np.concatenate(list(values.values()))
    wanted = np.concatenate([targets[place] for place in values])
    whole = ridge(every, wanted, weight, bias)
    common = PlaceMap(whole.weight, whole.bias)
    if len(values) == 1:
        return dict.fromkeys(values, common), whole.error_before, whole.error_left_out
    maps: dict[str, PlaceMap] = {}
    errors = 0.0
    for place, own in values.items():
        maps[place] = common
        error = float(np.square(targets[place] - common(own)).mean())
        if len(own) >= _LEAST:
            fit = ridge(own, targets[place], whole.weight, whole.bias)
            if fit.error_left_out < _worth(len(own)) * error:
                maps[place], error = PlaceMap(fit.weight, fit.bias), fit.error_left_out
        errors += error * len(own)
    return maps, whole.error_before, errors / len(every)


def fitted_corrections(
    measured: Mapping[str, np.ndarray], exact: Mapping[str, np.ndarray]
) -> Fitted:
    """Fit a gain and an offset of each value to what each place measured.

    Args:
        measured: For each place ``(circuits, values)``.
        exact: The same on the engine.

    Raises:
        InvalidData: As :func:`.refit.affine_correction`.
    """
    every = np.concatenate(list(measured.values()))
    wanted = np.concatenate([exact[place] for place in measured])
    whole = affine_correction(every, wanted)
    common = PlaceMap(whole.gain, whole.offset)
    if len(measured) == 1:
        return dict.fromkeys(measured, common), whole.error_before, whole.error_after
    maps: dict[str, PlaceMap] = {}
    errors = 0.0
    for place, own in measured.items():
        maps[place] = common
        near = common(own)
        error = float(np.square(exact[place] - near).mean())
        if len(own) > _LEAST and _left_out(near, exact[place]) < _worth(len(own)) * error:
            more = affine_correction(near, exact[place])
            gain, offset = more.gain * whole.gain, more.gain * whole.offset + more.offset
            maps[place], error = PlaceMap(gain, offset), more.error_after
        errors += error * len(own)
    return maps, whole.error_before, errors / len(every)


def _worth(circuits: int) -> float:
    """Return the share of the common map's error that a place's own must be below, to be believed.

    Errors of few circuits are themselves uncertain, and the best of several strengths looks better
    than it is.
    """
    return 1 - 1 / float(np.sqrt(circuits))


def _left_out(measured: np.ndarray, exact: np.ndarray) -> float:
    """Return the mean squared error of circuits that are left out, each in turn."""
    errors = []
    for row in range(len(measured)):
        rest = np.arange(len(measured)) != row
        fit = affine_correction(measured[rest], exact[rest])
        errors.append(np.square(exact[row] - fit(measured[row][None])[0]).mean())
    return float(np.mean(errors))
