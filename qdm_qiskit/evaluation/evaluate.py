"""How good samples are: distances to real images with intervals, and the two ends of their scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..data import Dataset
from ..errors import InvalidData, InvalidOption
from ..options import settle
from ..progress import Message, Progress, silent
from ..rng import stream
from .bootstrap import Interval, bootstrap_interval, check_bootstrap, share_interval
from .distances import (
    KernelMatrices,
    classifier_score,
    frechet_distance,
    subset_kernel_distance,
)
from .domain_classifier import FEATURES, DomainClassifier, domain_classifier
from .image_metrics import (
    LEAST_SIZE,
    check_images,
    nearest,
    peak_signal_to_noise,
    squared_errors,
    ssim_window,
    structural_similarity,
)
from .inception import FEATURES as INCEPTION_FEATURES
from .inception import LEFT_OUT, WARNING, InceptionNetwork, InceptionWeights
from .subjects import Part, Reference, Subject, load_reference

SCHEMA = "qdm-evaluation/2"
KERNEL_IMAGES = 4000
"""Images of each set that a kernel distance takes at most: its matrices are squares of them."""
INCEPTION_RESAMPLES = 20
"""Resamples of Inception's Fréchet distance, of which one takes ten seconds."""
PSNR_CEILING = 100.0
"""Decibels printed for copies, whose PSNR is infinite."""
MOST_IMAGES = 100_000
"""Images of each set at most."""
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
    """How many such subsets."""
    score_splits: int = 1
    """Parts into which the samples are divided for the classifier's and Inception's score."""
    seed: int = 0
    """Of samples, noise and resamples."""

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
    """What was measured on one set of images."""

    name: str
    kind: Literal["real", "noise", "samples"]
    source: str
    """Where the images come from."""
    count: int
    metrics: dict[str, Interval]
    """Name to metric; the names are explained in :data:`~.evaluation_render.METRICS`."""
    subset_kid: dict[str, tuple[float, float]]
    """"domain" and "inception" to mean and deviation over subsets, where they were asked for."""


@dataclass(frozen=True)
class EvaluationReport:
    """Several sets of images, measured against one reference."""

    reference: dict[str, Any]
    """Data set, part, count, image shape."""
    classifier: dict[str, Any]
    """Accuracy, test images, classes, identity of the domain classifier."""
    pairing: str
    """What SSIM and PSNR compare an image with."""
    options: dict[str, Any]
    rows: tuple[Row, ...]
    inception: dict[str, Any] | None
    """The weights' file and checksum, where Inception was used."""
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

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


@dataclass(frozen=True)
class _Readings:
    """Two networks' features and logits of one set."""

    domain: tuple[np.ndarray, np.ndarray]
    inception: tuple[np.ndarray, np.ndarray] | None


def evaluate(
    subjects: Sequence[Subject],
    config: EvaluationConfig,
    *,
    dataset: str | Dataset | None = None,
    cache: Path | None = None,
    inception: InceptionWeights | None = None,
    progress: Progress = silent,
) -> tuple[EvaluationReport, EvaluationPictures]:
    """Measure sets of samples against real images, beside real images and noise.

    Args:
        subjects: Runs and folders of samples, at least one.
        config: Counts, resamples, seed.
        dataset: The reference's data set; None takes the first subject's own.
        cache: Folder of the domain classifiers; None keeps none.
        inception: Weights for Inception's metrics; None leaves them out.
        progress: Is told in words what happens.

    Returns:
        Figures and pictures; nothing is written but the classifier.

    Raises:
        InvalidOption, InvalidData, MissingData: If the reference, the subjects or their images cannot
            be used, or are too few for a distance to mean anything.
        MissingDependency: If Inception was asked for and is not installed.
    """
    if not subjects:
        raise InvalidOption("There is nothing to evaluate: give a run's folder, or --samples.")
    progress(Message("reference"))
    reference = load_reference(subjects, dataset, config.part, config.count)
    there = reference.split.test if reference.part == "test" else reference.split.train
    # A data set of one's own may be small; a count or another reference can be chosen otherwise.
    tiny = inception is None and reference.own and len(there) <= FEATURES

    def check_enough(count: int, what: str) -> None:
        if not tiny:
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

    measure = _Measurement(reference, read(reference.images), config)
    grids = {f"{reference.part} images": reference.images[:_SHOWN]}
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    rows = []
    warnings = _warnings(reference, classifier, subjects, config, inception)
    if tiny:
        warnings.append(
            f"The Fréchet distance is left out: over {FEATURES} features it needs more than {FEATURES} "
            f"images in each set, and the data set of {subjects[0].name} has {len(reference.images)} "
            f"{reference.part} images."
        )
    notes = [_real_note(reference), *(note for subject in subjects for note in subject.notes)]
    unseen, known = reference.split.test.images, reference.split.train.images
    progress(Message("real images"))
    try:
        check_enough(len(reference.others), "real images")
    except InvalidData as error:
        warnings.append(f"The end of the scale for real images is left out: {error}")
    else:
        row = measure.row("real", "real", "", reference.others, read(reference.others))
        others = "training" if reference.part == "test" else "test"
        metrics = row.metrics | measure.memory(unseen, unseen, known)
        rows.append(
            Row("real images", "real", f"{others} images", row.count, metrics, row.subset_kid)
        )
    progress(Message("noise"))
    shape = (config.count, *subjects[0].shape)
    noise = stream(config.seed, "evaluation", 21).random(shape, dtype=np.float32)
    row = measure.row("noise", "noise", "uniform pixels in [0, 1]", noise, read(noise))
    metrics = row.metrics | measure.memory(noise, unseen, known)
    rows.append(Row(row.name, row.kind, row.source, row.count, metrics, row.subset_kid))
    for name, subject in zip(_distinct(subjects), subjects, strict=True):
        progress(Message(f"{name}: sampling"))
        images = subject.draw(config.count)
        check_images(images, f"samples of {name}")
        check_enough(len(images), f"samples of {name}")
        progress(Message(f"{name}: measuring"))
        row = measure.row(name, "samples", subject.source, images, read(images))
        split = subject.training_split()
        metrics = row.metrics | measure.memory(images, split.test.images, split.train.images)
        rows.append(Row(name, row.kind, row.source, row.count, metrics, row.subset_kid))
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
        warnings=tuple(warnings),
        notes=tuple(notes),
    )
    return report, EvaluationPictures(grids, pairs)


class _Measurement:
    """Every metric of a set of images against one reference."""

    def __init__(self, reference: Reference, readings: _Readings, config: EvaluationConfig) -> None:
        self.reference, self.readings, self.config = reference, readings, config
        self._calls = 0

    def row(
        self,
        name: str,
        kind: Literal["real", "noise", "samples"],
        source: str,
        images: np.ndarray,
        readings: _Readings,
    ) -> Row:
        """All metrics but those of memory."""
        metrics: dict[str, Interval] = {}
        subset_kid: dict[str, tuple[float, float]] = {}
        networks = [("domain", readings.domain, self.readings.domain, self.config.resamples)]
        if readings.inception is not None and self.readings.inception is not None:
            least = min(self.config.resamples, INCEPTION_RESAMPLES)
            networks.append(("inception", readings.inception, self.readings.inception, least))
        for network, (x, logits), (y, _), resamples in networks:
            metrics |= self._distances(network, x, y, resamples)
            metrics[f"{network}_score"] = self._score(logits)
            if self.config.kid_subset_size is not None:
                subset_kid[network] = subset_kernel_distance(
                    x,
                    y,
                    self._rng(),
                    subset_size=self.config.kid_subset_size,
                    subsets=self.config.kid_subsets,
                )
        metrics |= self._paired(images)
        return Row(name, kind, source, len(images), metrics, subset_kid)

    def memory(
        self, images: np.ndarray, unseen: np.ndarray, training: np.ndarray
    ) -> dict[str, Interval]:
        """Distances to the nearest training image, and how many are nearer than real images are.

        Args:
            images: What is asked about.
            unseen: Real images that the model was not trained on; they set the threshold, which one
                in a hundred of them falls below.
            training: The model's training images.
        """
        threshold = float(np.quantile(nearest(unseen, training)[1], 0.01))
        distances = nearest(images, training)[1]
        return {
            "nearest_training": self._mean(distances),
            "copies": share_interval(distances < threshold, self.config.level),
        }

    def _distances(
        self, network: str, x: np.ndarray, y: np.ndarray, resamples: int
    ) -> dict[str, Interval]:
        metrics: dict[str, Interval] = {}
        if len(y) > FEATURES:
            metrics[f"{network}_frechet"] = self._interval(
                lambda a, b: frechet_distance(x[a], y[b]), (len(x), len(y)), resamples
            )
        few = x[:KERNEL_IMAGES], y[:KERNEL_IMAGES]
        kernels = KernelMatrices.of(*few)
        kid = self._interval(kernels.distance, (len(few[0]), len(few[1])))
        return {**metrics, f"{network}_kid": kid}

    def _score(self, logits: np.ndarray) -> Interval:
        splits = min(self.config.score_splits, len(logits))
        return self._interval(lambda a: classifier_score(logits[a], splits)[0], (len(logits),))

    def _paired(self, images: np.ndarray) -> dict[str, Interval]:
        partners = self.reference.images[nearest(images, self.reference.images)[0]]
        errors = squared_errors(images, partners)

        def psnr(rows: np.ndarray) -> float:
            return min(PSNR_CEILING, peak_signal_to_noise(float(errors[rows].mean())))

        metrics = {"psnr": self._interval(psnr, (len(errors),))}
        if min(images.shape[2:]) >= LEAST_SIZE:
            metrics["ssim"] = self._mean(structural_similarity(images, partners))
        return metrics

    def _mean(self, values: np.ndarray) -> Interval:
        return self._interval(lambda rows: float(values[rows].mean()), (len(values),))

    def _interval(
        self, statistic: Callable[..., float], counts: Sequence[int], resamples: int | None = None
    ) -> Interval:
        return bootstrap_interval(
            statistic,
            counts,
            self._rng(),
            resamples=resamples or self.config.resamples,
            level=self.config.level,
        )

    def _rng(self) -> np.random.Generator:
        self._calls += 1
        return stream(self.config.seed, "evaluation", 22, self._calls)


def _check_enough(count: int, what: str, inception: InceptionWeights | None) -> None:
    """Refuse sets so small that the covariance of their features is singular."""
    features = FEATURES if inception is None else INCEPTION_FEATURES
    network = "domain classifier" if inception is None else "Inception"
    if count <= features:
        raise InvalidData(
            f"The Fréchet distance over the {features} features of the {network} needs more than "
            f"{features} images in each set, but the {what} are {count}: take more (--count, "
            "`qdm sample --num-images`), another part (--part train) or another reference"
            + (", or leave --inception-weights out." if inception is not None else ".")
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
