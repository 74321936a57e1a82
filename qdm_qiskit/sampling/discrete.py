"""DDPM, DDIM and DPM-Solver++ from one listed step to the next, in double precision.

A chain of n steps visits n of the T training steps, the first of them T, where images are noise, and
ends at x_0. Each step goes to the *next listed* one, whatever n is. In diffusers DDIM goes back by
T // n, lists have n + 1 entries for some n (11 of 49), DDPM begins below T, and all of them multiply
alphas in float32.

In the time ``u = -log(alpha_bar)`` of :mod:`qdm_qiskit.sampling.continuous` the coefficients of a step
depend on the difference of two times alone, so that no schedule is too long for them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import final

import torch
from torch import Tensor

from ..diffusion import DiffusionProcess, NoisePrediction
from .continuous import diffusion_step, estimate, sigma, u_of_steps


def trailing_steps(num_steps: int, steps: int) -> list[int]:
    """Steps t of a chain, from T down, T/steps apart and rounded: "trailing" in the literature.

    Args:
        num_steps: T.
        steps: Steps of the chain, 1 to T.

    Returns:
        As many different ones as asked for, the first T and the last at least 1.

    References:
        Lin et al., arXiv:2305.08891, table 2.

    >>> trailing_steps(10, 6), trailing_steps(3, 3)
    ([10, 8, 7, 5, 3, 2], [3, 2, 1])
    """
    steps = int(steps)  # numpy's integers would stay in the list
    return [round(Fraction(num_steps * left, steps)) for left in range(steps, 0, -1)]


class StepList(ABC):
    """A reverse chain that visits listed steps.

    Args:
        process: Whose predictions are Gaussian noise.
        steps: Steps of the chain, 1 to T.
    """

    def __init__(self, process: DiffusionProcess, steps: int) -> None:
        self.steps = trailing_steps(process.num_steps, steps)
        """t of each step, falling from T."""
        u = u_of_steps(process)
        self.u = [*(u[t] for t in self.steps), 0.0]
        """``-log(alpha_bar)`` before each step, and 0 after the last."""
        self.clamped = isinstance(process, NoisePrediction)  # its x_0 lies in [-1, 1]

    @property
    def timesteps(self) -> Tensor:
        """The steps as diffusers counts them, from 0: ``t - 1``, int64."""
        return torch.tensor(self.steps) - 1

    @abstractmethod
    def step(self, x: Tensor, eps: Tensor, index: int, generator: torch.Generator) -> Tensor:
        """The state after a step.

        Args:
            x: ``(batch, ...)``: the state before it.
            eps: The model's noise there.
            index: Which step of the list; steps are taken in their order.
            generator: Source of the step's noise.
        """


@final
class DDPM(StepList):
    """A draw from q(x_s | x_t, x_0) at the estimated x_0 (Ho et al., arXiv:2006.11239, equation 7)."""

    def step(self, x: Tensor, eps: Tensor, index: int, generator: torch.Generator) -> Tensor:
        """See :meth:`StepList.step`."""
        before, after = self.u[index : index + 2]
        return diffusion_step(x, eps, before, after, generator, clamped=self.clamped)


@final
class DDIM(StepList):
    """Equation 12 of Song et al., arXiv:2010.02502.

    Args:
        process, steps: See :class:`StepList`.
        eta: Share of DDPM's noise, 0 to 1.
    """

    def __init__(self, process: DiffusionProcess, steps: int, eta: float) -> None:
        super().__init__(process, steps)
        self.eta = eta

    def step(self, x: Tensor, eps: Tensor, index: int, generator: torch.Generator) -> Tensor:
        """See :meth:`StepList.step`."""
        before, after = self.u[index : index + 2]
        fresh = self.eta * sigma(after) / sigma(before) * math.sqrt(-math.expm1(after - before))
        kept = math.sqrt(max(0.0, sigma(after) ** 2 - fresh**2))
        x = estimate(x, eps, before, after, clamped=self.clamped) + kept * eps
        if not fresh:
            return x
        return x + fresh * torch.randn(x.shape, generator=generator).to(x)


@final
class DPMSolver(StepList):
    """The second-order multistep DPM-Solver++ (Lu et al., arXiv:2211.01095, algorithm 2).

    The first step and the last, which ends at x_0, are of first order.
    """

    def __init__(self, process: DiffusionProcess, steps: int) -> None:
        super().__init__(process, steps)
        self._last: tuple[Tensor, Tensor] | None = None

    def step(self, x: Tensor, eps: Tensor, index: int, generator: torch.Generator) -> Tensor:
        """See :meth:`StepList.step`."""
        before, after = self.u[index : index + 2]
        decay = sigma(after) / sigma(before)
        share = 1 - math.exp((after - before) / 2) * decay  # 1 - exp(-h) in the paper
        data = estimate(x, eps, before, after)
        if index and after:
            assert self._last is not None
            past = estimate(*self._last, self.u[index - 1], after)
            ratio = self._log_ratio(index - 1) / self._log_ratio(index)  # r in the paper
            data = data + (data - past) / (2 * ratio)
        self._last = x, eps
        return decay * x + share * data

    def _log_ratio(self, index: int) -> float:
        """How much the logarithm of ``sqrt(alpha_bar) / sigma`` grows in a step but the last: h."""
        before, after = self.u[index : index + 2]
        return (before - after) / 2 + math.log(sigma(before) / sigma(after))
