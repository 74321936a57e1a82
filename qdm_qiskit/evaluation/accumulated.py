"""Metrics of this package as torchmetrics objects, for one's own training loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric as TorchMetric

from ..arguments import of_kind, wrong
from ..errors import InvalidArgument, InvalidData, InvalidOption
from .bootstrap import Interval, check_bootstrap
from .image_checks import check_images
from .metric import Metric
from .metrics import find_metrics
from .of_arrays import Network, measure_images

__all__ = ["AccumulatedMetric"]


class AccumulatedMetric(TorchMetric):
    """A metric that takes images batch by batch: ``update``, ``compute``, ``reset``.

    It is one of torchmetrics, so collections, trackers and several processes work as with any other:
    batches of all processes are brought together by ``compute``.

    Args:
        metric: A metric or its name in `qdm parts metric`.
        network: Source of features for distances: ``domain_classifier(...).read``.
        resamples: Bootstrap resamples of :meth:`interval`, at least 20.
        level: Level of its interval.
        seed: Seed of the resamples.
        options: Of :class:`torchmetrics.Metric`.

    Raises:
        UnknownName, InvalidArgument, InvalidExtension: If the metric is none, or several.
        InvalidOption: If an option is out of range.

    >>> images = torch.rand(40, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    >>> psnr = AccumulatedMetric("psnr")
    >>> for part in images.split(10):
    ...     psnr.update(part, real=True)
    ...     psnr.update(0.9 * part, real=False)
    >>> 20 < float(psnr.compute()) < 30
    True
    """

    is_differentiable = False
    full_state_update = False
    samples: list[Tensor]
    real: list[Tensor]

    def __init__(
        self,
        metric: str | Metric,
        *,
        network: Network | None = None,
        resamples: int = 200,
        level: float = 0.95,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not isinstance(metric, str | Metric | type):
            raise wrong(metric, "metric", "a name or a Metric")
        found = find_metrics([metric])
        if len(found) != 1:
            names = ", ".join(each.name for each in found)
            raise InvalidArgument(f"`metric` names one metric, got {metric!r}, which is {names}.")
        check_bootstrap(resamples, level)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InvalidOption(f"seed is a whole number >= 0, got {seed!r}.")
        [self.metric] = found
        self.network, self.resamples, self.level, self.seed = network, resamples, level, seed
        self.add_state("samples", default=[], dist_reduce_fx="cat")
        self.add_state("real", default=[], dist_reduce_fx="cat")

    @property
    def higher_is_better(self) -> bool | None:  # type: ignore[override]
        """Better direction of the metric; None where it has none."""
        return {"higher": True, "lower": False}.get(self.metric.better)

    def update(self, images: Tensor | np.ndarray, real: bool = False) -> None:
        """Take a batch.

        Args:
            images: ``(batch, channels, height, width)`` in [0, 1].
            real: Whether they are images to compare with, not the model's.

        Raises:
            InvalidArgument, InvalidData: If they are no images, or of another shape than those before.
        """
        if not isinstance(images, Tensor | np.ndarray):
            raise wrong(
                images, "images", "a Tensor or an ndarray, (batch, channels, height, width)"
            )
        of_kind(real, bool, "real")
        taken = torch.as_tensor(images).detach()
        check_images(taken.cpu().numpy(), "batch's images")
        for each in (*self.samples[:1], *self.real[:1]):
            if each.shape[1:] != taken.shape[1:]:
                raise InvalidData(
                    f"All batches have images of one shape; there are {tuple(each.shape[1:])} and now "
                    f"{tuple(taken.shape[1:])}."
                )
        (self.real if real else self.samples).append(taken.to(self.device))

    def compute(self) -> Tensor:
        """Return the estimate, a scalar.

        Raises:
            InvalidData: If there are fewer than 2 images of a kind, or nothing to measure.
        """
        return torch.tensor(self._measured(20).estimate, dtype=torch.float64)

    def interval(self) -> Interval:
        """Return the value with its bootstrap interval; of this process's images.

        Raises:
            InvalidData: As :meth:`compute`.
        """
        return self._measured(self.resamples)

    def _measured(self, resamples: int) -> Interval:
        found = measure_images(
            self._together("samples", self.samples, "update(images)"),
            self._together("real", self.real, "update(images, real=True)"),
            [self.metric],
            network=self.network,
            resamples=resamples,
            level=self.level,
            seed=self.seed,
        )
        if self.metric.name not in found.metrics:
            said = " ".join(found.failures)
            raise InvalidData(said or f"Metric '{self.metric.name}' has nothing to measure here.")
        return found.metrics[self.metric.name]

    def _together(self, kind: str, given: Any, how: str) -> np.ndarray:
        """Return all images of a kind; after a reduction they are one tensor already."""
        parts = [given] if isinstance(given, Tensor) else given
        count = sum(map(len, parts))
        if count < 2:
            raise InvalidData(
                f"Metric '{self.metric.name}' needs at least 2 {kind} images, got {count}: {how} takes "
                "them."
            )
        found: np.ndarray = torch.cat(list(parts)).cpu().numpy()
        return found
