"""The metrics of this package, and the door for those of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

import numpy as np

from ..arguments import wrong
from ..doors import Door
from ..errors import InvalidArgument
from .bootstrap import Interval, share_interval
from .class_metrics import OF_CLASSES
from .distances import KernelMatrices, classifier_score, frechet_distance
from .domain_classifier import FEATURES
from .image_metrics import (
    LEAST_SIZE,
    nearest,
    peak_signal_to_noise,
    squared_errors,
    structural_similarity,
)
from .metric import Features, ImageSets, Metric, check_metric
from .one_class import OneClass, base_name, class_of
from .row_metrics import OF_ROWS

__all__ = [
    "ASKED_FOR",
    "INCEPTION_RESAMPLES",
    "KERNEL_IMAGES",
    "KID",
    "METRIC_DOOR",
    "OF_MEMORY",
    "PSNR",
    "PSNR_CEILING",
    "SHORT",
    "SSIM",
    "Copies",
    "Frechet",
    "NearestTraining",
    "Network",
    "Score",
    "copies",
    "domain_frechet",
    "domain_kid",
    "domain_score",
    "find_metrics",
    "inception_frechet",
    "inception_kid",
    "inception_score",
    "nearest_training",
    "psnr",
    "ssim",
]

KERNEL_IMAGES = 4000
"""Images of each set that a kernel distance takes at most: its matrices are squares of them."""
INCEPTION_RESAMPLES = 20
"""Resamples of Inception's Fréchet distance, of which one takes ten seconds."""
PSNR_CEILING = 100.0
"""Decibels printed for copies, whose PSNR is infinite."""
Network = Literal["domain", "inception"]


class _OfFeatures(Metric):
    """A metric of a network's features of images."""

    def __init__(self, network: Network, name: str, title: str) -> None:
        self.network, self.name, self.title = network, name, title

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        found = (sets.features or {}).get(self.network)
        return None if found is None else self.of_features(found, sets)

    def of_features(self, found: Features, sets: ImageSets) -> Interval | None:
        """Return the value with its interval; None where there is nothing to measure."""
        raise NotImplementedError


@final
class Frechet(_OfFeatures):
    """The Fréchet distance; none where the reference has no more images than there are features."""

    def of_features(self, found: Features, sets: ImageSets) -> Interval | None:
        """See :meth:`_OfFeatures.of_features`."""
        x, y = found.images, found.reference
        if len(y) <= FEATURES:
            return None
        most = sets.resamples
        if self.network == "inception":
            most = min(most, INCEPTION_RESAMPLES)
        return sets.interval(
            lambda a, b: frechet_distance(x[a], y[b]), (len(x), len(y)), resamples=most
        )


@final
class KID(_OfFeatures):
    """The kernel distance."""

    def of_features(self, found: Features, sets: ImageSets) -> Interval:
        """See :meth:`_OfFeatures.of_features`."""
        x, y = found.images[:KERNEL_IMAGES], found.reference[:KERNEL_IMAGES]
        return sets.interval(KernelMatrices.of(x, y).distance, (len(x), len(y)))


@final
class Score(_OfFeatures):
    """The Inception score's formula on a network's predictions."""

    better = "higher"

    def of_features(self, found: Features, sets: ImageSets) -> Interval:
        """See :meth:`_OfFeatures.of_features`."""
        logits = found.logits
        splits = min(sets.score_splits, len(logits))
        return sets.interval(lambda a: classifier_score(logits[a], splits)[0], (len(logits),))


@final
class PSNR(Metric):
    """Peak signal to noise with the nearest reference images; none for rows."""

    name, title = "psnr", "PSNR, dB"
    better = "higher"

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        if sets.rows is not None:
            return None
        errors = squared_errors(sets.images, _partners(sets))

        def psnr(rows: np.ndarray) -> float:
            return min(PSNR_CEILING, peak_signal_to_noise(float(errors[rows].mean())))

        return sets.interval(psnr, (len(errors),))


@final
class SSIM(Metric):
    """Structural similarity with the nearest reference images; none for the smallest, and for rows."""

    name, title = "ssim", "SSIM"
    better = "higher"

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        if min(sets.images.shape[2:]) < LEAST_SIZE or sets.rows is not None:
            return None
        return sets.mean(structural_similarity(sets.images, _partners(sets)))


@final
class NearestTraining(Metric):
    """Distance to the nearest training image."""

    name, title = "nearest_training", "nearest training image, RMS"
    better = "neither"

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        if sets.training is None:
            return None
        return sets.mean(nearest(sets.images, sets.training)[1])


@final
class Copies(Metric):
    """Share of images nearer to a training image than all but 1 % of unseen real images are."""

    name, title = "copies", "nearer than real ones"

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        if sets.training is None or sets.unseen is None:
            return None
        threshold = float(np.quantile(nearest(sets.unseen, sets.training)[1], 0.01))
        distances = nearest(sets.images, sets.training)[1]
        return share_interval(distances < threshold, sets.level)


def _partners(sets: ImageSets) -> np.ndarray:
    return sets.reference[nearest(sets.images, sets.reference)[0]]


domain_frechet = Frechet("domain", "domain_frechet", "Fréchet distance, domain")
domain_kid = KID("domain", "domain_kid", "KID, domain")
domain_score = Score("domain", "domain_score", "classifier score")
inception_frechet = Frechet("inception", "inception_frechet", "FID, Inception")
inception_kid = KID("inception", "inception_kid", "KID, Inception")
inception_score = Score("inception", "inception_score", "Inception score")
psnr, ssim, nearest_training, copies = PSNR(), SSIM(), NearestTraining(), Copies()
OF_MEMORY = ("nearest_training", "copies")
"""Metrics for which real images are the unseen ones, whatever the reference is."""
ASKED_FOR = ("quantum_kid",)
"""Metrics that are measured where they are named, and not with all."""
METRIC_DOOR: Door[Metric] = Door(
    "metric",
    "metric",
    {
        name: f"qdm_qiskit.evaluation.metrics:{name}"
        for name in (
            *("domain_frechet", "domain_kid", "domain_score"),
            *("inception_frechet", "inception_kid", "inception_score"),
            *("ssim", "psnr", "nearest_training", "copies"),
        )
    }
    | {name: f"qdm_qiskit.evaluation.class_metrics:{name}" for name in OF_CLASSES}
    | {name: f"qdm_qiskit.evaluation.row_metrics:{name}" for name in OF_ROWS}
    | {name: f"qdm_qiskit.evaluation.quantum_kid:{name}" for name in ASKED_FOR},
    check_metric,
)
"""Metrics by name, in the order of tables."""
SHORT: dict[str, tuple[str, ...]] = {
    "kid": ("domain_kid", "inception_kid"),
    "frechet": ("domain_frechet", "inception_frechet"),
    "score": ("domain_score", "inception_score"),
    "all": tuple(name for name in METRIC_DOOR.built_in if name not in ASKED_FOR),
}
"""Short names for several metrics: those of each network that is there, or all of this package but
:data:`ASKED_FOR`."""


def find_metrics(metrics: Sequence[str | Metric] | None) -> list[Metric]:
    """Return metrics by name, or those that are given, each once.

    Args:
        metrics: Names of :data:`METRIC_DOOR` or :data:`SHORT`, and objects, which need no name there;
            ``NAME@LABEL`` is the metric of one class. None for ``all`` of :data:`SHORT`.

    Raises:
        UnknownName: If there is no such name.
        InvalidArgument: If one is neither a name nor a metric, or two share a name.
        InvalidOption: If what stands behind ``@`` is no class.
        InvalidExtension: If another package's cannot be loaded.
    """
    if metrics is None:
        metrics = ["all"]
    if isinstance(metrics, str | Metric | type) or not isinstance(metrics, Sequence):
        raise wrong(metrics, "metrics", "a list of names and Metric objects")
    found: dict[str, Metric] = {}
    for each in metrics:
        if isinstance(each, str):
            label, base = class_of(each), base_name(each)
            chosen = [METRIC_DOOR.get(name) for name in SHORT.get(base, (base,))]
            if label is not None:
                chosen = [OneClass(metric, label) for metric in chosen]
        elif isinstance(each, type | Metric):
            chosen = [check_metric(each)]
        else:
            raise wrong(each, "metrics", "a list of names and Metric objects")
        for metric in chosen:
            if found.setdefault(metric.name, metric) is not metric and not isinstance(each, str):
                raise InvalidArgument(f"Two metrics are called '{metric.name}'; rename one.")
    if not found:
        raise InvalidArgument("`metrics` names at least one metric, got an empty list.")
    for name, metric in found.items():
        ours = name in METRIC_DOOR.built_in
        if (ours and metric is not METRIC_DOOR.get(name)) or name in SHORT:
            raise InvalidArgument(f"'{name}' is a name of this package; give your metric another.")
    order = [*METRIC_DOOR.built_in, *(name for name in found if name not in METRIC_DOOR.built_in)]
    return [found[name] for name in order if name in found]
