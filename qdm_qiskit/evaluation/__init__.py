"""Worth of a result: distances, fidelities, and the share of a signal that noise has left.

The names are imported when they are asked for: reports of hardware runs need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .accumulated import AccumulatedMetric
    from .bootstrap import Interval
    from .in_training import MeasureSamples
    from .metric import Features, ImageSets, Metric
    from .metrics import METRIC_DOOR, find_metrics
    from .of_arrays import Measured, measure_images

__all__ = [
    "METRIC_DOOR",
    "AccumulatedMetric",
    "Features",
    "ImageSets",
    "Interval",
    "MeasureSamples",
    "Measured",
    "Metric",
    "find_metrics",
    "measure_images",
]
_HOMES = {
    "METRIC_DOOR": "metrics",
    "AccumulatedMetric": "accumulated",
    "MeasureSamples": "in_training",
    "Features": "metric",
    "ImageSets": "metric",
    "Interval": "bootstrap",
    "Measured": "of_arrays",
    "Metric": "metric",
    "find_metrics": "metrics",
    "measure_images": "of_arrays",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
