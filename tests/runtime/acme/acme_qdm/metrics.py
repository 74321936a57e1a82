"""A metric of images."""

from __future__ import annotations

import numpy as np

from qdm_qiskit.evaluation import ImageSets, Interval, Metric


class Contrast(Metric):
    """How far the mean spread within an image is off."""

    name = "acme-contrast"
    title = "contrast, off by"
    better = "lower"

    def measure(self, sets: ImageSets) -> Interval:
        """Compare the mean standard deviation of an image's pixels."""
        ours, theirs = (np.asarray(x).std(axis=(1, 2, 3)) for x in (sets.images, sets.reference))
        return sets.interval(lambda a, b: abs(float(ours[a].mean() - theirs[b].mean())))
