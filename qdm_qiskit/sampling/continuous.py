"""The reverse SDE and the probability-flow ODE of a Gaussian process, in as many steps as wanted.

Both follow Song et al., arXiv:2011.13456. In the time ``u = -log(alpha_bar)`` every variance-preserving
process has beta = 1: the forward SDE is ``dx = -x/2 du + dw``, the score at noise eps is ``-eps/sigma``
with ``sigma**2 = 1 - exp(-u)``. Going back, ::

    reverse SDE   dx = (-x/2 + eps/sigma) du + dw
    ODE           dx = (-x/2 + eps/(2 sigma)) du

The SDE's steps hold the estimate of x_0 fixed and then are exact, so that they stay stable where a
schedule's last step destroys nearly everything, which Euler-Maruyama's would not. The ODE takes Heun's
steps in the coordinates where it reads ``dy = eps ds``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from ..diffusion import Answer, DiffusionProcess, OnStep, check_answer, check_finite


def continuous_chain(
    process: DiffusionProcess,
    answer: Answer,
    x: Tensor,
    generators: Callable[[int], torch.Generator],
    *,
    deterministic: bool,
    steps: int | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Walk from x_T to x_0 by the reverse SDE or the ODE.

    An ODE's step asks the model twice. Times are multiples of 1/T of the training, spread evenly; the
    last is t = 1/T, where the estimate of x_0 ends the chain.

    Args:
        process: One with ``noise_betas``.
        answer: The model.
        x: ``(batch, ...)``: x_T.
        generators: The noise stream of each step; the ODE takes none.
        deterministic: The ODE.
        steps: Steps of the chain, None for all T.
        on_step: Called after each step with the number of steps that are left.

    Returns:
        x_0 as data in [0, 1].

    Raises:
        InvalidData: If a prediction or a state is not finite; the message names the step.
    """
    times = training_steps(process.num_steps, steps)
    u = u_of_steps(process)

    def noise(x: Tensor, step: int) -> Tensor:
        said = answer(x, step)
        check_answer(process, said, x, step)
        found = process.noise_of(said, step)
        check_finite(found, step, "prediction")
        return found

    for index, step in enumerate(times):
        eps = noise(x, step)
        if index + 1 == len(times):
            x = estimate(x, eps, u[step], 0.0)
        elif deterministic:
            x = flow_step(x, eps, u, step, times[index + 1], noise)
        else:
            x = diffusion_step(x, eps, u[step], u[times[index + 1]], generators(step))
        check_finite(x, step, "state")
        if on_step is not None:
            changed = on_step(len(times) - index - 1, x)
            x = x if changed is None else changed
    return process.to_images(x).clamp(0, 1)


def training_steps(num_steps: int, steps: int | None) -> list[int]:
    """Steps t of a shorter chain, from T down to 1, without repetitions.

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
    clamped: bool = False,
) -> Tensor:
    """The reverse SDE from u = ``before`` to ``after`` with the estimate of x_0 held fixed.

    Args:
        x: The state.
        eps: The model's noise there.
        before, after: Times u, the second the smaller.
        generator: Source of the noise.
        clamped: Clamp the estimate to [-1, 1].
    """
    lost, left, whole = (-math.expm1(-u) for u in (before - after, after, before))
    mean = lost * estimate(x, eps, before, after, clamped=clamped)
    mean = (mean + math.exp((after - before) / 2) * left * x) / whole
    return mean + math.sqrt(lost * left / whole) * torch.randn(x.shape, generator=generator).to(x)


def flow_step(
    x: Tensor,
    eps: Tensor,
    u: Sequence[float],
    step: int,
    following: int,
    noise: Callable[[Tensor, int], Tensor],
) -> Tensor:
    """Heun's step of the ODE from ``step`` to ``following``, in either direction of time.

    Args:
        x: The state.
        eps: The model's noise there.
        u: From :func:`u_of_steps`.
        step, following: Steps t.
        noise: The model's noise at any state and step.
    """
    # In the coordinates y = x exp(u/2) and s = sqrt(exp(u) - 1) the ODE is dy/ds = eps. Written in x
    # nothing overflows: exp(u/2) alone does for a schedule that leaves nothing of the data.
    gain = math.exp((u[step] - u[following]) / 2)
    distance = sigma(u[following]) - gain * sigma(u[step])
    tried = gain * x + distance * eps
    return gain * x + distance * (eps + noise(tried, following)) / 2


def estimate(
    x: Tensor, eps: Tensor, before: float, after: float, *, clamped: bool = False
) -> Tensor:
    """``sqrt(alpha_bar)`` at u = ``after`` times the estimate of x_0 from a state and its noise.

    Args:
        x: The state at u = ``before``.
        eps: Its noise.
        before: The state's time u.
        after: Where the estimate is used; 0 gives x_0 itself.
        clamped: Clamp the estimate of x_0 to [-1, 1].
    """
    found = math.exp((before - after) / 2) * (x - sigma(before) * eps)
    largest = math.exp(-after / 2)
    return found.clamp(-largest, largest) if clamped else found


def sigma(u: float) -> float:
    """The noise's standard deviation at u: ``sqrt(1 - alpha_bar)``."""
    return math.sqrt(-math.expm1(-u))
