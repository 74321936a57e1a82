"""What a diffusion process gives: training pairs, a start for sampling, and reverse steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import InvalidOption

MAX_STEPS = 10_000
"""Most steps of a process; far more than any paper takes, and still no matter of memory."""

Goal = Literal["data", "noise"]
"""What the model predicts: the image one step less noisy, or the noise."""


@dataclass(frozen=True)
class TrainingPairs:
    """Noisy images and what the model should say to them; all steps of all images, step by step."""

    noisy: Tensor
    """``(steps * batch, channels, height, width)``: x_t."""
    step: Tensor
    """``(steps * batch,)`` integers t = 1 .. T."""
    target: Tensor
    """Of the shape of ``noisy``: x_{t-1} or the noise, by the goal."""


class DiffusionProcess(ABC):
    """A forward process on images in [0, 1] and the reverse step that belongs to it.

    Models answer in [0, 1], because circuits give probabilities; :meth:`prediction` maps that
    answer to the goal's range.
    """

    num_steps: int
    """T."""
    goal: Goal

    def __init__(self, num_steps: int, goal: Goal) -> None:
        if not 1 <= num_steps <= MAX_STEPS:
            raise InvalidOption(f"num_steps must be 1 to {MAX_STEPS}, got {num_steps}.")
        if goal not in ("data", "noise"):
            raise InvalidOption(f"goal is 'data' or 'noise', got {goal!r}.")
        self.num_steps = num_steps
        self.goal = goal

    @abstractmethod
    def trajectory(self, x_0: Tensor, generator: torch.Generator) -> Tensor:
        """One forward path for each image.

        Args:
            x_0: ``(batch, channels, height, width)`` in [0, 1].
            generator: Source of the noise.

        Returns:
            ``(T + 1, batch, channels, height, width)``: x_0 .. x_T.
        """

    @abstractmethod
    def noise_target(self, path: Tensor) -> Tensor:
        """The noise that the model should predict at x_1 .. x_T of a path, ``(T, batch, ...)``."""

    @abstractmethod
    def prediction(self, answer: Tensor) -> Tensor:
        """The model's answer in [0, 1] as a prediction of the goal; affine."""

    @abstractmethod
    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """A sample of x_T, ``shape`` = (batch, channels, height, width)."""

    @abstractmethod
    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """x_{t-1} from x_t and the model's prediction at step t = ``step``."""

    def training_pairs(self, x_0: Tensor, generator: torch.Generator) -> TrainingPairs:
        """All T pairs of one forward path for each image.

        Args:
            x_0: ``(batch, channels, height, width)`` in [0, 1].
            generator: Source of the noise.

        Returns:
            ``T * batch`` pairs; the first ``batch`` belong to t = 1.
        """
        path = self.trajectory(x_0, generator)
        target = path[:-1] if self.goal == "data" else self.noise_target(path)
        steps = torch.arange(1, self.num_steps + 1, device=x_0.device).repeat_interleave(len(x_0))
        return TrainingPairs(path[1:].flatten(0, 1), steps, target.flatten(0, 1))

    def identity_prediction(self, pairs: TrainingPairs) -> Tensor:
        """What a map that does nothing predicts: the noisy image itself, or no noise."""
        return pairs.noisy if self.goal == "data" else torch.zeros_like(pairs.noisy)
