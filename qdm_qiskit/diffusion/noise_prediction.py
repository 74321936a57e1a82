"""Ho's diffusion with a predicted noise, as De Falco et al. train it: cosine schedule, P2 weights."""

from __future__ import annotations

import math
from typing import Literal, final

import torch
from torch import Tensor

from ..arguments import real_number
from ..errors import InvalidOption
from .base import DiffusionProcess, TrainingPairs, check_batch, check_start, squared_errors
from .fitted_betas import HO, constant_beta, linear_ends

__all__ = [
    "COSINE_OFFSET",
    "LARGEST_BETA",
    "LEAST_SIGNAL",
    "NoisePrediction",
    "Schedule",
    "betas",
]

Schedule = Literal["linear", "cosine", "constant"]
COSINE_OFFSET, LARGEST_BETA = 0.008, 0.999
"""Constants of the cosine schedule (Nichol and Dhariwal, arXiv:2102.09672)."""
LEAST_SIGNAL = 1e-30
"""Least sqrt(alpha_bar): below it nothing is left of x_0, and float32 would divide by zero."""


def betas(schedule: Schedule, num_steps: int, beta_start: float, beta_end: float) -> Tensor:
    """beta_1 .. beta_T in float64.

    Args:
        schedule: The cosine schedule takes no betas, the constant one only the first.
        num_steps: T.
        beta_start: beta_1, in (0, 1).
        beta_end: beta_T, in (0, 1).

    Raises:
        InvalidOption: If a beta is out of range or the schedule is unknown.
    """
    beta_start = real_number(beta_start, "beta_start")
    beta_end = real_number(beta_end, "beta_end")
    if schedule == "cosine":
        t = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
        f = torch.cos((t + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2
        return (1 - f[1:] / f[:-1]).clamp(max=LARGEST_BETA)
    if not (0 < beta_start < 1 and 0 < beta_end < 1):
        raise InvalidOption(
            f"beta_start and beta_end lie between 0 and 1, got {beta_start}, {beta_end}."
        )
    if schedule == "constant":
        return torch.full((num_steps,), beta_start, dtype=torch.float64)
    if schedule == "linear":
        return torch.linspace(beta_start, beta_end, num_steps, dtype=torch.float64)
    raise InvalidOption(f"schedule is 'linear', 'cosine' or 'constant', got {schedule!r}.")


@final
class NoisePrediction(DiffusionProcess):
    """``x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps``; the model predicts eps.

    Images are mapped to [-1, 1]. One step is drawn for each image of a batch. The loss is the mean
    squared error with P2 weights for gamma = k = 1, which are ``1 - alpha_bar_t`` (Choi et al.,
    arXiv:2204.00227). Sampling is ancestral with the fixed posterior variance, its estimate of x_0
    clamped to [-1, 1]; the last step gives that estimate.

    Args:
        num_steps: T, at least 1; the paper takes 1000.
        schedule: Of the betas.
        beta_start: First beta, but for the cosine schedule. None for Ho's, 1e-4 at T = 1000, scaled to
            this T; see :mod:`qdm_qiskit.diffusion.fitted_betas`.
        beta_end: Last beta of the linear schedule; None for Ho's, 0.02 at T = 1000, likewise.
        weighted: P2 weights; else each step counts the same.

    Raises:
        InvalidOption: If an argument is out of range.

    References:
        Ho et al., arXiv:2006.11239; De Falco et al. 2024 for schedule, weights and clamping.
    """

    state_space = "real"
    every_step = False

    def __init__(
        self,
        num_steps: int = 1000,
        *,
        schedule: Schedule = "cosine",
        beta_start: float | None = None,
        beta_end: float | None = None,
        weighted: bool = True,
    ) -> None:
        super().__init__(num_steps)
        fitted = linear_ends(HO, num_steps)
        if schedule == "constant":
            fitted = (constant_beta(HO, num_steps), fitted[1])
        beta_start = fitted[0] if beta_start is None else beta_start
        beta_end = fitted[1] if beta_end is None else beta_end
        self.beta = betas(schedule, num_steps, beta_start, beta_end)
        self.alpha_bar = torch.cumprod(1 - self.beta, dim=0)
        self.weighted = weighted

    @property
    def noise_betas(self) -> Tensor:
        """beta_1 .. beta_T."""
        return self.beta

    def to_states(self, images: Tensor) -> Tensor:
        """Map [0, 1] to [-1, 1]."""
        return 2 * images - 1

    def to_images(self, states: Tensor) -> Tensor:
        """Map [-1, 1] to [0, 1]."""
        return (states + 1) / 2

    def weights(self, step: Tensor) -> Tensor:
        """The loss weight of steps t, ``(pairs,)``: 1 - alpha_bar_t."""
        if not self.weighted:
            return torch.ones(len(step), device=step.device)
        return (1 - self.alpha_bar).float().to(step.device)[step - 1]

    def add_noise(self, x_0: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """x_t of x_0 and eps at steps ``(batch,)``."""
        alpha_bar = self.alpha_bar.to(x_0.device)[step - 1].reshape(-1, *[1] * (x_0.ndim - 1))
        return alpha_bar.sqrt().to(x_0) * x_0 + (1 - alpha_bar).sqrt().to(x_0) * noise

    def training_pairs(self, x_0: Tensor, generator: torch.Generator) -> TrainingPairs:
        """One pair for each x_0, at a step drawn uniformly."""
        check_batch(x_0, generator)
        step = torch.randint(1, self.num_steps + 1, (len(x_0),), generator=generator)
        noise = torch.randn(x_0.shape, generator=generator)
        step, noise = step.to(x_0.device), noise.to(x_0)
        source = torch.arange(len(x_0), device=x_0.device)
        return TrainingPairs(self.add_noise(x_0, noise, step), step, noise, source)

    def losses(self, prediction: Tensor, pairs: TrainingPairs) -> Tensor:
        """Weighted mean squared error of the noise."""
        return self.weights(pairs.step) * squared_errors(prediction, pairs.target)

    def identity_losses(self, pairs: TrainingPairs) -> Tensor:
        """Return the score of predicting no noise."""
        return self.losses(torch.zeros_like(pairs.target), pairs)

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard normal states."""
        check_start(shape, generator)
        return torch.randn(shape, generator=generator)

    def estimate(self, x: Tensor, step: int, noise: Tensor) -> Tensor:
        """The estimate of x_0 from x_t and the predicted noise, clamped to [-1, 1]."""
        alpha_bar = float(self.alpha_bar[step - 1])
        signal = max(math.sqrt(alpha_bar), LEAST_SIGNAL)
        return ((x - math.sqrt(1 - alpha_bar) * noise) / signal).clamp(-1, 1)

    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """A sample of q(x_{t-1} | x_t, x_0) at the estimated x_0; at t = 1 that estimate."""
        x_0 = self.estimate(x, step, prediction)
        if step == 1:
            return x_0
        beta, alpha_bar = float(self.beta[step - 1]), float(self.alpha_bar[step - 1])
        previous = float(self.alpha_bar[step - 2])
        mean = (math.sqrt(previous) * beta * x_0 + math.sqrt(1 - beta) * (1 - previous) * x) / (
            1 - alpha_bar
        )
        variance = beta * (1 - previous) / (1 - alpha_bar)
        return mean + math.sqrt(variance) * torch.randn(x.shape, generator=generator).to(x)
