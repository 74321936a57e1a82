"""Diffusion processes by name, made from options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from ..arguments import of_kind
from ..errors import InvalidOption
from ..options import settle
from .base import DiffusionProcess, Goal, check_num_steps
from .continuous import Predicts, VariancePreserving
from .depolarizing import Depolarizing, Scrambler
from .ensembles import EnsembleLoss
from .fitted_betas import SHORT_CHAIN, constant_beta, linear_ends
from .gaussian import GaussianChain
from .interpolated import InterpolatedNoise
from .interpolated_states import InterpolatedStates, StateLoss
from .level_kernels import flip_kernel, steps_of_walk, walk_kernel
from .levels import LevelChain
from .mixed_states import MixedStates
from .noise_prediction import NoisePrediction, Schedule
from .states import DATA_NORM, ComplexGaussian, NoiseKind
from .velocity import VelocityPrediction

__all__ = [
    "DiffusionConfig",
    "ProcessName",
    "make_process",
]

ProcessName = Literal[
    "interpolated",
    "gaussian",
    "ddpm",
    "vp_sde",
    "velocity",
    "interpolated_states",
    "complex_gaussian",
    "depolarizing",
    "mixed_states",
    "walk",
    "device",
]
"""The processes; :func:`make_process` makes each."""


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Options of the diffusion process."""

    process: ProcessName = "interpolated"
    """Kölle's interpolation with weights (t/T)^3, EEQDM's Gaussian chain, noise prediction in steps
    (`ddpm`) or in continuous time (`vp_sde`), predicted velocities (`velocity`), Kölle's interpolation
    of complex states, Cacioppo's Gaussian noise on complex states, ensembles of states that are
    depolarized, ensembles of `mixed_states`, grey levels moved by a quantum `walk`, or grey levels in
    bits that a `device` flips."""
    goal: Goal = "data"
    """Predict the image one step less noisy, or the noise."""
    num_steps: int = 10
    """T, at least 1."""
    beta_start: float | None = None
    """First beta of Gaussian noise, in (0, 1); None fits it to T: 0.02 at T = 10."""
    beta_end: float | None = None
    """Last beta of a linear schedule, in (0, 1); `complex_gaussian` would reach it at T + 1. None fits
    it to T: 0.6 at T = 10, and alpha_bar_T near 0.02 at any T."""
    schedule: Schedule = "linear"
    """Betas of `ddpm` and `complex_gaussian`: beta_start to beta_end, all beta_start, or cosine."""
    beta_min: float = 0.1
    """beta(0) of `vp_sde`."""
    beta_max: float = 20.0
    """beta(1) of `vp_sde`."""
    predicts: Predicts = "noise"
    """Kind of prediction of a model trained with `vp_sde`: the noise or the score."""
    weighted: bool = True
    """P2 weights in the loss of `ddpm`."""
    state_loss: StateLoss = "absolute"
    """Distance of complex predictions in `interpolated_states`, or its square."""
    noise: NoiseKind = "complex"
    """Noise of `complex_gaussian`: in real and imaginary parts, or in the real parts alone."""
    data_norm: float = DATA_NORM
    """L2 norm of x_0 in `complex_gaussian`, whose noise has variance 1 in each entry; above 0."""
    radius: float = 1.0
    """Largest value of x_0 in `velocity`: 1 for images, 3.5 for the whitened latents of `line`."""
    scrambler: Scrambler = "gates"
    """Way in which `depolarizing` diffuses states: by gates, or into Haar-random ones by chance."""
    ensemble_loss: EnsembleLoss = "mmd"
    """Distance of ensembles in `depolarizing` and in `mixed_states`, which knows no `trace`."""

    grey_levels: int = 17
    """Grey levels of `walk`, odd: places of its ring. Scikit-learn's digits have 17."""
    walk_steps: int | None = None
    """Steps of `walk` between two measurements; None takes the fewest that mix the levels in T."""
    decoherence: float = 0.1
    """Chance of a measurement after each step of `walk`: 0 is unitary, 1 the classical walk."""
    device: str = ""
    """Name of the device of `device`, whose chances of flipping a bit a run looks up as it begins."""
    flips: tuple[float, ...] = ()
    """Chances by which `device` reads 0 as 1 and 1 as 0, for each bit of a level, the least significant
    first; also measured ones of yours. A run with a device finds them."""

    def __post_init__(self) -> None:
        settle(self)
        make_process(self)

    def resolved(self) -> DiffusionConfig:
        """A copy in which both betas, and the steps of a walk, are numbers."""
        beta_start, beta_end = _betas_of(self)
        steps = self.walk_steps
        if self.process == "walk" and steps is None:
            steps = steps_of_walk(self.grey_levels, self.num_steps, self.decoherence)
        return replace(self, beta_start=beta_start, beta_end=beta_end, walk_steps=steps)


def _betas_of(config: DiffusionConfig) -> tuple[float, float]:
    """First and last beta; None is the default of this T where the process has betas."""
    start, end = SHORT_CHAIN.beta_start, SHORT_CHAIN.beta_end
    scheduled = config.process in ("ddpm", "complex_gaussian")
    if config.process == "gaussian" or (scheduled and config.schedule == "linear"):
        start, end = linear_ends(SHORT_CHAIN, config.num_steps)
    elif scheduled and config.schedule == "constant":
        start = constant_beta(SHORT_CHAIN, config.num_steps)
    return (
        start if config.beta_start is None else config.beta_start,
        end if config.beta_end is None else config.beta_end,
    )


def make_process(config: DiffusionConfig) -> DiffusionProcess:
    """The process that the options describe.

    Raises:
        InvalidOption: If an option is out of range.
    """
    of_kind(config, DiffusionConfig, "config")
    check_num_steps(config.num_steps)
    beta_start, beta_end = _betas_of(config)
    if config.process == "interpolated":
        return InterpolatedNoise(config.num_steps, config.goal)
    if config.process == "gaussian":
        return GaussianChain(
            config.num_steps,
            config.goal,
            beta_start=beta_start,
            beta_end=beta_end,
        )
    if config.process == "ddpm":
        return NoisePrediction(
            config.num_steps,
            schedule=config.schedule,
            beta_start=beta_start,
            beta_end=beta_end,
            weighted=config.weighted,
        )
    if config.process == "depolarizing":
        return Depolarizing(config.num_steps, scrambler=config.scrambler, loss=config.ensemble_loss)
    if config.process == "mixed_states":
        return MixedStates(config.num_steps, loss=config.ensemble_loss)
    if config.process == "vp_sde":
        return VariancePreserving(
            config.num_steps,
            beta_min=config.beta_min,
            beta_max=config.beta_max,
            predicts=config.predicts,
        )
    if config.process == "walk":
        steps = config.walk_steps
        if steps is None:
            steps = steps_of_walk(config.grey_levels, config.num_steps, config.decoherence)
        kernel = walk_kernel(config.grey_levels, steps, config.decoherence)
        return LevelChain(config.num_steps, kernel, config.goal)
    if config.process == "device":
        if not config.flips:
            raise InvalidOption(
                "Process 'device' knows the flips of bits: give device, such as fake_torino, to a run, "
                "or flips of your own."
            )
        return LevelChain(config.num_steps, flip_kernel(config.flips), config.goal)
    if config.process == "velocity":
        return VelocityPrediction(config.num_steps, radius=config.radius)
    if config.process == "interpolated_states":
        return InterpolatedStates(config.num_steps, config.goal, state_loss=config.state_loss)
    if config.process == "complex_gaussian":
        return ComplexGaussian(
            config.num_steps,
            config.goal,
            schedule=config.schedule,
            beta_start=beta_start,
            beta_end=beta_end,
            noise=config.noise,
            data_norm=config.data_norm,
        )
    raise InvalidOption(
        f"process is one of {', '.join(get_args(ProcessName))}, got {config.process!r}."
    )
