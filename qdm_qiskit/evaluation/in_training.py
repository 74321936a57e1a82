"""Metrics of samples while a model is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..arguments import checked_text, whole_number
from ..errors import InvalidOption
from ..training import Callback, Epoch
from .metric import Metric
from .metrics import find_metrics
from .of_arrays import Network, measure_images

__all__ = ["MeasureSamples"]


class MeasureSamples(Callback):
    """Metrics of samples beside the test images, in the rows of epochs.

    Their values are in ``history``, ``metrics.jsonl`` and what logs, and other callbacks choose by
    them: ``BestCheckpoint("domain_kid")``. Distances of few samples are too large, all
    by about the same.

    Args:
        metrics: Metrics or their names, as for :func:`~.of_arrays.measure_images`; their estimates are
            taken.
        count: Samples, at least 2.
        every: Epochs between two measurements, at least 1.
        network: Source of features for distances: ``domain_classifier(...).read``.
        prefix: Beginning of their names in rows.

    Raises:
        InvalidOption: If a number is out of range.
        UnknownName, InvalidArgument, InvalidExtension: If a metric is none.
    """

    def __init__(
        self,
        metrics: Sequence[str | Metric],
        *,
        count: int = 100,
        every: int = 1,
        network: Network | None = None,
        prefix: str = "",
    ) -> None:
        self.metrics = find_metrics(metrics)
        self.count, self.every = whole_number(count, "count"), whole_number(every, "every")
        self.network, self.prefix = network, checked_text(prefix, "prefix")
        if self.count < 2 or self.every < 1:
            raise InvalidOption(
                f"count is at least 2 samples and every at least 1 epoch, got {count} and {every}."
            )
        self.measures = tuple(prefix + each.name for each in self.metrics)

    def measure(self, after: Epoch) -> Mapping[str, float]:
        """See :meth:`.Callback.measure`.

        Raises:
            InvalidOption: If a metric says that it cannot be measured here.
        """
        if after.number % self.every:
            return {}
        found = measure_images(
            after.samples(self.count),
            after.split.test.images,
            self.metrics,
            network=self.network,
            training=after.split.train.images,
            resamples=20,
            seed=after.config.training.seed,
        )
        missing = [each.name for each in self.metrics if each.name not in found.metrics]
        if missing:
            raise InvalidOption(
                " ".join(found.failures) or f"There is nothing to say of {missing}."
            )
        return {self.prefix + name: each.estimate for name, each in found.metrics.items()}
