"""The variance-preserving diffusion in continuous time (Song et al., arXiv:2011.13456)."""

from __future__ import annotations

import math
from typing import Literal, final

import torch
from torch import Tensor

from ..arguments import real_number
from ..errors import InvalidOption
from .base import DiffusionProcess, TrainingPairs, check_batch, check_start, squared_errors
from .noise_prediction import LEAST_SIGNAL

__all__ = [
    "SHORTEST_TIME",
    "Predicts",
    "VariancePreserving",
]

Predicts = Literal["noise", "score"]
"""Kind of prediction: eps, or the gradient of the log density of x_t."""
SHORTEST_TIME = 1e-3
"""Smallest t in training: the score grows without bound towards t = 0."""


@final
class VariancePreserving(DiffusionProcess):
    """``dx = -beta(t)/2 x dt + sqrt(beta(t)) dw`` for t from 0 to 1, with a linear beta(t).

    Its solution is ``x_t = sqrt(alpha_bar(t)) x_0 + sqrt(1 - alpha_bar(t)) eps`` with
    ``alpha_bar(t) = exp(-beta_min t - (beta_max - beta_min) t**2 / 2)``. Times of training pairs are
    drawn uniformly and need not be multiples of 1/T: T only says how many steps a chain takes unless
    it is told otherwise. Images are mapped to [-1, 1].

    Args:
        num_steps: T, at least 1.
        beta_min: beta(0), above 0.
        beta_max: beta(1), at least beta_min.
        predicts: The model's prediction. A score is trained with the weight ``1 - alpha_bar(t)``, which
            makes it the noise's loss.

    Raises:
        InvalidOption: If an argument is out of range.
    """

    state_space = "real"
    every_step = False

    def __init__(
        self,
        num_steps: int = 1000,
        *,
        beta_min: float = 0.1,
        beta_max: float = 20.0,
        predicts: Predicts = "noise",
    ) -> None:
        super().__init__(num_steps)
        beta_min, beta_max = real_number(beta_min, "beta_min"), real_number(beta_max, "beta_max")
        if not (math.isfinite(beta_max) and 0 < beta_min <= beta_max):
            raise InvalidOption(
                f"beta_min is above 0 and at most beta_max, got {beta_min} and {beta_max}."
            )
        if predicts not in ("noise", "score"):
            raise InvalidOption(f"predicts is 'noise' or 'score', got {predicts!r}.")
        self.beta_min, self.beta_max, self.predicts = beta_min, beta_max, predicts

    def log_alpha_bar(self, t: Tensor) -> Tensor:
        """The logarithm of alpha_bar at times in [0, 1], of the shape and type of ``t``."""
        return -self.beta_min * t - (self.beta_max - self.beta_min) * t**2 / 2

    @property
    def noise_betas(self) -> Tensor:
        """The betas of the T steps between multiples of 1/T, in float64."""
        t = torch.arange(self.num_steps + 1, dtype=torch.float64) / self.num_steps
        return -torch.expm1(self.log_alpha_bar(t).diff())

    def to_states(self, images: Tensor) -> Tensor:
        """Map [0, 1] to [-1, 1]."""
        return 2 * images - 1

    def to_images(self, states: Tensor) -> Tensor:
        """Map [-1, 1] to [0, 1]."""
        return (states + 1) / 2

    def training_pairs(self, x_0: Tensor, generator: torch.Generator) -> TrainingPairs:
        """One pair for each x_0; its ``step`` is a real number, T times the time."""
        check_batch(x_0, generator)
        t = SHORTEST_TIME + (1 - SHORTEST_TIME) * torch.rand(len(x_0), generator=generator)
        noise = torch.randn(x_0.shape, generator=generator).to(x_0)
        t = t.to(x_0)
        signal, spread = self._scales(t, x_0.ndim)
        source = torch.arange(len(x_0), device=x_0.device)
        return TrainingPairs(signal * x_0 + spread * noise, t * self.num_steps, noise, source)

    def noise_of(self, prediction: Tensor, step: Tensor | float, x: Tensor | None = None) -> Tensor:
        """The noise that a prediction at a step stands for."""
        if self.predicts == "noise":
            return prediction
        t = torch.as_tensor(step, dtype=prediction.dtype, device=prediction.device) / self.num_steps
        return -self._scales(t.reshape(-1), prediction.ndim)[1] * prediction

    def losses(self, prediction: Tensor, pairs: TrainingPairs) -> Tensor:
        """Mean squared error of the noise, ``(pairs,)``."""
        return squared_errors(self.noise_of(prediction, pairs.step), pairs.target)

    def identity_losses(self, pairs: TrainingPairs) -> Tensor:
        """Return the score of predicting no noise."""
        return squared_errors(torch.zeros_like(pairs.target), pairs.target)

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard normal states."""
        check_start(shape, generator)
        return torch.randn(shape, generator=generator)

    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """An Euler-Maruyama step of the reverse SDE over 1/T; at t = 1/T the estimate of x_0."""
        t = torch.tensor(step / self.num_steps, dtype=torch.float64)
        noise = self.noise_of(prediction, step)
        alpha_bar = math.exp(float(self.log_alpha_bar(t)))
        if step == 1:
            signal = max(math.sqrt(alpha_bar), LEAST_SIGNAL)
            return (x - math.sqrt(1 - alpha_bar) * noise) / signal
        amount = (self.beta_min + (self.beta_max - self.beta_min) * float(t)) / self.num_steps
        drift = x / 2 - noise / math.sqrt(1 - alpha_bar)
        fresh = torch.randn(x.shape, generator=generator).to(x)
        return x + amount * drift + math.sqrt(amount) * fresh

    def _scales(self, t: Tensor, rank: int) -> tuple[Tensor, Tensor]:
        """Roots of alpha_bar and of 1 - alpha_bar, ``(pairs, 1, ...)``."""
        log = self.log_alpha_bar(t).reshape(-1, *[1] * (rank - 1))
        return (log / 2).exp(), (-torch.expm1(log)).sqrt()
