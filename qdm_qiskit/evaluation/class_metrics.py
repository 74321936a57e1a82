"""Metrics of samples whose class is known: told to a guided model, or labels of real images.

None says enough alone. A classifier names decoded class means rightly, noise that shrinks variety
raises its accuracy, and a distance over all classes does not see two that are swapped.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np

from .bootstrap import Interval, share_interval
from .distances import KernelMatrices
from .metric import ImageSets, Metric

__all__ = [
    "OF_CLASSES",
    "ClassKID",
    "ClassSpread",
    "LabelAccuracy",
    "class_kid",
    "class_spread",
    "label_accuracy",
    "spread_within",
]


@final
class LabelAccuracy(Metric):
    """Share of images that the domain classifier takes for the class that they should be of."""

    name, title = "label_accuracy", "named as their class"
    better = "higher"

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        found = (sets.features or {}).get("domain")
        if found is None or sets.labels is None or sets.classes is None:
            return None
        named = np.asarray(sets.classes)[found.logits.argmax(axis=1)]
        return share_interval(named == sets.labels, sets.level)


@final
class ClassKID(Metric):
    """Mean over the classes of the kernel distance between their images, on the domain's features."""

    name, title = "class_kid", "KID within classes, domain"

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        found = (sets.features or {}).get("domain")
        if found is None or sets.labels is None or sets.reference_labels is None:
            return None
        ours, theirs = sets.labels, sets.reference_labels
        matrices = {
            label: KernelMatrices.of(found.images[ours == label], found.reference[theirs == label])
            for label in np.intersect1d(ours, theirs)
            if min((ours == label).sum(), (theirs == label).sum()) >= 2
        }
        if not matrices:
            return None
        places = [_places_within(each) for each in (ours, theirs)]

        def distance(a: np.ndarray, b: np.ndarray) -> float:
            parts = []
            for label, each in matrices.items():
                own, other = a[ours[a] == label], b[theirs[b] == label]
                if min(len(np.unique(own)), len(np.unique(other))) >= 2:
                    parts.append(each.distance(places[0][own], places[1][other]))
            return float(np.mean(parts)) if parts else math.nan

        return _known(sets.interval(distance, (len(ours), len(theirs))))


@final
class ClassSpread(Metric):
    """Deviation of pixels within classes, in units of that of the reference: 1 if as various."""

    name, title = "class_spread", "spread within classes, of real"
    better = "neither"

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        if sets.labels is None or sets.reference_labels is None:
            return None
        ours, theirs = sets.labels, sets.reference_labels
        x, y = sets.images.reshape(len(ours), -1), sets.reference.reshape(len(theirs), -1)

        def ratio(a: np.ndarray, b: np.ndarray) -> float:
            real = spread_within(y[b], theirs[b])
            return spread_within(x[a], ours[a]) / real if real else math.nan

        return _known(sets.interval(ratio, (len(ours), len(theirs))))


def spread_within(values: np.ndarray, labels: np.ndarray) -> float:
    """Return the root mean square deviation of values from the mean of their class.

    Args:
        values: ``(count, pixels)``.
        labels: ``(count,)``; classes of one image say nothing, and count for nothing.

    Returns:
        The mean over the classes of the unbiased variance, its root; 0 where no class has two.

    >>> import numpy as np
    >>> spread_within(np.array([[0.0], [2.0], [5.0], [5.0]]), np.array([0, 0, 1, 1]))
    1.0
    """
    groups = [values[labels == label] for label in np.unique(labels)]
    found = [float(each.var(axis=0, ddof=1).mean()) for each in groups if len(each) > 1]
    return float(np.sqrt(np.mean(found))) if found else 0.0


def _known(found: Interval) -> Interval | None:
    """Return an interval, or None where some resample has no class of two different images."""
    return found if math.isfinite(found.low) else None


def _places_within(labels: np.ndarray) -> np.ndarray:
    """Return for each image its number among those of its class."""
    places = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        places[rows] = np.arange(len(rows))
    return places


label_accuracy, class_kid, class_spread = LabelAccuracy(), ClassKID(), ClassSpread()
OF_CLASSES = ("label_accuracy", "class_kid", "class_spread")
"""Metrics that need to know the class of each image."""
