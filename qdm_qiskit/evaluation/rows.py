"""Rows of an evaluation, each measured for itself, and what all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import Dataset
from ..errors import InvalidData
from ..progress import Message, Progress, silent
from ..rng import stream
from .config import EvaluationConfig
from .domain_classifier import FEATURES, DomainClassifier, domain_classifier
from .image_metrics import check_images, nearest
from .inception import FEATURES as INCEPTION_FEATURES
from .inception import InceptionNetwork, InceptionWeights
from .measurement import Kind, Measurement, Readings, Row, in_columns
from .metric import Metric
from .metrics import Frechet
from .subjects import Reference, Subject, load_reference

__all__ = ["SHOWN", "MeasuredRow", "RowTask", "Setting"]

SHOWN = 16
"""Images of a set that a picture shows."""


@dataclass(frozen=True)
class RowTask:
    """A row to be measured."""

    number: int
    """Its place in the table, by which it draws."""
    name: str
    kind: Kind
    subject: Subject | None = None
    """Whose samples it is of; None of real images and noise."""


@dataclass(frozen=True)
class MeasuredRow:
    """A row, and its images for the pictures."""

    row: Row
    failures: tuple[str, ...] = ()
    """Failures of other packages' metrics, a line each."""
    shown: np.ndarray | None = None
    """``(up to 16, channels, height, width)``: the first samples."""
    neighbours: np.ndarray | None = None
    """``(up to 8, ...)``: the training images nearest to the first of these."""
    columns: np.ndarray | None = None
    """Samples class by class, where some subject was told classes; see :func:`.in_columns`."""


class Setting:
    """What all rows share: metrics, reference, networks.

    Args:
        subjects: At least one; the reference is that of the first.
        config: Counts, resamples, seed.
        metrics: The metrics.
        dataset: The reference's data set; None takes the first subject's own.
        cache: Folder of the domain classifiers; None keeps none.
        inception: Weights for Inception's metrics; None leaves them out.
        by_class: True if pictures show classes in columns.
        progress: Receives the progress messages.

    Raises:
        InvalidOption, InvalidData, MissingData: If the reference cannot be used, or it or the samples
            are too few for a distance to mean anything.
        MissingDependency: If Inception was asked for and is not installed.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        config: EvaluationConfig,
        metrics: Sequence[Metric],
        *,
        dataset: str | Dataset | None = None,
        cache: Path | None = None,
        inception: InceptionWeights | None = None,
        by_class: bool = False,
        progress: Progress = silent,
    ) -> None:
        self.config, self.metrics, self.by_class = config, list(metrics), by_class
        self.inception, self.shape = inception, subjects[0].shape
        progress(Message("reference"))
        self.reference: Reference = load_reference(subjects, dataset, config.part, config.count)
        whole, split = self.reference.whole, self.reference.split
        there = split.test if self.reference.part == "test" else split.train
        # A data set of one's own may be small; a count or another reference can be chosen otherwise.
        self.tiny = inception is None and self.reference.own and len(there) <= FEATURES
        """True if the reference is too small for a Fréchet distance, which is left out then."""
        self.check_enough(len(self.reference.images), f"reference ({config.part} images)")
        self.check_enough(config.count, "samples")
        self._network = None if inception is None else InceptionNetwork(inception)
        progress(Message("domain classifier"))
        train, test = whole.train, whole.test
        self.classifier: DomainClassifier = domain_classifier(
            train.images, train.labels, test.images, test.labels, folder=cache
        )
        readings = self._read(self.reference.images)
        classes = self.classifier.classes
        self._measurement = Measurement(metrics, self.reference, readings, config, classes)
        self.classes: list[int] = np.unique(self.reference.labels).tolist()
        """Classes of the reference images, in order."""

    def check_enough(self, count: int, what: str) -> None:
        """Refuse sets that are too few for the metrics.

        Raises:
            InvalidData: If so.
        """
        if not self.tiny and any(isinstance(each, Frechet) for each in self.metrics):
            _check_enough(count, what, self.inception)

    def measure(self, task: RowTask, progress: Progress = silent) -> MeasuredRow:
        """Return a row; its bits depend on this setting and the task alone.

        Args:
            task: The row.
            progress: Receives the progress messages.

        Raises:
            InvalidData: If samples cannot be used, or are too few.
            Others: As the subject raises them.
        """
        if task.kind == "real":
            return self._real(task, progress)
        if task.kind == "noise":
            progress(Message("noise"))
            shape = (self.config.count, *self.shape)
            noise = stream(self.config.seed, "evaluation", 21).random(shape, dtype=np.float32)
            told = "uniform pixels in [0, 1]"
            split = self.reference.split
            row, failures = self._measurement.row(
                task.number, task.name, "noise", told, noise, self._read(noise), split=split
            )
            return MeasuredRow(row, tuple(failures))
        assert task.subject is not None
        return self._samples(task, task.subject, progress)

    def _real(self, task: RowTask, progress: Progress) -> MeasuredRow:
        reference = self.reference
        progress(Message("real images"))
        others = "training" if reference.part == "test" else "test"
        row, failures = self._measurement.row(
            task.number,
            task.name,
            "real",
            f"{others} images",
            reference.others,
            self._read(reference.others),
            split=reference.split,
            real=True,
            labels=reference.other_labels if self.by_class else None,
        )
        return MeasuredRow(row, tuple(failures))

    def _samples(self, task: RowTask, subject: Subject, progress: Progress) -> MeasuredRow:
        name = task.name
        progress(Message(f"{name}: sampling"))
        images = subject.draw(self.config.count)
        check_images(images, f"samples of {name}")
        self.check_enough(len(images), f"samples of {name}")
        progress(Message(f"{name}: measuring"))
        split = subject.training_split()
        asked = None if subject.labels is None else subject.labels(len(images))
        row, failures = self._measurement.row(
            task.number,
            name,
            "samples",
            subject.source,
            images,
            self._read(images),
            split=split,
            labels=asked,
            owes=subject.owes,
        )
        first = images[: SHOWN // 2]
        columns = in_columns(images, asked, self.classes) if self.by_class else None
        known = split.train.images
        near = known[nearest(first, known)[0]]
        return MeasuredRow(row, tuple(failures), images[:SHOWN], near, columns)

    def _read(self, images: np.ndarray) -> Readings:
        domain = self.classifier.read(images)
        return Readings(domain, None if self._network is None else self._network.read(images))


def _check_enough(count: int, what: str, inception: InceptionWeights | None) -> None:
    """Refuse sets so small that the covariance of their features is singular."""
    features = FEATURES if inception is None else INCEPTION_FEATURES
    network = "domain classifier" if inception is None else "Inception"
    if count <= features:
        raise InvalidData(
            f"The Fréchet distance over the {features} features of the {network} needs more than "
            f"{features} images in each set, but the {what} are {count}: take more (count, "
            "`qdm sample --num-images`), another part ('train') or another reference"
            + (", or leave inception_weights out." if inception is not None else ".")
        )
