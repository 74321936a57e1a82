"""Records of the steps of a chain on a target: what its shots were worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

__all__ = [
    "SHOT_NOISE_ONLY",
    "StepRecord",
    "by_step",
    "root_mean_square",
]

SHOT_NOISE_ONLY = "No device noise, shot noise only."
"""Verdict of targets that run circuits without a device's noise."""


@dataclass
class StepRecord:
    """Measurements of one step of the chain, averaged over the images."""

    step: int
    """Step t."""
    raw_distance: float
    """Total variation distance of the raw frequencies from the exact distribution."""
    mitigated_distance: float | None
    """Total variation distance after mitigation."""
    signal_left: float
    """Share of the exact distribution's signal that the raw frequencies hold."""
    erased_images: int
    """Number of images whose frequencies shots cannot tell from the output that no input
    changes."""
    postselected: float
    """Share of shots that passed the post-selection."""
    sentence: str
    """The verdict in words."""
    call: str | None = None
    """Name of the call, in a model of several circuits, whose rows then stand for images here."""
    loader: str | None = None
    """Name of the loader, unless it is the exact one."""
    loaded: list[float] | None = None
    """Fidelity of each image with the state that the loader made of it; None for the exact one."""
    standard_error: float | None = None
    """Root mean square standard error of the call's outputs; None where it is not known."""

    def to_dict(self) -> dict[str, Any]:
        """Return the record for JSON; what does not apply or is not known is left out."""
        spare = ("call", "loader", "loaded", "standard_error")
        return {k: v for k, v in vars(self).items() if k not in spare or v is not None}


def root_mean_square(errors: np.ndarray | Sequence[float] | None) -> float | None:
    """Return the size of some standard errors; None if there are none."""
    if errors is None or not np.size(errors):
        return None
    return float(np.sqrt(np.mean(np.square(errors))))


def by_step(records: Sequence[StepRecord]) -> list[StepRecord]:
    """Return one record for each step: means over its calls, and the worst call's verdict."""
    found = []
    for step, group in groupby(records, key=lambda each: each.step):
        calls = list(group)
        worst = min(calls, key=lambda each: each.signal_left)
        if worst.call is None:
            found += calls
            continue
        mitigated = [each.mitigated_distance for each in calls]
        errors = [each.standard_error for each in calls]
        means = [float(np.mean(m)) for m in ([m for m in mitigated if m is not None],) if m]
        found.append(
            StepRecord(
                step=step,
                raw_distance=float(np.mean([each.raw_distance for each in calls])),
                mitigated_distance=means[0] if means else None,
                signal_left=float(np.mean([each.signal_left for each in calls])),
                erased_images=max(each.erased_images for each in calls),
                postselected=float(np.mean([each.postselected for each in calls])),
                sentence=f"{worst.sentence} (Worst of {len(calls)} calls: '{worst.call}'.)"
                if worst.sentence != SHOT_NOISE_ONLY
                else worst.sentence,
                standard_error=root_mean_square([e for e in errors if e is not None]),
            )
        )
    return found
