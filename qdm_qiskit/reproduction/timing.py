"""Processor times of training steps of two models, in turn in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch

from ..diffusion import InterpolatedNoise
from ..errors import InvalidOption
from ..models import build_model, resolve
from ..progress import Message, Progress, silent
from .card import Found, Scale, Timing

__all__ = ["IMAGES", "ROUNDS", "STEPS", "in_turn", "quantiles", "timed", "training_step"]

IMAGES, STEPS = 20, 10
"""Images of a batch, and steps of diffusion: every image is in a batch with all its steps."""
ROUNDS: dict[Scale, int] = {"minutes": 40, "full": 400}
"""Steps of each model. The papers do not say how many theirs had; more of them narrow the interval."""


def training_step(model: str, options: Mapping[str, Any]) -> Callable[[], None]:
    """Return a training step: forward pass, loss, gradient and Adam's step, on numbers for images.

    Args:
        model: A model that learns images of one channel from Kölle's interpolated noise.
        options: Its options, ``image_size`` among them.

    Raises:
        InvalidOption: If it learns something else than images.
        UnknownName, InvalidOption: If there is no such model or option.
    """
    generator = torch.Generator().manual_seed(0)
    denoiser = build_model(resolve(model, dict(options)), generator=generator)
    shape = tuple(denoiser.image_shape)
    if denoiser.state_shape != shape:
        raise InvalidOption(f"Steps of models of images are timed; '{model}' learns other values.")
    process = InterpolatedNoise(STEPS)
    pairs = process.training_pairs(torch.rand(IMAGES, *shape, generator=generator), generator)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=0.01)

    def step() -> None:
        optimizer.zero_grad()
        prediction = denoiser(pairs.noisy, pairs.step / STEPS)
        process.losses(prediction, pairs).mean().backward()
        optimizer.step()

    return step


def in_turn(
    steps: Mapping[str, Callable[[], None]],
    rounds: int,
    *,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Return the seconds of processor time of each step, one after the other in every round.

    A round before the first is not counted: it compiles.
    """
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(rounds + 1):
        for name, step in steps.items():
            started = clock()
            step()
            if round_:
                taken[name].append(clock() - started)
    return taken


def quantiles(values: list[float]) -> tuple[float, float, float]:
    """Return the median and the values below which 5 and 95 percent are."""
    ordered = sorted(values)
    cut = len(ordered) // 20
    return median(ordered), ordered[cut], ordered[-1 - cut]


def timed(
    timing: Timing,
    scale: Scale = "minutes",
    *,
    clock: Callable[[], float] = time.process_time,
    progress: Progress = silent,
) -> Found:
    """Return the processor time of a model's training step over another's, round by round.

    One thread computes, so on an idle machine it is the time on the wall too; with other processes
    beside it that would count their turns.

    Args:
        timing: Both models.
        scale: How many rounds.
        clock: Seconds of this process.
        progress: Receives a message for the pair.

    Returns:
        The median over rounds, and as interval the middle 90 percent of them.

    Raises:
        InvalidOption, UnknownName: See :func:`training_step`.
    """
    progress(Message(f"timing {timing.model} and {timing.over}, {ROUNDS[scale]} steps each"))
    steps = {
        "model": training_step(timing.model, timing.options),
        "over": training_step(timing.over, timing.over_options),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        taken = in_turn(steps, ROUNDS[scale], clock=clock)
    finally:
        torch.set_num_threads(threads)
    middle, low, high = quantiles(
        [one / other for one, other in zip(taken["model"], taken["over"], strict=True)]
    )
    return Found(value=middle, low=low, high=high)
