"""The reverse SDE and the probability-flow ODE of a Gaussian process, in as many steps as wanted.

Both follow Song et al., arXiv:2011.13456. In the time ``u = -log(alpha_bar)`` every variance-preserving
process has beta = 1: the forward SDE is ``dx = -x/2 du + dw``, the score at noise eps is ``-eps/sigma``
with ``sigma**2 = 1 - exp(-u)``. Going back, ::

    reverse SDE   dx = (-x/2 + eps/sigma) du + dw
    ODE           dx = (-x/2 + eps/(2 sigma)) du

The SDE's steps hold the estimate of x_0 fixed and are exact given it. So they stay stable where a
noise schedule's last step destroys nearly everything, and Euler-Maruyama's would not. The ODE takes
Heun's steps in the coordinates where it reads ``dy = eps ds``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import final

import torch
from torch import Tensor

from ..diffusion import DiffusionProcess
from .samplers import Ask, Sampler, Step

__all__ = [
    "FlowODE",
    "ReverseSDE",
    "diffusion_step",
    "estimate",
    "sigma",
    "training_steps",
    "u_of_steps",
]


class _Continuous(Sampler):
    """A chain through times that are spread evenly from T to 1."""

    def timesteps(self, process: DiffusionProcess, steps: int | None) -> Sequence[int]:
        """See :meth:`~.Sampler.timesteps`."""
        return training_steps(process.num_steps, steps)


@final
class ReverseSDE(_Continuous):
    """The reverse SDE; its last step, at t = 1/T of the training's time, gives x_0's estimate."""

    name = "sde"

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor:
        """See :meth:`~.Sampler.step`."""
        if not here.following:
            return estimate(x, prediction, here.u, 0.0)
        return diffusion_step(x, prediction, here.u, here.u_following, here.generator)


@final
class FlowODE(_Continuous):
    """The ODE by Heun's steps of two predictions each; the last step is the SDE's.

    It takes no noise.
    """

    name = "ode"

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor | Ask:
        """See :meth:`~.Sampler.step`."""
        if not here.following:
            return estimate(x, prediction, here.u, 0.0)
        # In the coordinates y = x exp(u/2) and s = sqrt(exp(u) - 1) the ODE is dy/ds = eps. Written
        # in x nothing overflows; exp(u/2) alone does, for a schedule that leaves nothing of the
        # data.
        gain = math.exp((here.u - here.u_following) / 2)
        distance = sigma(here.u_following) - gain * sigma(here.u)
        if not here.tried:
            return Ask(gain * x + distance * prediction, here.following)
        return gain * x + distance * (prediction + here.tried[0].prediction) / 2


def training_steps(num_steps: int, steps: int | None) -> list[int]:
    """Return the steps t of a shorter chain, from T down to 1, without repetitions.

    >>> training_steps(10, 4), training_steps(3, None)
    ([10, 7, 4, 1], [3, 2, 1])
    """
    count = num_steps if steps is None else int(steps)
    if count == 1:
        return [num_steps]
    # Exact, because two times whose halves are rounded apart must not fall together.
    return [
        round(num_steps - Fraction(index * (num_steps - 1), count - 1)) for index in range(count)
    ]


def u_of_steps(process: DiffusionProcess) -> list[float]:
    """``-log(alpha_bar)`` at t = 0 .. T."""
    betas = process.noise_betas
    assert betas is not None  # checked before any chain
    u = torch.cat([torch.zeros(1, dtype=torch.float64), -torch.log1p(-betas).cumsum(0)])
    return u.tolist()


def diffusion_step(
    x: Tensor,
    eps: Tensor,
    before: float,
    after: float,
    generator: torch.Generator,
    *,
    radius: float | None = None,
) -> Tensor:
    """Step the reverse SDE from u = ``before`` to ``after`` with the estimate of x_0 held fixed.

    Args:
        x: The state.
        eps: The model's noise there.
        before, after: Times u, the second the smaller.
        generator: Source of the noise.
        radius: Largest value to which the estimate is clamped; None leaves it.
    """
    lost, left, whole = (-math.expm1(-u) for u in (before - after, after, before))
    mean = lost * estimate(x, eps, before, after, radius=radius)
    mean = (mean + math.exp((after - before) / 2) * left * x) / whole
    return mean + math.sqrt(lost * left / whole) * torch.randn(x.shape, generator=generator).to(x)


def estimate(
    x: Tensor, eps: Tensor, before: float, after: float, *, radius: float | None = None
) -> Tensor:
    """Return ``sqrt(alpha_bar)`` at ``after`` times x_0's estimate from a state and its noise.

    Args:
        x: The state at u = ``before``.
        eps: Its noise.
        before: The state's time u.
        after: Time u of the factor; 0 gives x_0 itself.
        radius: Largest value to which the estimate of x_0 is clamped; None leaves it.
    """
    found = math.exp((before - after) / 2) * (x - sigma(before) * eps)
    if radius is None:
        return found
    largest = radius * math.exp(-after / 2)
    return found.clamp(-largest, largest)


def sigma(u: float) -> float:
    """Return the noise's standard deviation at u: ``sqrt(1 - alpha_bar)``."""
    return math.sqrt(-math.expm1(-u))
