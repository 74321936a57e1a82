"""Diffusion processes by name, made from options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InvalidOption
from .base import DiffusionProcess, Goal
from .gaussian import GaussianChain
from .interpolated import InterpolatedNoise


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Options of the diffusion process."""

    process: Literal["interpolated", "gaussian"] = "interpolated"
    """Kölle's interpolation with weights (t/T)^3, or the Gaussian Markov chain."""
    goal: Goal = "data"
    """Predict the image one step less noisy, or the noise."""
    num_steps: int = 10
    """T, at least 1."""
    beta_start: float = 0.02
    """First beta of the Gaussian chain, in (0, 1)."""
    beta_end: float = 0.6
    """Last beta of the Gaussian chain, in (0, 1)."""

    def __post_init__(self) -> None:
        make_process(self)


def make_process(config: DiffusionConfig) -> DiffusionProcess:
    """The process that the options describe.

    Raises:
        InvalidOption: If an option is out of range.
    """
    if config.process == "interpolated":
        return InterpolatedNoise(config.num_steps, config.goal)
    if config.process == "gaussian":
        return GaussianChain(
            config.num_steps,
            config.goal,
            beta_start=config.beta_start,
            beta_end=config.beta_end,
        )
    raise InvalidOption(f"process is 'interpolated' or 'gaussian', got {config.process!r}.")
