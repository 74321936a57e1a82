"""The Gaussian Markov chain of EEQDM's section 3.2, which is that of Ho et al., arXiv:2006.11239."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from ..arguments import real_number
from ..errors import InvalidOption
from .base import Goal, ImageProcess, check_start
from .fitted_betas import SHORT_CHAIN, linear_ends

__all__ = [
    "NOISE_RANGE",
    "GaussianChain",
]

NOISE_RANGE = 6.0
"""A [0, 1] prediction a predicts the noise ``(a - 0.5) * 6``: three standard deviations either way."""


@final
class GaussianChain(ImageProcess):
    """``x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) eps_t`` with a linear schedule.

    The data goal is x_{t-1}, and sampling repeats ``x <- f(x)`` (EEQDM's equation 5). The noise goal
    is the noise of the closed form, and sampling is Ho's algorithm 2. The EEQDM paper gives neither T
    nor the schedule: the defaults here are ours and leave ``alpha_bar_T`` near 0.02. At T = 10 they are
    0.02 and 0.6; for another T they are scaled, see
    :func:`~qdm_qiskit.diffusion.fitted_betas.linear_ends`.

    Args:
        num_steps: T, at least 1.
        goal: What the model predicts.
        beta_start: beta_1, in (0, 1); None for the default of this T.
        beta_end: beta_T, likewise.

    Raises:
        InvalidOption: If an argument is out of range.
    """

    def __init__(
        self,
        num_steps: int = 10,
        goal: Goal = "data",
        *,
        beta_start: float | None = None,
        beta_end: float | None = None,
    ) -> None:
        super().__init__(num_steps, goal)
        fitted = linear_ends(SHORT_CHAIN, num_steps)
        beta_start = fitted[0] if beta_start is None else real_number(beta_start, "beta_start")
        beta_end = fitted[1] if beta_end is None else real_number(beta_end, "beta_end")
        if not (0 < beta_start < 1 and 0 < beta_end < 1):
            raise InvalidOption(
                f"beta_start and beta_end lie between 0 and 1, got {beta_start}, {beta_end}."
            )
        self.beta = torch.linspace(beta_start, beta_end, num_steps, dtype=torch.float64)
        self.alpha_bar = torch.cumprod(1 - self.beta, dim=0)

    @property
    def noise_betas(self) -> Tensor | None:
        """beta_1 .. beta_T for the noise goal; the data goal predicts x_{t-1}."""
        return self.beta if self.goal == "noise" else None

    @property
    def forward_betas(self) -> Tensor:
        """beta_1 .. beta_T, for both goals."""
        return self.beta

    def trajectory(self, x_0: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`ImageProcess.trajectory`."""
        path = [x_0]
        for beta in self.beta.tolist():
            eps = torch.randn(x_0.shape, generator=generator).to(x_0)
            path.append(math.sqrt(1 - beta) * path[-1] + math.sqrt(beta) * eps)
        return torch.stack(path)

    def noise_target(self, path: Tensor) -> Tensor:
        """``(x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t)``, standard normal."""
        # Roots in float64: 1 - alpha_bar_1 is as small as beta_1.
        signal, spread = (
            root.sqrt().to(path).reshape(-1, *[1] * (path.ndim - 1))
            for root in (self.alpha_bar, 1 - self.alpha_bar)
        )
        return (path[1:] - signal * path[:1]) / spread

    def predicted_target(self, prediction: Tensor) -> Tensor:
        """The prediction itself, or ``(prediction - 0.5) * 6`` for the noise goal."""
        return prediction if self.goal == "data" else (prediction - 0.5) * NOISE_RANGE

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard normal images."""
        check_start(shape, generator)
        return torch.randn(shape, generator=generator)

    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Equation 5 of EEQDM for data; line 4 of Ho's algorithm 2 with sigma^2 = beta for noise."""
        if self.goal == "data":
            return prediction
        beta, alpha_bar = float(self.beta[step - 1]), float(self.alpha_bar[step - 1])
        mean = (x - beta / math.sqrt(1 - alpha_bar) * prediction) / math.sqrt(1 - beta)
        if step == 1:
            return mean
        return mean + math.sqrt(beta) * torch.randn(x.shape, generator=generator).to(x)
