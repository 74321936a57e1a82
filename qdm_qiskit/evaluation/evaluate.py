"""Quality of samples: distances to real images with intervals, and the two ends of their scale."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..data import Dataset, Split
from ..doors import Origin, origin_of
from ..errors import InvalidData, InvalidOption
from ..options import settle
from ..progress import Message, Progress, silent
from ..rng import stream
from .bootstrap import Interval, check_bootstrap
from .class_metrics import OF_CLASSES
from .distances import subset_kernel_distance
from .domain_classifier import FEATURES, DomainClassifier, domain_classifier
from .image_metrics import (
    LEAST_SIZE,
    check_images,
    nearest,
    ssim_window,
)
from .inception import FEATURES as INCEPTION_FEATURES
from .inception import LEFT_OUT, WARNING, InceptionNetwork, InceptionWeights
from .metric import Features, ImageSets, Metric, measured
from .metrics import ASKED_FOR, METRIC_DOOR, OF_MEMORY, Frechet, find_metrics
from .row_metrics import OF_ROWS
from .subjects import Part, Reference, Subject, load_reference

__all__ = [
    "MOST_IMAGES",
    "PROTOCOLS",
    "SCHEMA",
    "EvaluationConfig",
    "EvaluationPictures",
    "EvaluationReport",
    "Row",
    "evaluate",
]

SCHEMA = "qdm-evaluation/2"
MOST_IMAGES = 100_000
"""Images of each set at most."""
_EACH = 2
"""Images of a class in a picture by class."""
_SHOWN = 16


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Options of an evaluation."""

    count: int = 512
    """Samples of each model, and reference images, at most."""
    part: Part = "test"
    """The part of the data set that is the reference."""
    resamples: int = 200
    """Bootstrap resamples of each metric."""
    level: float = 0.95
    """Level of the intervals."""
    kid_subset_size: int | None = None
    """Also print KID as papers do, over subsets of this many images; None does not."""
    kid_subsets: int = 100
    """Number of such subsets."""
    score_splits: int = 1
    """Parts into which the samples are divided for the classifier's and Inception's score."""
    seed: int = 0
    """Seed of samples, noise and resamples."""

    def __post_init__(self) -> None:
        settle(self)
        check_bootstrap(self.resamples, self.level)
        if self.part not in ("train", "test"):
            raise InvalidOption(f"The reference is 'test' or 'train' images, got {self.part!r}.")
        if not 2 <= self.count <= MOST_IMAGES:
            raise InvalidOption(f"count must be 2 to {MOST_IMAGES}, got {self.count}.")
        if self.seed < 0:
            raise InvalidOption(f"seed is >= 0, got {self.seed}.")
        if self.kid_subset_size is not None and self.kid_subset_size < 2:
            raise InvalidOption(f"kid_subset_size is at least 2, got {self.kid_subset_size}.")
        if self.kid_subsets < 1 or self.score_splits < 1:
            raise InvalidOption(
                "kid_subsets and score_splits are at least 1, got "
                f"{self.kid_subsets} and {self.score_splits}."
            )


PROTOCOLS: dict[str, EvaluationConfig] = {
    "small": EvaluationConfig(),
    "defalco": EvaluationConfig(count=7000, kid_subset_size=100, score_splits=10),
}
"""Sets of options: for small grey images, and as De Falco et al. (2024) measured."""


@dataclass(frozen=True)
class Row:
    """Metrics of one set of images."""

    name: str
    kind: Literal["real", "noise", "samples"]
    source: str
    """Source of the images."""
    count: int
    metrics: dict[str, Interval]
    """Name to value; the names are explained in :attr:`EvaluationReport.metrics`."""
    subset_kid: dict[str, tuple[float, float]]
    """"domain" and "inception" to mean and deviation over subsets, where they were asked for."""
    owes: str = ""
    """What the images owe to which part: class, codec, circuit, head, target."""


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


@dataclass(frozen=True)
class _Readings:
    """Two networks' features and logits of one set."""

    domain: tuple[np.ndarray, np.ndarray]
    inception: tuple[np.ndarray, np.ndarray] | None


def evaluate(
    subjects: Sequence[Subject],
    config: EvaluationConfig,
    *,
    metrics: Sequence[str | Metric] | None = None,
    dataset: str | Dataset | None = None,
    cache: Path | None = None,
    inception: InceptionWeights | None = None,
    progress: Progress = silent,
) -> tuple[EvaluationReport, EvaluationPictures]:
    """Measure sets of samples against real images, beside real images and noise.

    Args:
        subjects: Runs and folders of samples, at least one.
        config: Counts, resamples, seed.
        metrics: Names, and :class:`~.metric.Metric` objects, which need no registration; "kid",
            "frechet" and "score" stand for those of every network that is there, "all" for all of this
            package. None takes all.
        dataset: The reference's data set; None takes the first subject's own.
        cache: Folder of the domain classifiers; None keeps none.
        inception: Weights for Inception's metrics; None leaves them out.
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
    progress(Message("reference"))
    reference = load_reference(subjects, dataset, config.part, config.count)
    there = reference.split.test if reference.part == "test" else reference.split.train
    # A data set of one's own may be small; a count or another reference can be chosen otherwise.
    tiny = inception is None and reference.own and len(there) <= FEATURES

    def check_enough(count: int, what: str) -> None:
        if not tiny and any(isinstance(each, Frechet) for each in chosen):
            _check_enough(count, what, inception)

    check_enough(len(reference.images), f"reference ({reference.part} images)")
    check_enough(config.count, "samples")
    network = None if inception is None else InceptionNetwork(inception)
    progress(Message("domain classifier"))
    whole = reference.whole
    classifier = domain_classifier(
        whole.train.images, whole.train.labels, whole.test.images, whole.test.labels, folder=cache
    )

    def read(images: np.ndarray) -> _Readings:
        return _Readings(classifier.read(images), None if network is None else network.read(images))

    measure = _Measurement(chosen, reference, read(reference.images), config, classifier.classes)
    by_class = any(each.labels is not None for each in subjects)
    classes = list(dict.fromkeys(np.sort(reference.labels).tolist()))
    columns: dict[str, np.ndarray] = {}
    if by_class:
        told_of = reference.labels
        columns[f"{reference.part} images"] = in_columns(reference.images, told_of, classes)
    grids = {f"{reference.part} images": reference.images[:_SHOWN]}
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    rows = []
    warnings = _warnings(reference, classifier, subjects, config, inception)
    if tiny and any(isinstance(each, Frechet) for each in chosen):
        warnings.append(
            f"The Fréchet distance is left out: over {FEATURES} features it needs more than {FEATURES} "
            f"images in each set, and the data set of {subjects[0].name} has {len(reference.images)} "
            f"{reference.part} images."
        )
    notes = [_real_note(reference), *(note for subject in subjects for note in subject.notes)]
    progress(Message("real images"))
    try:
        check_enough(len(reference.others), "real images")
    except InvalidData as error:
        warnings.append(f"The end of the scale for real images is left out: {error}")
    else:
        others = "training" if reference.part == "test" else "test"
        rows.append(
            measure.row(
                "real images",
                "real",
                f"{others} images",
                reference.others,
                read(reference.others),
                split=reference.split,
                real=True,
                labels=reference.other_labels if by_class else None,
            )
        )
    progress(Message("noise"))
    shape = (config.count, *subjects[0].shape)
    noise = stream(config.seed, "evaluation", 21).random(shape, dtype=np.float32)
    told = "uniform pixels in [0, 1]"
    rows.append(measure.row("noise", "noise", told, noise, read(noise), split=reference.split))
    for name, subject in zip(_distinct(subjects), subjects, strict=True):
        progress(Message(f"{name}: sampling"))
        images = subject.draw(config.count)
        check_images(images, f"samples of {name}")
        check_enough(len(images), f"samples of {name}")
        progress(Message(f"{name}: measuring"))
        split = subject.training_split()
        asked = None if subject.labels is None else subject.labels(len(images))
        measured_row = measure.row(
            name, "samples", subject.source, images, read(images), split=split, labels=asked
        )
        rows.append(replace(measured_row, owes=subject.owes))
        if by_class:
            columns[name] = in_columns(images, asked, classes)
        grids[name] = images[:_SHOWN]
        shown = images[: _SHOWN // 2]
        pairs[name] = (shown, split.train.images[nearest(shown, split.train.images)[0]])
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
        warnings=(*warnings, *measure.failures),
        notes=tuple(notes),
        metrics={each.name: _described(each, by_name) for each in chosen},
    )
    return report, EvaluationPictures(grids, pairs, columns)


def in_columns(
    images: np.ndarray, labels: np.ndarray | None, classes: Sequence[int], each: int = _EACH
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


class _Measurement:
    """Metrics of a set of images against one reference."""

    def __init__(
        self,
        metrics: Sequence[Metric],
        reference: Reference,
        readings: _Readings,
        config: EvaluationConfig,
        classes: tuple[int, ...],
    ) -> None:
        self.metrics, self.reference, self.readings = metrics, reference, readings
        self.classes = classes
        self.config = config
        self.failures: list[str] = []
        """Failures of other packages' metrics, one line each."""
        self._rows = 0

    def row(
        self,
        name: str,
        kind: Literal["real", "noise", "samples"],
        source: str,
        images: np.ndarray,
        readings: _Readings,
        *,
        split: Split,
        real: bool = False,
        labels: np.ndarray | None = None,
    ) -> Row:
        """All metrics of one set.

        Args:
            name, kind, source: Those of the row.
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
        for metric in self.metrics:
            asked = split.test.images if real and metric.name in OF_MEMORY else images
            result = measured(metric, replace(sets, images=asked, rng=self._rng(metric.name)))
            if isinstance(result, Interval):
                found[metric.name] = result
            elif metric.name not in METRIC_DOOR.built_in:
                self.failures.append(f"{name}: {result}")
            network = metric.name.removesuffix("_kid")
            if metric.name.endswith("_kid") and network in features and self._subsets:
                subset_kid[network] = self._subset_kid(features[network], f"{network}_subsets")
        self._rows += 1
        return Row(name, kind, source, len(images), found, subset_kid)

    @property
    def _subsets(self) -> bool:
        return self.config.kid_subset_size is not None

    def _networks(
        self, readings: _Readings
    ) -> list[tuple[str, tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]]:
        networks = [("domain", readings.domain, self.readings.domain)]
        if readings.inception is not None and self.readings.inception is not None:
            networks.append(("inception", readings.inception, self.readings.inception))
        return networks

    def _subset_kid(self, features: Features, address: str) -> tuple[float, float]:
        assert self.config.kid_subset_size is not None
        return subset_kernel_distance(
            features.images,
            features.reference,
            self._rng(address),
            subset_size=self.config.kid_subset_size,
            subsets=self.config.kid_subsets,
        )

    def _rng(self, name: str) -> np.random.Generator:
        """The stream of a metric in this row, whichever others are chosen."""
        built_in = name in METRIC_DOOR.built_in and name not in (*OF_CLASSES, *ASKED_FOR, *OF_ROWS)
        if built_in or name.endswith("_subsets"):
            addresses = self._addresses()
            place = addresses.index(name) + 1 if name in addresses else 0  # 0: it draws nothing
            return stream(self.config.seed, "evaluation", 22, self._rows * len(addresses) + place)
        digest = hashlib.sha256(name.encode()).digest()
        return stream(
            self.config.seed, "evaluation", 23, self._rows, int.from_bytes(digest[:4], "big")
        )

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


def _described(metric: Metric, by_name: Sequence[str]) -> dict[str, str]:
    """Title, better direction and origin."""
    named = metric.name in METRIC_DOOR.built_in or metric.name in by_name
    origin: Origin = METRIC_DOOR.origin(metric.name) if named else origin_of(metric)
    title = metric.title or metric.name
    return {"title": title, "better": metric.better, **asdict(origin)}


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
