"""Any metric, of the images of one class: ``NAME@LABEL``.

A model that is told classes is measured class by class, as EEQDM's table 2 does; the classes of its
samples are those that were asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

import numpy as np

from ..errors import InvalidOption
from .bootstrap import Interval
from .metric import Features, ImageSets, Metric

__all__ = ["OneClass", "base_name", "class_of"]

_MARK = "@"
_LEAST = 2  # images of a set that has an interval


@final
class OneClass(Metric):
    """A metric of the images of one class, beside the reference's images of that class.

    None where the classes of the images are not known, or there are fewer than two of them; Fréchet
    distances also where the reference has too few of the class.

    Args:
        metric: The metric.
        label: The class, as the data set names it.

    >>> import numpy as np
    >>> from qdm_qiskit.evaluation import measure_images
    >>> rng = np.random.default_rng(0)
    >>> images, labels = rng.random((40, 1, 8, 8)), np.arange(40) % 2
    >>> found = measure_images(images, images, ["ssim@1"], labels=(labels, labels), resamples=20)
    >>> found.metrics["ssim@1"].estimate
    1.0
    """

    def __init__(self, metric: Metric, label: int) -> None:
        self.metric, self.label = metric, label
        self.name = f"{metric.name}{_MARK}{label}"
        self.title = f"{metric.title or metric.name}, class {label}"
        self.better = metric.better

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        if sets.labels is None or sets.reference_labels is None:
            return None
        ours = np.flatnonzero(sets.labels == self.label)
        theirs = np.flatnonzero(sets.reference_labels == self.label)
        if min(len(ours), len(theirs)) < _LEAST:
            return None
        features = {
            network: Features(each.images[ours], each.reference[theirs], each.logits[ours])
            for network, each in (sets.features or {}).items()
        }
        return self.metric.measure(
            replace(
                sets,
                images=sets.images[ours],
                reference=sets.reference[theirs],
                features=features or None,
                labels=sets.labels[ours],
                reference_labels=sets.reference_labels[theirs],
            )
        )


def base_name(name: str) -> str:
    """Return a metric's name without its class.

    >>> base_name("ssim@3"), base_name("ssim")
    ('ssim', 'ssim')
    """
    return name.partition(_MARK)[0]


def class_of(name: str) -> int | None:
    """Return the class that a metric's name asks for, None without one.

    Raises:
        InvalidOption: If what stands behind the mark is no class.
    """
    _, mark, label = name.partition(_MARK)
    if not mark:
        return None
    if not (label.isascii() and label.isdecimal() and len(label) <= 9):
        raise InvalidOption(
            f"A metric of one class is NAME@LABEL, as in ssim@3, where LABEL is a whole number; got "
            f"{name!r:.60}."
        )
    return int(label)
