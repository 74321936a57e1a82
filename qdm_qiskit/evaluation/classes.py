"""Samples by class: the class that a guided model was told, or the domain classifier's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..data import Split
from ..sampling import SamplingConfig, TrainedRun, sample
from .domain_classifier import domain_classifier

__all__ = [
    "MOST_COLUMNS",
    "ClassRows",
    "class_rows",
]

MOST_COLUMNS = 10
"""Images of a class at most."""


@dataclass(frozen=True)
class ClassRows:
    """Samples of each class."""

    rows: dict[int, np.ndarray]
    """Label to ``(up to columns, channels, height, width)``; empty where there is one class only."""
    columns: int
    """Images of a class at most."""
    note: str
    """Origin of the classes, in a sentence."""


def class_rows(
    run: TrainedRun,
    config: SamplingConfig,
    images: np.ndarray,
    whole: Split,
    cache: Path | None,
) -> ClassRows:
    """Sort samples by class.

    A guided model is sampled for each class. The domain classifier sorts the samples of another.

    Args:
        run: The model.
        config: Options of its sampling.
        images: Samples that were made without choosing a class.
        whole: The data set with all its classes, from which the classifier learns.
        cache: Where the classifier is kept; None keeps none.

    Returns:
        The samples.
    """
    guided = bool(getattr(run.config.model_options, "guided", False))
    if guided:
        labels = sorted(run.class_positions())
    else:
        labels = sorted(set(run.config.data.classes) or np.unique(whole.train.labels).tolist())
    columns = max(1, min(MOST_COLUMNS, config.num_images))
    if len(labels) < 2:
        return ClassRows({}, columns, "the run's images are of one class.")
    if guided:
        rows = {
            label: sample(run, replace(config, label=int(label), num_images=columns)).images
            for label in labels
        }
        return ClassRows(rows, columns, "each row was sampled with its class as label.")
    train, test = whole.train, whole.test
    classifier = domain_classifier(
        train.images, train.labels, test.images, test.labels, folder=cache
    )
    found = np.array(classifier.classes)[classifier.read(images)[1].argmax(axis=1)]
    others = len(images) - int(np.isin(found, labels).sum())
    note = (
        "the model is not guided; the rows are what a classifier "
        f"({classifier.accuracy:.1%} right on test images) takes its samples for"
        + (f", {others} of them for other classes." if others else ".")
    )
    return ClassRows({label: images[found == label][:columns] for label in labels}, columns, note)
