"""Diffusion processes by name, made from options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..arguments import of_kind
from ..errors import InvalidOption
from .base import DiffusionProcess, Goal
from .continuous import Predicts, VariancePreserving
from .depolarizing import Depolarizing, Scrambler
from .ensembles import EnsembleLoss
from .gaussian import GaussianChain
from .interpolated import InterpolatedNoise
from .interpolated_states import InterpolatedStates, StateLoss
from .noise_prediction import NoisePrediction, Schedule
from .states import DATA_NORM, ComplexGaussian, NoiseKind

ProcessName = Literal[
    "interpolated",
    "gaussian",
    "ddpm",
    "vp_sde",
    "interpolated_states",
    "complex_gaussian",
    "depolarizing",
]
"""The processes; :func:`make_process` makes each."""


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Options of the diffusion process."""

    process: ProcessName = "interpolated"
    """Kölle's interpolation with weights (t/T)^3, EEQDM's Gaussian chain, noise prediction in steps
    (`ddpm`) or in continuous time (`vp_sde`), Kölle's interpolation of complex states, Cacioppo's
    Gaussian noise on complex states, or ensembles of states that are depolarized."""
    goal: Goal = "data"
    """Predict the image one step less noisy, or the noise."""
    num_steps: int = 10
    """T, at least 1."""
    beta_start: float = 0.02
    """First beta of Gaussian noise, in (0, 1)."""
    beta_end: float = 0.6
    """Last beta of a linear schedule, in (0, 1); `complex_gaussian` would reach it at T + 1."""
    schedule: Schedule = "linear"
    """Betas of `ddpm` and `complex_gaussian`: beta_start to beta_end, all beta_start, or cosine."""
    beta_min: float = 0.1
    """beta(0) of `vp_sde`."""
    beta_max: float = 20.0
    """beta(1) of `vp_sde`."""
    predicts: Predicts = "noise"
    """What a model trained with `vp_sde` answers: the noise or the score."""
    weighted: bool = True
    """P2 weights in the loss of `ddpm`."""
    state_loss: StateLoss = "absolute"
    """Distance of complex answers in `interpolated_states`, or its square."""
    noise: NoiseKind = "complex"
    """Noise of `complex_gaussian`: in real and imaginary parts, or in the real parts alone."""
    data_norm: float = DATA_NORM
    """L2 norm of x_0 in `complex_gaussian`, whose noise has variance 1 in each entry; above 0."""
    scrambler: Scrambler = "gates"
    """How `depolarizing` diffuses states: by gates, or into Haar-random ones by chance."""
    ensemble_loss: EnsembleLoss = "mmd"
    """Distance of ensembles in `depolarizing`."""

    def __post_init__(self) -> None:
        make_process(self)


def make_process(config: DiffusionConfig) -> DiffusionProcess:
    """The process that the options describe.

    Raises:
        InvalidOption: If an option is out of range.
    """
    of_kind(config, DiffusionConfig, "config")
    if config.process == "interpolated":
        return InterpolatedNoise(config.num_steps, config.goal)
    if config.process == "gaussian":
        return GaussianChain(
            config.num_steps,
            config.goal,
            beta_start=config.beta_start,
            beta_end=config.beta_end,
        )
    if config.process == "ddpm":
        return NoisePrediction(
            config.num_steps,
            schedule=config.schedule,
            beta_start=config.beta_start,
            beta_end=config.beta_end,
            weighted=config.weighted,
        )
    if config.process == "depolarizing":
        return Depolarizing(config.num_steps, scrambler=config.scrambler, loss=config.ensemble_loss)
    if config.process == "vp_sde":
        return VariancePreserving(
            config.num_steps,
            beta_min=config.beta_min,
            beta_max=config.beta_max,
            predicts=config.predicts,
        )
    if config.process == "interpolated_states":
        return InterpolatedStates(config.num_steps, config.goal, state_loss=config.state_loss)
    if config.process == "complex_gaussian":
        return ComplexGaussian(
            config.num_steps,
            config.goal,
            schedule=config.schedule,
            beta_start=config.beta_start,
            beta_end=config.beta_end,
            noise=config.noise,
            data_norm=config.data_norm,
        )
    raise InvalidOption(
        f"process is one of {', '.join(get_args(ProcessName))}, got {config.process!r}."
    )
