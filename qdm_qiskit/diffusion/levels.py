"""Diffusion of grey levels by a Markov chain: a quantum walk's, or that of a device's own noise."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidOption
from .base import (
    DiffusionProcess,
    Goal,
    TrainingPairs,
    all_steps,
    check_batch,
    check_start,
    squared_errors,
)

__all__ = ["LevelChain"]


@final
class LevelChain(DiffusionProcess):
    """Each pixel is a level of a ladder, and a step moves it by the chances of one kernel.

    x_t has chances ``K**t`` after x_0, so that training draws it at once. The model predicts x_0, by
    the mean squared error; a prediction in [0, 1] lies between two levels and stands for both by its
    distance. The reverse step draws x_{t-1} from ``q(x_{t-1} | x_t, x_0)`` by Bayes' rule; the last
    one gives the prediction. Where x_0 cannot lead to x_t, x_{t-1} is drawn from x_0 alone.

    Args:
        num_steps: T, at least 1.
        kernel: ``(levels, levels)``: chance of each level after each.
        goal: "data"; nothing else is predicted.

    Raises:
        InvalidOption: If the kernel is none, or goal is another one.

    References:
        Austin et al., arXiv:2107.03006, for diffusion of levels; Parigi et al., arXiv:2308.12013, for
        walks and a device's noise in the place of the forward process. What stands here is ours.
    """

    state_space = "unit"

    def __init__(self, num_steps: int, kernel: np.ndarray, goal: Goal = "data") -> None:
        super().__init__(num_steps)
        if goal != "data":
            raise InvalidOption(f"A process of levels predicts x_0: goal is 'data', got {goal!r}.")
        kernel = np.asarray(kernel, dtype=float)
        square = kernel.ndim == 2 and kernel.shape[0] == kernel.shape[1] >= 2
        if not square or not np.isfinite(kernel).all() or (kernel < 0).any():
            raise InvalidOption(
                f"A kernel is a square matrix of chances, at least 2 x 2, got shape {kernel.shape}."
            )
        if not np.allclose(kernel.sum(axis=1), 1, atol=1e-9):
            raise InvalidOption("Each row of a kernel sums to 1.")
        self.num_levels = len(kernel)
        powers = [np.eye(self.num_levels)]
        for _ in range(self.num_steps):
            power = powers[-1] @ kernel
            powers.append(power / power.sum(axis=1, keepdims=True))
        self.powers = torch.from_numpy(np.stack(powers))
        """``(T + 1, levels, levels)`` float64: chances of x_t after x_0."""
        lasting = kernel
        for _ in range(64):  # 2**64 steps: what is left of the first level is below rounding
            lasting = lasting @ lasting
            lasting = lasting / lasting.sum(axis=1, keepdims=True)
        self.stationary = torch.from_numpy(lasting.mean(axis=0))
        """``(levels,)`` float64: chances of x_T where T is long."""

    def level_of(self, x: Tensor) -> Tensor:
        """Return the nearest level of values in [0, 1], int64."""
        return (x.clamp(0, 1) * (self.num_levels - 1)).round().long()

    def value_of(self, level: Tensor, like: Tensor) -> Tensor:
        """Return levels as values in [0, 1] of the type of ``like``."""
        return level.to(like) / (self.num_levels - 1)

    def noised(self, x_0: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """See :meth:`DiffusionProcess.noised`."""
        return self.value_of(_drawn(self.powers[step][self.level_of(x_0)], generator), x_0)

    def forward_steps(self, x: Tensor, step: int, later: int, generator: torch.Generator) -> Tensor:
        """See :meth:`DiffusionProcess.forward_steps`."""
        return self.noised(x, later - step, generator)

    def training_pairs(self, x_0: Tensor, generator: torch.Generator) -> TrainingPairs:
        """All T steps of each x_0, each drawn by itself; the first ``batch`` pairs belong to t = 1."""
        check_batch(x_0, generator)
        noisy = [self.noised(x_0, step, generator) for step in range(1, self.num_steps + 1)]
        steps, source = all_steps(self.num_steps, x_0)
        return TrainingPairs(torch.cat(noisy), steps, x_0[source], source)

    def losses(self, prediction: Tensor, pairs: TrainingPairs) -> Tensor:
        """Mean squared error over the pixels of each pair."""
        return squared_errors(prediction, pairs.target)

    def identity_losses(self, pairs: TrainingPairs) -> Tensor:
        """The error of x_t as a prediction of x_0."""
        return squared_errors(pairs.noisy, pairs.target)

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Levels drawn from the chain's lasting chances, as values in [0, 1]."""
        check_start(shape, generator)
        chances = self.stationary.expand(*shape, -1)
        return self.value_of(_drawn(chances, generator), torch.zeros(()))

    def posterior(self, x_0: Tensor, x_t: Tensor, step: int) -> Tensor:
        """Return the chances of x_{t-1}, ``(..., levels)`` float64.

        Args:
            x_0: Values in [0, 1], which may lie between levels.
            x_t: Values in [0, 1], of the same shape.
            step: t, 1 to T.
        """
        place = x_0.clamp(0, 1).double() * (self.num_levels - 1)
        low = place.floor().long().clamp(max=self.num_levels - 2)
        share = place - low
        reached = self.level_of(x_t)
        return (1 - share)[..., None] * self._bayes(low, reached, step) + share[
            ..., None
        ] * self._bayes(low + 1, reached, step)

    def _bayes(self, first: Tensor, last: Tensor, step: int) -> Tensor:
        """Chances of the level before ``last`` on the way from ``first`` in ``step`` steps."""
        before = self.powers[step - 1].to(first.device)[first]
        onward = self.powers[1].to(first.device).t()[last]
        joint = before * onward
        total = joint.sum(dim=-1, keepdim=True)
        return torch.where(total > 0, joint / total.clamp(min=1e-300), before)

    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """A draw of x_{t-1} at the predicted x_0; at t = 1 that prediction."""
        if step == 1:
            return prediction.clamp(0, 1)
        return self.value_of(_drawn(self.posterior(prediction, x, step), generator), x)


def _drawn(chances: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a position of the last axis by its chances."""
    ends = chances.cumsum(dim=-1)
    ends = ends / ends[..., -1:]
    shape = ends.shape[:-1]
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64).to(ends.device)
    return (uniform[..., None] >= ends[..., :-1]).sum(dim=-1)
