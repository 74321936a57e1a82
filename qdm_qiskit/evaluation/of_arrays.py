"""Metrics of two arrays of images, without a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..data import RowFormat
from ..errors import InvalidData, InvalidOption
from ..rng import stream
from .bootstrap import Interval, check_bootstrap
from .image_checks import check_images
from .metric import Features, ImageSets, Metric, measured
from .metrics import METRIC_DOOR, find_metrics

__all__ = [
    "Measured",
    "Network",
    "measure_images",
]

Network = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Images ``(count, channels, height, width)`` to features and logits."""


@dataclass(frozen=True)
class Measured:
    """Metrics of a set of images."""

    metrics: dict[str, Interval]
    """Name to value and interval."""
    failures: tuple[str, ...]
    """One line for each metric that could not say anything."""


def measure_images(
    samples: np.ndarray,
    reference: np.ndarray,
    metrics: Sequence[str | Metric],
    *,
    network: Network | None = None,
    training: np.ndarray | None = None,
    unseen: np.ndarray | None = None,
    rows: RowFormat | None = None,
    labels: tuple[np.ndarray, np.ndarray] | None = None,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Measured:
    """Measure images against others.

    Args:
        samples: ``(count, channels, height, width)`` in [0, 1].
        reference: ``(others, channels, height, width)``, of the same size.
        metrics: As for :func:`~.evaluate.evaluate`.
        network: Source of features for distances: ``domain_classifier(...).read``.
        training: Images that the samples' model learnt from.
        unseen: Real images that it did not learn from.
        rows: What the images mean, where they are rows of numbers.
        labels: The classes of samples and of reference, ``(count,)`` and ``(others,)``, where known.
        resamples: Bootstrap resamples, at least 20.
        level: Level of the intervals.
        seed: Seed of the resamples; each metric has its own stream.

    Raises:
        InvalidData: If an array is no set of images, or their sizes differ.
        InvalidOption: If an option is out of range.
        UnknownName, InvalidArgument, InvalidExtension: If a metric is none.
    """
    check_bootstrap(resamples, level)
    chosen = find_metrics(metrics)
    given = {"samples": samples, "reference": reference, "training": training, "unseen": unseen}
    images = {what: each for what, each in given.items() if each is not None}
    for what, each in images.items():
        check_images(each, f"{what} images")
        if each.shape[1:] != samples.shape[1:]:
            raise InvalidData(
                f"All sets have images of one shape; samples have {samples.shape[1:]}, {what} "
                f"{each.shape[1:]}."
            )
    if seed < 0:
        raise InvalidOption(f"seed is >= 0, got {seed}.")
    features = None
    if network is not None:
        (x, logits), (y, _) = network(samples), network(reference)
        features = {"domain": Features(x, y, logits)}
    rng = stream(seed, "evaluation", 24)
    own, others = (None, None) if labels is None else labels
    sets = ImageSets(
        samples,
        reference,
        rng,
        training,
        unseen,
        features,
        resamples=resamples,
        level=level,
        labels=own,
        reference_labels=others,
        rows=rows,
    )
    found: dict[str, Interval] = {}
    failures = []
    for metric in chosen:
        address = int.from_bytes(metric.name.encode()[:64], "big")
        again = stream(seed, "evaluation", 24, address)
        result = measured(metric, replace(sets, rng=again))
        if isinstance(result, Interval):
            found[metric.name] = result
        elif metric.name not in METRIC_DOOR.built_in or metric.name in metrics:
            failures.append(result)
    return Measured(found, tuple(failures))
