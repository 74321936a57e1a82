"""Kölle's interpolation between image and noise with weights (t/T)^3, arXiv:2401.07049."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from .base import Goal, ImageProcess, check_start

__all__ = [
    "NOISE_MEAN",
    "NOISE_RANGE",
    "NOISE_STD",
    "InterpolatedNoise",
]

NOISE_MEAN, NOISE_STD = 0.5, 0.2
"""One noise image for each path: every pixel normal with this mean and standard deviation."""
NOISE_RANGE = 0.1
"""Width of the range in which a [0, 1] prediction predicts the step's difference."""


@final
class InterpolatedNoise(ImageProcess):
    """``x_t = clamp((1 - w_t) x_0 + w_t n, 0, 1)`` with ``w_t = (t/T)^3`` and one n for each image.

    The data goal is x_{t-1}; the noise goal is the difference x_t - x_{t-1}, and a model's prediction a
    stands for ``(a - 0.5) * 0.1``. The reverse step is deterministic.

    Args:
        num_steps: T, at least 1; the paper takes 10.
        goal: What the model predicts.

    Raises:
        InvalidOption: If an argument is out of range.
    """

    def __init__(self, num_steps: int = 10, goal: Goal = "data") -> None:
        super().__init__(num_steps, goal)

    def weights(self) -> Tensor:
        """w_0 .. w_T in float64."""
        return (torch.arange(self.num_steps + 1, dtype=torch.float64) / self.num_steps) ** 3

    def trajectory(self, x_0: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`ImageProcess.trajectory`."""
        noise = self.start(tuple(x_0.shape), generator).to(x_0)
        w = self.weights().to(x_0).reshape(-1, *[1] * x_0.ndim)
        return ((1 - w) * x_0 + w * noise).clamp(0, 1)

    def noised(self, x_0: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """See :meth:`.DiffusionProcess.noised`."""
        w = float(self.weights()[step])
        noise = self.start(tuple(x_0.shape), generator).to(x_0)
        return ((1 - w) * x_0 + w * noise).clamp(0, 1)

    def forward_steps(self, x: Tensor, step: int, later: int, generator: torch.Generator) -> Tensor:
        """See :meth:`.DiffusionProcess.forward_steps`.

        A path has one noise image. The step adds part of a fresh one, by which x_later has the mean and
        the variance that the path gives it before its clamp.
        """
        w, last = (float(self.weights()[t]) for t in (step, later))
        kept = (1 - last) / (1 - w)
        fresh = torch.randn(x.shape, generator=generator).to(x)
        mean = NOISE_MEAN * (last - kept * w)
        spread = NOISE_STD * math.sqrt(max(0.0, last**2 - (kept * w) ** 2))
        return (kept * x + mean + spread * fresh).clamp(0, 1)

    def noise_target(self, path: Tensor) -> Tensor:
        """x_t - x_{t-1}."""
        return path[1:] - path[:-1]

    def predicted_target(self, prediction: Tensor) -> Tensor:
        """The prediction itself, or ``(prediction - 0.5) * 0.1`` for the noise goal."""
        return prediction if self.goal == "data" else (prediction - 0.5) * NOISE_RANGE

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Noise images, clamped to [0, 1] as x_T is."""
        check_start(shape, generator)
        noise = NOISE_MEAN + NOISE_STD * torch.randn(shape, generator=generator)
        return noise.clamp(0, 1)

    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """The prediction, or x minus the predicted difference, clamped to [0, 1]."""
        return prediction if self.goal == "data" else (x - prediction).clamp(0, 1)
