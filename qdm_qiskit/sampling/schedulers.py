"""Reverse chains by name at sampling time: DDPM, DDIM, DPM-Solver++, the reverse SDE and the ODE."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from ..arguments import of_kind, real_number, whole_number
from ..diffusion import (
    Answer,
    DiffusionProcess,
    OnStep,
    check_answer,
    check_chain,
    check_finite,
    reverse_chain,
)
from ..errors import InvalidOption
from .continuous import continuous_chain, training_steps, u_of_steps
from .discrete import DDIM, DDPM, DPMSolver, StepList, trailing_steps

Scheduler = Literal["process", "ddpm", "ddim", "dpm-solver++", "sde", "ode"]
"""The process's own chain, DDPM, DDIM, DPM-Solver++, the reverse SDE or the probability-flow ODE."""
SCHEDULERS: tuple[Scheduler, ...] = get_args(Scheduler)
MOST_GAIN = 1e6
"""Most by which sqrt(alpha_bar) may grow in a step; a prediction's rounding, 6e-8, grows likewise."""


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
    of_kind(process, DiffusionProcess, "process", "make_process(config) makes one")
    steps = None if steps is None else whole_number(steps, "steps")
    eta = real_number(eta, "eta")
    if scheduler not in SCHEDULERS:
        raise InvalidOption(f"scheduler is one of {', '.join(SCHEDULERS)}; got {scheduler!r}.")
    if scheduler == "process":
        if steps not in (None, process.num_steps):
            way_out = "choose scheduler ddim or dpm-solver++ for fewer"
            if process.noise_betas is None:  # no other scheduler takes what this model predicts
                way_out = "leave them out, or train with a smaller num_steps"
            raise InvalidOption(
                f"The process's own chain takes all {process.num_steps} steps, got {steps}; {way_out}."
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
    if scheduler != "process":
        _check_gain(process, scheduler, steps)


def make_scheduler(
    process: DiffusionProcess, scheduler: Scheduler, steps: int | None, eta: float = 0.0
) -> StepList:
    """The steps of a chain through listed times.

    Args:
        process: Whose predictions are noise.
        scheduler: "ddpm", "ddim" or "dpm-solver++".
        steps: Steps of the chain, None for all T.
        eta: Share of DDPM's noise that DDIM adds.

    Raises:
        InvalidOption: As :func:`check_scheduler`, and for the name of another chain.
    """
    check_scheduler(process, scheduler, steps, eta)
    count = process.num_steps if steps is None else steps
    if scheduler == "ddpm":
        return DDPM(process, count)
    if scheduler == "ddim":
        return DDIM(process, count, eta)
    if scheduler == "dpm-solver++":
        return DPMSolver(process, count)
    raise InvalidOption(
        f"Lists of steps are those of ddpm, ddim and dpm-solver++, got {scheduler!r}."
    )


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
        InvalidData: If a prediction or a state is not finite; the message names the step.
    """
    check_scheduler(process, scheduler, steps, eta)
    check_chain(process, answer, x, generators)
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
    chain = make_scheduler(process, scheduler, steps, eta)
    for index, step in enumerate(chain.steps):
        found = answer(x, step)
        check_answer(process, found, x, step)
        noise = process.noise_of(found, step)
        check_finite(noise, step, "prediction")
        x = chain.step(x, noise, index, generators(step))
        check_finite(x, step, "state")
        if on_step is not None:
            changed = on_step(len(chain.steps) - index - 1, x)
            x = x if changed is None else changed
    return process.to_images(x).clamp(0, 1)


def _check_gain(process: DiffusionProcess, scheduler: Scheduler, steps: int | None) -> None:
    """Refuse steps so wide that rounding errors of predictions would be seen.

    Raises:
        InvalidOption: If sqrt(alpha_bar) grows in a step by more than :data:`MOST_GAIN`.
    """
    count = process.num_steps if steps is None else steps
    listed = training_steps if scheduler in ("sde", "ode") else trailing_steps
    times = [*listed(process.num_steps, count), 0]
    u = u_of_steps(process)
    for step, following in pairwise(times):
        digits = (u[step] - u[following]) / (2 * math.log(10))
        if digits > math.log10(MOST_GAIN):
            fewer = f"take more than {count} steps, or " if count < process.num_steps else ""
            raise InvalidOption(
                f"A step of scheduler '{scheduler}' may raise sqrt(alpha_bar) by {MOST_GAIN:.0e}, as "
                f"float32 predictions resolve; from t={step} to t={following} it grows by "
                f"1e{digits:.0f}: {fewer}train with smaller betas."
            )
