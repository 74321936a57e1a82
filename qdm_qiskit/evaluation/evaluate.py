"""Quality of samples: distances to real images with intervals, and the two ends of their scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Dataset
from ..doors import Origin, origin_of
from ..errors import InvalidData, InvalidOption
from ..progress import Progress, silent
from .config import EvaluationConfig
from .domain_classifier import FEATURES, DomainClassifier
from .image_metrics import LEAST_SIZE, ssim_window
from .inception import LEFT_OUT, WARNING, InceptionWeights
from .measurement import Kind, Row, in_columns
from .metric import Metric
from .metrics import METRIC_DOOR, Frechet, find_metrics
from .one_class import OneClass
from .rows import SHOWN, MeasuredRow, RowTask, Setting
from .subjects import Reference, Subject

__all__ = [
    "SCHEMA",
    "EvaluationPictures",
    "EvaluationReport",
    "RowsMeasured",
    "evaluate",
]

SCHEMA = "qdm-evaluation/2"
RowsMeasured = Callable[[Setting, Sequence[RowTask]], Sequence[MeasuredRow]]
"""Measures rows of a setting, in their order."""


@dataclass(frozen=True)
class EvaluationReport:
    """Several sets of images, measured against one reference."""

    reference: dict[str, Any]
    """Data set, part, count, image shape."""
    classifier: dict[str, Any]
    """Accuracy, test images, classes, identity of the domain classifier."""
    pairing: str
    """Image that SSIM and PSNR compare with."""
    options: dict[str, Any]
    rows: tuple[Row, ...]
    inception: dict[str, Any] | None
    """The weights' file and checksum, where Inception was used."""
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    metrics: dict[str, dict[str, str]] = field(default_factory=dict)
    """Name to title, better direction and origin of each metric that was asked for."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values, with the schema's name."""
        return {"schema": SCHEMA, **asdict(self)}


@dataclass(frozen=True)
class EvaluationPictures:
    """Some of the images that were measured."""

    grids: dict[str, np.ndarray]
    """Name to ``(up to 16, channels, height, width)``, the reference first."""
    pairs: dict[str, tuple[np.ndarray, np.ndarray]]
    """Name to samples and the training images nearest to them."""
    by_class: dict[str, np.ndarray] = field(default_factory=dict)
    """Where models were told classes: name to ``(classes * 2, channels, height, width)``, class by
    class, white where there are too few; sets that were told none have their first images."""


def evaluate(
    subjects: Sequence[Subject],
    config: EvaluationConfig,
    *,
    metrics: Sequence[str | Metric] | None = None,
    dataset: str | Dataset | None = None,
    cache: Path | None = None,
    inception: InceptionWeights | None = None,
    measure: RowsMeasured | None = None,
    progress: Progress = silent,
) -> tuple[EvaluationReport, EvaluationPictures]:
    """Measure sets of samples against real images, beside real images and noise.

    Args:
        subjects: Runs and folders of samples, at least one.
        config: Counts, resamples, seed.
        metrics: Names, and :class:`~.metric.Metric` objects, which need no registration; "kid",
            "frechet" and "score" stand for those of every network that is there, "all" for all of this
            package, and "ssim@3" for that of class 3. None takes all.
        dataset: The reference's data set; None takes the first subject's own.
        cache: Folder of the domain classifiers; None keeps none.
        inception: Weights for Inception's metrics; None leaves them out.
        measure: Measures the rows, as :func:`.rows_by` does on workers; None does so here.
        progress: Receives the progress messages.

    Returns:
        Metrics and pictures; nothing is written but the classifier.

    Raises:
        InvalidOption, InvalidData, MissingData: If the reference, the subjects or their images cannot
            be used, or are too few for a distance to mean anything.
        UnknownName, InvalidArgument, InvalidExtension: If a metric is none.
        MissingDependency: If Inception was asked for and is not installed.
    """
    chosen = find_metrics(metrics)
    by_name = [each for each in metrics or () if isinstance(each, str)]
    for name in by_name:
        if name.startswith("inception_") and inception is None:
            raise InvalidOption(
                f"Metric '{name}' needs Inception's weights: give inception_weights."
            )
    if not subjects:
        raise InvalidOption("There is nothing to evaluate: give runs or samples.")
    setting = Setting(
        subjects,
        config,
        chosen,
        dataset=dataset,
        cache=cache,
        inception=inception,
        by_class=any(each.labels is not None for each in subjects),
        progress=progress,
    )
    reference, classifier = setting.reference, setting.classifier
    warnings = _warnings(reference, classifier, subjects, config, inception)
    if setting.tiny and any(isinstance(each, Frechet) for each in chosen):
        warnings.append(
            f"The Fréchet distance is left out: over {FEATURES} features it needs more than {FEATURES} "
            f"images in each set, and the data set of {subjects[0].name} has {len(reference.images)} "
            f"{reference.part} images."
        )
    notes = [_real_note(reference), *(note for subject in subjects for note in subject.notes)]
    names: list[tuple[str, Kind, Subject | None]] = [("real images", "real", None)]
    try:
        setting.check_enough(len(reference.others), "real images")
    except InvalidData as error:
        warnings.append(f"The end of the scale for real images is left out: {error}")
        names.clear()
    names.append(("noise", "noise", None))
    names += [(name, "samples", s) for name, s in zip(_distinct(subjects), subjects, strict=True)]
    tasks = [RowTask(number, *each) for number, each in enumerate(names)]
    if measure is None:
        found: Sequence[MeasuredRow] = [setting.measure(each, progress) for each in tasks]
    else:
        found = measure(setting, tasks)
    rows = [each.row for each in found]
    there = {name for row in rows for name in row.metrics}
    warnings += [
        f"Metric '{name}' was asked for and has nothing to measure in these data."
        for name in by_name
        if name in METRIC_DOOR.built_in and name not in there
    ]
    if len({row.count for row in rows} | {len(reference.images)}) > 1:
        notes.append(
            "The sets differ in size; Fréchet distances of few images are larger, so compare their "
            "intervals, which take the bias off, not the metrics."
        )
    notes.append(LEFT_OUT if inception is None else WARNING)
    report = EvaluationReport(
        reference={
            "dataset": reference.dataset,
            "part": reference.part,
            "count": len(reference.images),
            "shape": list(subjects[0].shape),
            **({} if reference.rows is None else {"rows": reference.rows.to_dict()}),
        },
        classifier={
            "accuracy": classifier.accuracy,
            "test_count": classifier.test_count,
            "classes": list(classifier.classes),
            "features": FEATURES,
            "identity": classifier.identity,
            "cached": classifier.cached,
        },
        pairing=_pairing(subjects[0].shape),
        options=asdict(config),
        rows=tuple(rows),
        inception=(
            None
            if inception is None
            else {"sha256": inception.sha256, "published": inception.published}
        ),
        warnings=(*warnings, *(line for each in found for line in each.failures)),
        notes=tuple(notes),
        metrics={each.name: _described(each, by_name) for each in chosen},
    )
    return report, _pictures(setting, found)


def _pictures(setting: Setting, rows: Sequence[MeasuredRow]) -> EvaluationPictures:
    reference = setting.reference
    name = f"{reference.part} images"
    grids = {name: reference.images[:SHOWN]}
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    columns: dict[str, np.ndarray] = {}
    if setting.by_class:
        columns[name] = in_columns(reference.images, reference.labels, setting.classes)
    for each in rows:
        if each.shown is not None and each.neighbours is not None:
            grids[each.row.name] = each.shown
            pairs[each.row.name] = (each.shown[: SHOWN // 2], each.neighbours)
        if each.columns is not None:
            columns[each.row.name] = each.columns
    return EvaluationPictures(grids, pairs, columns)


def _described(metric: Metric, by_name: Sequence[str]) -> dict[str, str]:
    """Title, better direction and origin."""
    part = metric.metric if isinstance(metric, OneClass) else metric
    named = part.name in METRIC_DOOR.built_in or metric.name in by_name
    origin: Origin = METRIC_DOOR.origin(part.name) if named else origin_of(part)
    title = metric.title or metric.name
    return {"title": title, "better": metric.better, **asdict(origin)}


def _warnings(
    reference: Reference,
    classifier: DomainClassifier,
    subjects: Sequence[Subject],
    config: EvaluationConfig,
    inception: InceptionWeights | None,
) -> list[str]:
    warnings = []
    smallest = min(config.count, len(reference.images))
    if FEATURES < smallest < 10 * FEATURES:
        warnings.append(
            f"{smallest} images are few for {FEATURES} features: the Fréchet distance is biased upward "
            "(its interval is not), and intervals are wide."
        )
    if classifier.accuracy < 0.9:
        warnings.append(
            f"The domain classifier names only {classifier.accuracy:.1%} of the test images rightly: "
            "its features see only part of what distinguishes these images."
        )
    if reference.part == "train":
        warnings.append(
            "The reference are training images: a model that memorises them scores better than real "
            "images do."
        )
    own = {subject.config.data.dataset for subject in subjects} == {reference.dataset}
    if not own:
        warnings.append(
            f"Not every model was trained on the reference's data set, {reference.dataset}."
        )
    divisions = {(s.config.training.seed, s.config.data.test_fraction) for s in subjects}
    if own and len(divisions) > 1:
        warnings.append(
            "The runs differ in their seed or test_fraction. Where a data set has no published "
            f"split, so do their test images: the reference is that of {subjects[0].name}."
        )
    if len({frozenset(subject.config.data.classes) for subject in subjects}) > 1:
        warnings.append(
            f"The runs differ in their classes; the reference has those of {subjects[0].name}."
        )
    if inception is not None and not inception.published:
        warnings.append(
            f"Inception's weights are not the published file: their SHA-256 is {inception.sha256}."
        )
    return warnings


def _real_note(reference: Reference) -> str:
    others = "training" if reference.part == "test" else "test"
    return (
        f"Real images: {others} images against the reference, and unseen (test) images against the "
        "training images for the distance to the nearest of those."
    )


def _pairing(shape: tuple[int, int, int]) -> str:
    window = (
        ssim_window(min(shape[1:]))
        if min(shape[1:]) >= LEAST_SIZE
        else f"left out below {LEAST_SIZE} x {LEAST_SIZE} pixels"
    )
    return (
        "SSIM and PSNR compare each image with the reference image nearest to it in root mean square "
        f"pixel distance; a generated image has no partner of its own. SSIM: {window}. PSNR: of the "
        "mean squared error of all pairs."
    )


def _distinct(subjects: Sequence[Subject]) -> list[str]:
    """Names, numbered where two folders are called the same."""
    names: list[str] = []
    for subject in subjects:
        name, number = subject.name, 2
        while name in names:
            name, number = f"{subject.name} ({number})", number + 1
        names.append(name)
    return names
