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
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, final

from torch import Tensor

from ..arguments import real_number
from ..diffusion import DiffusionProcess, NoisePrediction, VelocityPrediction
from ..errors import InvalidOption
from .continuous import diffusion_step, estimate, sigma
from .samplers import Sampler, Step

__all__ = [
    "DDIM",
    "DDPM",
    "DPMSolver",
    "Trailing",
    "radius_of",
    "trailing_steps",
]


def trailing_steps(num_steps: int, steps: int) -> list[int]:
    """Return the steps t of a chain, from T down, T/steps apart and rounded: "trailing" spacing.

    Args:
        num_steps: T.
        steps: Steps of the chain, 1 to T.

    Returns:
        As many different steps as asked for, the first T and the last at least 1.

    References:
        Lin et al., arXiv:2305.08891, table 2.

    >>> trailing_steps(10, 6), trailing_steps(3, 3)
    ([10, 8, 7, 5, 3, 2], [3, 2, 1])
    """
    steps = int(steps)  # numpy's integers would stay in the list
    return [round(Fraction(num_steps * left, steps)) for left in range(steps, 0, -1)]


class Trailing(Sampler):
    """A chain through trailing times."""

    def timesteps(self, process: DiffusionProcess, steps: int | None) -> Sequence[int]:
        """See :meth:`~.Sampler.timesteps`."""
        return trailing_steps(process.num_steps, process.num_steps if steps is None else steps)


def check_eta(eta: object) -> None:
    """Refuse what is no share of DDPM's noise.

    Raises:
        InvalidArgument, InvalidOption: If it is no number, or not from 0 to 1.
    """
    if not 0 <= real_number(eta, "eta") <= 1:
        raise InvalidOption(f"eta is 0 to 1, got {eta}.")


def radius_of(process: DiffusionProcess) -> float | None:
    """Return the largest value of the process's x_0, if it has one."""
    if isinstance(process, VelocityPrediction):
        return process.radius
    return 1.0 if isinstance(process, NoisePrediction) else None


@final
class DDPM(Trailing):
    """A draw from q(x_s | x_t, x_0) at the estimated x_0 (Ho et al., arXiv:2006.11239, equation 7)."""

    name = "ddpm"

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor:
        """See :meth:`~.Sampler.step`."""
        return diffusion_step(
            x,
            prediction,
            here.u,
            here.u_following,
            here.generator,
            radius=radius_of(here.process),
        )


@final
@dataclass(frozen=True)
class DDIM(Trailing):
    """Equation 12 of Song et al., arXiv:2010.02502."""

    name: ClassVar[str] = "ddim"
    eta: float = 0.0
    """Share of DDPM's noise, 0 to 1."""

    def __post_init__(self) -> None:
        check_eta(self.eta)

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor:
        """See :meth:`~.Sampler.step`."""
        before, after = here.u, here.u_following
        fresh = self.eta * sigma(after) / sigma(before) * math.sqrt(-math.expm1(after - before))
        kept = math.sqrt(max(0.0, sigma(after) ** 2 - fresh**2))
        radius = radius_of(here.process)
        x = estimate(x, prediction, before, after, radius=radius) + kept * prediction
        if not fresh:
            return x
        return x + fresh * here.normal(x)


@final
class DPMSolver(Trailing):
    """The second-order multistep DPM-Solver++ (Lu et al., arXiv:2211.01095, algorithm 2).

    The first step and the last, which ends at x_0, are of first order.
    """

    name = "dpm-solver++"
    memory = 1

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor:
        """See :meth:`~.Sampler.step`."""
        before, after = here.u, here.u_following
        decay = sigma(after) / sigma(before)
        share = 1 - math.exp((after - before) / 2) * decay  # 1 - exp(-h) in the paper
        data = estimate(x, prediction, before, after)
        if here.past and after:
            last = here.past[-1]
            past = estimate(last.x, last.prediction, last.u, after)
            ratio = _log_ratio(last.u, before) / _log_ratio(before, after)  # r in the paper
            data = data + (data - past) / (2 * ratio)
        return decay * x + share * data


def _log_ratio(before: float, after: float) -> float:
    """Return h, the growth of log(``sqrt(alpha_bar) / sigma``) in a step other than the last."""
    return (before - after) / 2 + math.log(sigma(before) / sigma(after))
