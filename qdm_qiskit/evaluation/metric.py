"""The contract of metrics: sets of images in, a value with its interval out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..arguments import of_kind, shown
from ..data import RowFormat
from ..errors import InvalidArgument, QdmError
from .bootstrap import Interval, bootstrap_interval

__all__ = [
    "Better",
    "Features",
    "ImageSets",
    "Metric",
    "check_metric",
    "measured",
]

Better = Literal["lower", "higher", "neither"]
"""Better direction of a metric."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of two sets of images from a network."""

    images: np.ndarray
    """``(count, features)`` float64: of the images that are measured."""
    reference: np.ndarray
    """``(others, features)``: of the reference."""
    logits: np.ndarray
    """``(count, classes)``: the network's predictions to the images, before the softmax."""


@dataclass(frozen=True, eq=False)
class ImageSets:
    """Sets of images that a metric sees."""

    images: np.ndarray
    """``(count, channels, height, width)`` in [0, 1]: the images that are measured."""
    reference: np.ndarray
    """``(others, channels, height, width)``: real images to compare them with."""
    rng: np.random.Generator
    """Source of all random numbers of this metric, of this set."""
    training: np.ndarray | None = None
    """The images that the model learnt from, where they are known."""
    unseen: np.ndarray | None = None
    """Real images that it did not learn from."""
    features: Mapping[str, Features] | None = None
    """Features by network: "domain" of the data set's classifier, "inception" if it has weights."""
    resamples: int = 200
    """Bootstrap resamples of an interval."""
    level: float = 0.95
    """Level of the intervals."""
    score_splits: int = 1
    """Parts into which the images are divided for scores."""
    labels: np.ndarray | None = None
    """``(count,)``: the class that each image should be of, where that is known."""
    reference_labels: np.ndarray | None = None
    """``(others,)``: the classes of the reference, where the images' own are known."""
    classes: tuple[int, ...] | None = None
    """Labels in the order of the domain classifier's logits, where the images' own are known."""
    rows: RowFormat | None = None
    """What the images mean, where they are rows of numbers; None of pictures."""

    def interval(
        self,
        statistic: Callable[..., float],
        counts: Sequence[int] | None = None,
        *,
        resamples: int | None = None,
    ) -> Interval:
        """Return a value with its bootstrap interval.

        Args:
            statistic: Called with arrays of indices, one for each set, in which an image may stand
                twice; gives the value of the images that they choose.
            counts: Images in each set; None for ``images`` and ``reference``.
            resamples: Number of resamples; by default the evaluation's.

        Raises:
            InvalidData: If a set has fewer than 2 images.
        """
        return bootstrap_interval(
            statistic,
            (len(self.images), len(self.reference)) if counts is None else counts,
            self.rng,
            resamples=resamples or self.resamples,
            level=self.level,
        )

    def mean(self, values: np.ndarray) -> Interval:
        """Return the mean of one value an image, ``(count,)``, with its bootstrap interval."""
        return self.interval(lambda rows: float(values[rows].mean()), (len(values),))


class Metric(ABC):
    """A value of a set of images.

    >>> import numpy as np
    >>> from qdm_qiskit.evaluation import measure_images
    >>> class Brightness(Metric):
    ...     name = "brightness"
    ...     title = "mean brightness, off by"
    ...     def measure(self, sets):
    ...         ours, theirs = (x.mean(axis=(1, 2, 3)) for x in (sets.images, sets.reference))
    ...         return sets.interval(lambda a, b: abs(float(ours[a].mean() - theirs[b].mean())))
    >>> images = np.linspace(0, 1, 640).reshape(40, 1, 4, 4)
    >>> found = measure_images(images, images / 2, [Brightness()], resamples=50)
    >>> 0.1 < found.metrics["brightness"].estimate < 0.4
    True
    """

    name: str
    """Name in files and options."""
    title: str = ""
    """Name in tables; that of files if empty."""
    better: Better = "lower"
    """Better direction."""

    @abstractmethod
    def measure(self, sets: ImageSets) -> Interval | None:
        """Return the value with its interval, or None where there is nothing to measure.

        Args:
            sets: Images, reference, features, and what intervals are made with. A metric that draws
                takes all random numbers from ``sets.rng``, so that the same seed gives the same result.
        """


def check_metric(part: Any, name: str = "") -> Metric:
    """Return a metric, made of a class if it is one.

    Args:
        part: A :class:`Metric`, or a class of them without required options.
        name: The name that it was found by; "" for an object from Python.

    Raises:
        InvalidArgument: With what is missing.
    """
    if isinstance(part, type) and issubclass(part, Metric):
        missing = sorted(getattr(part, "__abstractmethods__", ()))
        if missing:
            raise InvalidArgument(f"{part.__name__} lacks {' and '.join(missing)}.")
        part = part()
    of_kind(
        part, Metric, "metric", "a class that inherits qdm_qiskit.evaluation.Metric has instances"
    )
    called = getattr(part, "name", None)
    if not isinstance(called, str) or not called.strip():
        raise InvalidArgument(f"{type(part).__name__} lacks its name, a text.")
    if not isinstance(part.title, str):
        raise InvalidArgument(f"{type(part).__name__}.title is a text, got {shown(part.title)}.")
    if part.better not in ("lower", "higher", "neither"):
        raise InvalidArgument(
            f"{type(part).__name__}.better is 'lower', 'higher' or 'neither', got {part.better!r}."
        )
    if name and called != name:
        raise InvalidArgument(
            f"It calls itself '{called}', and its entry point '{name}': give it one name."
        )
    found: Metric = part
    return found


def measured(metric: Metric, sets: ImageSets) -> Interval | str:
    """Return a metric's result, or its fault in one line.

    A metric of this package raises what it has to say.
    """
    ours = type(metric).__module__.startswith("qdm_qiskit.")
    try:
        found: object = metric.measure(sets)
    except Exception as error:  # a user's code may raise anything
        if ours:
            raise
        kind = "" if isinstance(error, QdmError) else f"{type(error).__name__}: "
        reason = " ".join(str(error).split()).rstrip(".")
        return f"Metric '{metric.name}' fails: {kind}{reason}."
    if found is None:
        return f"Metric '{metric.name}' has nothing to measure here."
    if not isinstance(found, Interval):
        return (
            f"Metric '{metric.name}' gives an Interval (estimate, low, high), as sets.interval makes "
            f"one; got {shown(found)}."
        )
    try:
        estimate, low, high = (float(each) for each in (found.estimate, found.low, found.high))
    except (TypeError, ValueError):
        return f"Metric '{metric.name}' gives an Interval of numbers, got {shown(found.estimate)}."
    if not all(map(math.isfinite, (estimate, low, high))) or low > high:
        return (
            f"Metric '{metric.name}' gives finite numbers, the lower end first; got {estimate:.6g} "
            f"[{low:.6g}, {high:.6g}]."
        )
    return Interval(estimate, low, high)
