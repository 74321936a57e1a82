"""The metrics of one set of images: a row of an evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..data import Split
from ..rng import stream
from .bootstrap import Interval
from .class_metrics import OF_CLASSES
from .config import EvaluationConfig
from .distances import subset_kernel_distance
from .domain_classifier import FEATURES
from .image_metrics import LEAST_SIZE
from .metric import Features, ImageSets, Metric, measured
from .metrics import ASKED_FOR, METRIC_DOOR, OF_MEMORY
from .one_class import OneClass
from .row_metrics import OF_ROWS
from .subjects import Reference

__all__ = ["EACH", "Kind", "Measurement", "Readings", "Row", "in_columns"]

EACH = 2
"""Images of a class in a picture by class."""
Kind = Literal["real", "noise", "samples"]
"""What a row's images are."""


@dataclass(frozen=True)
class Row:
    """Metrics of one set of images."""

    name: str
    kind: Kind
    source: str
    """Source of the images."""
    count: int
    metrics: dict[str, Interval]
    """Name to value; the names are explained in :attr:`.EvaluationReport.metrics`."""
    subset_kid: dict[str, tuple[float, float]]
    """"domain" and "inception" to mean and deviation over subsets, where they were asked for."""
    owes: str = ""
    """What the images owe to which part: class, codec, circuit, head, target."""


@dataclass(frozen=True)
class Readings:
    """Two networks' features and logits of one set."""

    domain: tuple[np.ndarray, np.ndarray]
    inception: tuple[np.ndarray, np.ndarray] | None


def in_columns(
    images: np.ndarray, labels: np.ndarray | None, classes: Sequence[int], each: int = EACH
) -> np.ndarray:
    """Return some images class by class.

    Args:
        images: ``(count, channels, height, width)``.
        labels: ``(count,)``, or None, which takes the first images as they come.
        classes: The classes, in order.
        each: Images of a class.

    Returns:
        ``(len(classes) * each, channels, height, width)``; white where there are too few.
    """
    found = np.ones((len(classes) * each, *images.shape[1:]), dtype=np.float32)
    for place, label in enumerate(classes):
        start = place * each
        there = images[start : start + each] if labels is None else images[labels == label][:each]
        found[start : start + len(there)] = there
    return found


class Measurement:
    """Metrics of a set of images against one reference."""

    def __init__(
        self,
        metrics: Sequence[Metric],
        reference: Reference,
        readings: Readings,
        config: EvaluationConfig,
        classes: tuple[int, ...],
    ) -> None:
        self.metrics, self.reference, self.readings = metrics, reference, readings
        self.classes = classes
        self.config = config

    def row(
        self,
        number: int,
        name: str,
        kind: Kind,
        source: str,
        images: np.ndarray,
        readings: Readings,
        *,
        split: Split,
        real: bool = False,
        labels: np.ndarray | None = None,
        owes: str = "",
    ) -> tuple[Row, list[str]]:
        """Return all metrics of one set, and a line for each metric of another package that failed.

        Args:
            number: Place of the row in the table, by which it draws.
            name, kind, source, owes: Those of the row.
            images: The measured images.
            readings: The networks' features of them.
            split: The model's training images, and images that it was not trained on.
            real: True if metrics of memory ask about the latter instead of ``images``.
            labels: The classes that the images should be of, where that is known.
        """
        features = {
            network: Features(x, y, logits)
            for network, (x, logits), (y, _) in self._networks(readings)
        }
        sets = ImageSets(
            images=images,
            reference=self.reference.images,
            rng=stream(0, "evaluation"),  # each metric is given its own
            training=split.train.images,
            unseen=split.test.images,
            features=features,
            resamples=self.config.resamples,
            level=self.config.level,
            score_splits=self.config.score_splits,
            labels=labels,
            reference_labels=None if labels is None else self.reference.labels,
            classes=None if labels is None else self.classes,
            rows=self.reference.rows,
        )
        found: dict[str, Interval] = {}
        subset_kid: dict[str, tuple[float, float]] = {}
        failures = []
        for metric in self.metrics:
            asked = split.test.images if real and metric.name in OF_MEMORY else images
            rng = self._rng(number, metric.name)
            result = measured(metric, replace(sets, images=asked, rng=rng))
            if isinstance(result, Interval):
                found[metric.name] = result
            elif isinstance(metric, OneClass):
                if kind == "samples":  # real images may have too few, and noise has no classes
                    failures.append(f"{name}: {result}")
            elif metric.name not in METRIC_DOOR.built_in:
                failures.append(f"{name}: {result}")
            network = metric.name.removesuffix("_kid")
            if metric.name.endswith("_kid") and network in features and self._subsets:
                subset_kid[network] = self._subset_kid(number, features[network], network)
        return Row(name, kind, source, len(images), found, subset_kid, owes), failures

    @property
    def _subsets(self) -> bool:
        return self.config.kid_subset_size is not None

    def _networks(
        self, readings: Readings
    ) -> list[tuple[str, tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]]:
        networks = [("domain", readings.domain, self.readings.domain)]
        if readings.inception is not None and self.readings.inception is not None:
            networks.append(("inception", readings.inception, self.readings.inception))
        return networks

    def _subset_kid(self, number: int, features: Features, network: str) -> tuple[float, float]:
        assert self.config.kid_subset_size is not None
        return subset_kernel_distance(
            features.images,
            features.reference,
            self._rng(number, f"{network}_subsets"),
            subset_size=self.config.kid_subset_size,
            subsets=self.config.kid_subsets,
        )

    def _rng(self, number: int, name: str) -> np.random.Generator:
        """Return the stream of a metric in a row, whichever others are chosen."""
        built_in = name in METRIC_DOOR.built_in and name not in (*OF_CLASSES, *ASKED_FOR, *OF_ROWS)
        if built_in or name.endswith("_subsets"):
            addresses = self._addresses()
            place = addresses.index(name) + 1 if name in addresses else 0  # 0: it draws nothing
            return stream(self.config.seed, "evaluation", 22, number * len(addresses) + place)
        digest = hashlib.sha256(name.encode()).digest()
        return stream(self.config.seed, "evaluation", 23, number, int.from_bytes(digest[:4], "big"))

    def _addresses(self) -> list[str]:
        """Return the drawing parts of a row, in the order in which version 0.1 counted them."""
        addresses: list[str] = []
        for network, _, _ in self._networks(self.readings):
            if len(self.reference.images) > FEATURES:
                addresses.append(f"{network}_frechet")
            addresses += [f"{network}_kid", f"{network}_score"]
            if self._subsets:
                addresses.append(f"{network}_subsets")
        addresses.append("psnr")
        if min(self.reference.images.shape[2:]) >= LEAST_SIZE:
            addresses.append("ssim")
        return [*addresses, "nearest_training"]
