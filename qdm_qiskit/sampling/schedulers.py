"""Reverse chains by name at sampling time: diffusers' DDPM, DDIM and DPM-Solver++, SDE and ODE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..diffusion import Answer, DiffusionProcess, NoisePrediction, OnStep, reverse_chain
from ..errors import InvalidOption
from .continuous import continuous_chain

Scheduler = Literal["process", "ddpm", "ddim", "dpm-solver++", "sde", "ode"]
"""The process's own chain, one of diffusers', the reverse SDE or the probability-flow ODE."""
SCHEDULERS: tuple[Scheduler, ...] = get_args(Scheduler)


def check_scheduler(
    process: DiffusionProcess, scheduler: Scheduler, steps: int | None, eta: float
) -> None:
    """Refuse a scheduler that the process or the options do not fit.

    Args:
        process: The process that the model was trained with.
        scheduler: Name of the chain.
        steps: Steps of the chain, None for all T.
        eta: Share of DDPM's noise that DDIM adds, 0 to 1.

    Raises:
        InvalidOption: With the rule.
    """
    if scheduler not in SCHEDULERS:
        raise InvalidOption(f"scheduler is one of {', '.join(SCHEDULERS)}; got {scheduler!r}.")
    if scheduler == "process":
        if steps not in (None, process.num_steps):
            raise InvalidOption(
                f"The process's own chain takes all {process.num_steps} steps, got {steps}; choose "
                "scheduler ddim or dpm-solver++ for fewer."
            )
    elif process.noise_betas is None:
        raise InvalidOption(
            f"Scheduler '{scheduler}' needs a model that predicts the noise of a Gaussian process, but "
            "this run was trained for another prediction: leave scheduler out."
        )
    if steps is not None and not 1 <= steps <= process.num_steps:
        raise InvalidOption(
            f"The number of inference steps is 1 to {process.num_steps}, got {steps}."
        )
    if not 0 <= eta <= 1 or (eta and scheduler != "ddim"):
        raise InvalidOption(
            f"eta is 0 to 1, and 0 unless the scheduler is ddim; got {eta} with '{scheduler}'."
        )


def make_scheduler(process: DiffusionProcess, scheduler: Scheduler, steps: int | None) -> Any:
    """diffusers' scheduler for the noise of a process, its timesteps set.

    Args:
        process: Whose predictions are noise.
        scheduler: "ddpm", "ddim" or "dpm-solver++".
        steps: Steps of the chain, None for all T.

    Raises:
        InvalidOption: As :func:`check_scheduler`.
    """
    check_scheduler(process, scheduler, steps, 0.0)
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    betas = process.noise_betas
    assert betas is not None
    common = {"num_train_timesteps": process.num_steps, "trained_betas": betas.float().numpy()}
    clamped = isinstance(process, NoisePrediction)  # its x_0 lies in [-1, 1]
    made: Any
    if scheduler == "ddpm":
        made = DDPMScheduler(**common, variance_type="fixed_small", clip_sample=clamped)
    elif scheduler == "ddim":
        made = DDIMScheduler(
            **common, clip_sample=clamped, set_alpha_to_one=True, timestep_spacing="trailing"
        )
    else:
        made = DPMSolverMultistepScheduler(
            **common, algorithm_type="dpmsolver++", timestep_spacing="trailing"
        )
    made.set_timesteps(process.num_steps if steps is None else steps)
    return made


def scheduled_chain(
    process: DiffusionProcess,
    answer: Answer,
    x: Tensor,
    generators: Callable[[int], torch.Generator],
    *,
    scheduler: Scheduler = "process",
    steps: int | None = None,
    eta: float = 0.0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Walk from x_T to x_0 by a scheduler.

    Args:
        process, answer, x: As for :func:`~qdm_qiskit.diffusion.reverse_chain`.
        generators: The noise stream of each step, by its t.
        scheduler: "process" for the process's own chain.
        steps: Steps of the chain, None for all T.
        eta: Share of DDPM's noise that DDIM adds.
        on_step: Called after each step with the number of steps that are left.

    Returns:
        x_0 as data in [0, 1].

    Raises:
        InvalidOption: As :func:`check_scheduler`.
    """
    check_scheduler(process, scheduler, steps, eta)
    if scheduler == "process":
        return reverse_chain(process, answer, x, generators, on_step=on_step)
    if scheduler in ("sde", "ode"):
        return continuous_chain(
            process,
            answer,
            x,
            generators,
            deterministic=scheduler == "ode",
            steps=steps,
            on_step=on_step,
        )
    made = make_scheduler(process, scheduler, steps)
    options = {"eta": eta} if scheduler == "ddim" else {}
    left = len(made.timesteps)
    for timestep in made.timesteps.tolist():
        step = timestep + 1  # diffusers counts from 0
        noise = process.noise_of(answer(x, step), step)
        x = made.step(noise, timestep, x, generator=generators(step), **options).prev_sample
        left -= 1
        if on_step is not None:
            changed = on_step(left, x)
            x = x if changed is None else changed
    return process.to_images(x).clamp(0, 1)
