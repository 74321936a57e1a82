"""Samplers by name, of this package and of others, and the chain that any of them walks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..arguments import of_kind, real_number, whole_number, wrong
from ..diffusion import DiffusionProcess, OnStep, Predictor, check_chain
from ..doors import Door, Origin, origin_of
from ..errors import InvalidArgument, InvalidOption
from .chain import Chain, checked_times
from .continuous import u_of_steps
from .samplers import Sampler

__all__ = [
    "MOST_GAIN",
    "SAMPLERS",
    "SCHEDULERS",
    "check_sampler",
    "check_scheduler",
    "find_sampler",
    "planned_chain",
    "sampler_origin",
    "scheduled_chain",
]

MOST_GAIN = 1e6
"""Largest growth of sqrt(alpha_bar) in a step; a prediction's rounding, 6e-8, grows likewise."""


def check_sampler(part: Any, name: str = "") -> Sampler:
    """Return a sampler; a class becomes an object of it.

    Args:
        part: A :class:`~qdm_qiskit.sampling.Sampler`, or a class of them without required options.
        name: For the door; not used.

    Raises:
        InvalidArgument: With what is missing.
    """
    if isinstance(part, type) and issubclass(part, Sampler):
        missing = sorted(getattr(part, "__abstractmethods__", ()))
        if missing:
            raise InvalidArgument(f"{part.__name__} lacks {' and '.join(missing)}.")
        part = part()
    of_kind(
        part, Sampler, "sampler", "a class that inherits qdm_qiskit.sampling.Sampler has instances"
    )
    if not isinstance(getattr(part, "name", None), str):
        raise InvalidArgument(f"{type(part).__name__} lacks its name, as in name = 'euler'.")
    if part.takes not in ("noise", "own"):
        raise InvalidArgument(
            f"{type(part).__name__}.takes is 'noise' or 'own', got {part.takes!r}."
        )
    if whole_number(part.memory, "memory") < 0:
        raise InvalidArgument(f"{type(part).__name__}.memory is at least 0, got {part.memory}.")
    found: Sampler = part
    return found


SAMPLERS: Door[Sampler] = Door(
    "sampler",
    "sampler",
    {
        "process": "qdm_qiskit.sampling.samplers:ProcessSampler",
        "ddpm": "qdm_qiskit.sampling.discrete:DDPM",
        "ddim": "qdm_qiskit.sampling.discrete:DDIM",
        "analytic": "qdm_qiskit.sampling.analytic:AnalyticDPM",
        "dpm-solver++": "qdm_qiskit.sampling.discrete:DPMSolver",
        "sde": "qdm_qiskit.sampling.continuous:ReverseSDE",
        "ode": "qdm_qiskit.sampling.continuous:FlowODE",
    },
    check_sampler,
)
"""The process's own chain, DDPM, DDIM, Analytic-DPM, DPM-Solver++, the reverse SDE, the ODE and
others' samplers."""
SCHEDULERS = tuple(SAMPLERS.built_in)
"""Names of this package's own samplers."""


def find_sampler(sampler: str | Sampler, eta: float = 0.0) -> Sampler:
    """Return the sampler of a name, or the given one, with its options.

    Args:
        sampler: A name in :data:`SAMPLERS`, or an object, which needs no name there.
        eta: Value of the sampler's field of that name; 0 leaves the field alone.

    Raises:
        InvalidOption: If there is no such name, or the sampler takes no ``eta``.
        InvalidExtension: If another package's sampler cannot be loaded.
        InvalidArgument: If it is neither a name nor a sampler.
    """
    if isinstance(sampler, str):
        if sampler not in SAMPLERS:
            raise InvalidOption(
                f"scheduler is one of {', '.join(SAMPLERS.names())}; got {sampler!r}."
            )
        found = SAMPLERS.get(sampler)
    elif isinstance(sampler, type | Sampler):
        found = check_sampler(sampler)
    else:
        raise wrong(sampler, "sampler", "a name or a Sampler")
    options: Any = found
    takes_eta = is_dataclass(options) and any(field.name == "eta" for field in fields(options))
    if not 0 <= eta <= 1 or (eta and not takes_eta):
        raise InvalidOption(
            f"eta is 0 to 1, and 0 unless the scheduler takes it, as ddim does; got {eta} with "
            f"'{found.name}'."
        )
    if eta and takes_eta:
        changed: Sampler = replace(options, eta=eta)
        return changed
    return found


def sampler_origin(sampler: str | Sampler) -> Origin:
    """Return where a sampler comes from, for records."""
    return SAMPLERS.origin(sampler) if isinstance(sampler, str) else origin_of(sampler)


def planned_chain(
    process: DiffusionProcess, scheduler: str | Sampler, steps: int | None = None, eta: float = 0.0
) -> tuple[Sampler, list[int]]:
    """Return a sampler that fits the process, and the times that it visits.

    Args:
        process: The process that the model was trained with.
        scheduler: Name of a sampler, or the sampler.
        steps: Steps of the chain; None leaves it to the sampler, which takes all T as a rule.
        eta: Share of DDPM's noise that DDIM adds, 0 to 1.

    Raises:
        InvalidOption: If the sampler does not fit the process or the options, with the rule.
        InvalidData, InvalidExtension: If another package's sampler lists no proper times, or fails.
    """
    of_kind(process, DiffusionProcess, "process", "make_process(config) makes one")
    steps = None if steps is None else whole_number(steps, "steps")
    eta = real_number(eta, "eta")
    sampler = find_sampler(scheduler, eta)
    if sampler.takes == "noise" and process.noise_betas is None:
        raise InvalidOption(
            f"Scheduler '{sampler.name}' needs a model that predicts the noise of a Gaussian process, "
            "but this run was trained for another prediction: leave scheduler out."
        )
    if steps is not None and not 1 <= steps <= process.num_steps:
        raise InvalidOption(
            f"The number of inference steps is 1 to {process.num_steps}, got {steps}."
        )
    times = checked_times(sampler, process, steps)
    if sampler.takes == "noise":
        _check_gain(process, sampler.name, times)
    return sampler, times


def check_scheduler(
    process: DiffusionProcess, scheduler: str | Sampler, steps: int | None, eta: float
) -> None:
    """Refuse a sampler that the process or the options do not fit; see :func:`planned_chain`."""
    planned_chain(process, scheduler, steps, eta)


def scheduled_chain(
    process: DiffusionProcess,
    prediction: Predictor,
    x: Tensor,
    generators: Callable[[int], torch.Generator],
    *,
    scheduler: str | Sampler = "process",
    steps: int | None = None,
    eta: float = 0.0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Walk from x_T to x_0 by a sampler.

    Args:
        process, prediction, x: As for :func:`~qdm_qiskit.diffusion.reverse_chain`.
        generators: The noise stream of each step, by its t.
        scheduler: A sampler or its name; "process" for the process's own chain.
        steps: Steps of the chain, None for all T.
        eta: Share of DDPM's noise that DDIM adds.
        on_step: Called after each step with the number of steps left.

    Returns:
        x_0 as data in [0, 1].

    Raises:
        InvalidOption: As :func:`planned_chain`.
        InvalidData: If a prediction or a state is not finite; the message names the step.
        InvalidExtension: If another package's sampler fails.
    """
    sampler, times = planned_chain(process, scheduler, steps, eta)
    check_chain(process, prediction, x, generators)
    chain = Chain(process, sampler, times, x, generators)
    while (question := chain.question) is not None:
        if chain.advance(prediction(*question)) and on_step is not None:
            changed = on_step(chain.left, chain.x)
            if changed is not None:
                chain.replace(changed)
    return process.to_images(chain.x).clamp(0, 1)


def _check_gain(process: DiffusionProcess, name: str, times: Sequence[int]) -> None:
    """Refuse steps so wide that rounding errors of predictions would show.

    Raises:
        InvalidOption: If sqrt(alpha_bar) grows in a step by more than :data:`MOST_GAIN`.
    """
    u = u_of_steps(process)
    for step, following in pairwise([*times, 0]):
        digits = (u[step] - u[following]) / (2 * math.log(10))
        if digits > math.log10(MOST_GAIN):
            count = len(times)
            fewer = f"take more than {count} steps, or " if count < process.num_steps else ""
            raise InvalidOption(
                f"A step of scheduler '{name}' may raise sqrt(alpha_bar) by {MOST_GAIN:.0e}, as "
                f"float32 predictions resolve; from t={step} to t={following} it grows by "
                f"1e{digits:.0f}: {fewer}train with smaller betas."
            )
