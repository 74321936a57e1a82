"""Worth of a result: distances, fidelities, and the share of a signal that noise has left."""

from .bootstrap import Interval
from .metric import Features, ImageSets, Metric
from .metrics import METRIC_DOOR, find_metrics
from .of_arrays import Measured, measure_images

__all__ = [
    "METRIC_DOOR",
    "Features",
    "ImageSets",
    "Interval",
    "Measured",
    "Metric",
    "find_metrics",
    "measure_images",
]
