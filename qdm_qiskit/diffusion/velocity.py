"""Diffusion with a predicted velocity (Salimans and Ho, arXiv:2202.00512), for a few steps.

A predicted noise says nothing about x_0 where all is noise; a velocity does at every t, so that a
chain of ten steps from pure noise is well-conditioned throughout.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from ..arguments import real_number
from ..errors import InvalidData, InvalidOption
from .base import DiffusionProcess, TrainingPairs, check_batch, check_start, squared_errors

__all__ = [
    "FIRST",
    "LAST",
    "VelocityPrediction",
]

FIRST, LAST = 0.02, 0.99
"""Angles of t = 0 and t = T in quarter turns: alpha is cos of the angle, sigma sin; neither is 0."""


@final
class VelocityPrediction(DiffusionProcess):
    """``x_t = alpha x_0 + sigma eps``; the model predicts ``v = alpha eps - sigma x_0``.

    With ``alpha**2 + sigma**2 = 1`` the model's v gives both: ``x_0 = alpha x_t - sigma v`` and ``eps =
    sigma x_t + alpha v``. Data are mapped from [0, 1] to [-radius, radius]. One step is drawn for each
    x_0, evenly over a batch. Sampling is ancestral with the fixed posterior variance, its estimate of
    x_0 clamped to [-radius, radius]; the last step gives that estimate.

    Args:
        num_steps: T, at least 1.
        radius: Largest value of x_0; 1 for images, several deviations for whitened latents.

    Raises:
        InvalidOption: If an argument is out of range.
    """

    state_space = "real"
    every_step = False

    def __init__(self, num_steps: int = 10, *, radius: float = 1.0) -> None:
        super().__init__(num_steps)
        radius = real_number(radius, "radius")
        if not (math.isfinite(radius) and radius > 0):
            raise InvalidOption(f"radius must be a finite number above 0, got {radius}.")
        self.radius = radius
        t = torch.arange(1, self.num_steps + 1, dtype=torch.float64) / self.num_steps
        self.alpha_bar = torch.cos((FIRST + (LAST - FIRST) * t) * math.pi / 2) ** 2

    @property
    def noise_betas(self) -> Tensor:
        """beta_1 .. beta_T."""
        ratio = self.alpha_bar.clone()
        ratio[1:] /= self.alpha_bar[:-1]
        return 1 - ratio

    def to_states(self, images: Tensor) -> Tensor:
        """Map [0, 1] to [-radius, radius]."""
        return self.radius * (2 * images - 1)

    def to_images(self, states: Tensor) -> Tensor:
        """Map [-radius, radius] to [0, 1]."""
        return (states / self.radius + 1) / 2

    def scales(self, step: Tensor | float, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at steps, for states of the shape of ``like``: ``(pairs, 1, ...)``."""
        index = torch.as_tensor(step, device="cpu").reshape(-1).long() - 1
        alpha_bar = self.alpha_bar[index].reshape(-1, *[1] * (like.ndim - 1))
        return alpha_bar.sqrt().to(like), (1 - alpha_bar).sqrt().to(like)

    def training_pairs(self, x_0: Tensor, generator: torch.Generator) -> TrainingPairs:
        """One pair for each x_0; a batch has each step as often as any other, or once more."""
        check_batch(x_0, generator)
        order = torch.randperm(len(x_0), generator=generator)
        shift = torch.randint(self.num_steps, (1,), generator=generator)
        step = (order + shift) % self.num_steps + 1
        noise = torch.randn(x_0.shape, generator=generator).to(x_0)
        alpha, sigma = self.scales(step, x_0)
        source = torch.arange(len(x_0), device=x_0.device)
        target = alpha * noise - sigma * x_0
        return TrainingPairs(alpha * x_0 + sigma * noise, step.to(x_0.device), target, source)

    def noise_of(self, prediction: Tensor, step: Tensor | float, x: Tensor | None = None) -> Tensor:
        """The noise that a velocity stands for.

        Raises:
            InvalidData: If the state is not given.
        """
        if x is None:
            raise InvalidData("A velocity tells the noise together with its state; give x.")
        alpha, sigma = self.scales(step, x)
        return sigma * x + alpha * prediction

    def losses(self, prediction: Tensor, pairs: TrainingPairs) -> Tensor:
        """Mean squared error of the velocity, ``(pairs,)``."""
        return squared_errors(prediction, pairs.target)

    def identity_losses(self, pairs: TrainingPairs) -> Tensor:
        """Return the losses of a map that keeps x_t: of the v whose estimate of x_0 is x_t."""
        alpha, sigma = self.scales(pairs.step, pairs.noisy)
        return self.losses((alpha - 1) / sigma * pairs.noisy, pairs)

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard normal states."""
        check_start(shape, generator)
        return torch.randn(shape, generator=generator)

    def estimate(self, x: Tensor, step: int, prediction: Tensor) -> Tensor:
        """The estimate of x_0 from x_t and the predicted velocity, clamped to the radius."""
        alpha, sigma = self.scales(step, x)
        return (alpha * x - sigma * prediction).clamp(-self.radius, self.radius)

    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """A sample of q(x_{t-1} | x_t, x_0) at the estimated x_0; at t = 1 that estimate."""
        x_0 = self.estimate(x, step, prediction)
        if step == 1:
            return x_0
        now, before = float(self.alpha_bar[step - 1]), float(self.alpha_bar[step - 2])
        beta = 1 - now / before
        mean = (math.sqrt(before) * beta * x_0 + math.sqrt(1 - beta) * (1 - before) * x) / (1 - now)
        deviation = math.sqrt(beta * (1 - before) / (1 - now))
        return mean + deviation * torch.randn(x.shape, generator=generator).to(x)
