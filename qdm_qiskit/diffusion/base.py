"""Contract of a diffusion process: training pairs, their loss, a start for sampling, reverse steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..arguments import of_kind, whole_number
from ..errors import InvalidOption

__all__ = [
    "MAX_STEPS",
    "DiffusionProcess",
    "Goal",
    "ImageProcess",
    "Predictor",
    "StateSpace",
    "TrainingPairs",
    "all_steps",
    "check_batch",
    "check_num_steps",
    "check_start",
    "squared_errors",
]

Predictor = Callable[[Tensor, int], Tensor]
"""``(x_t, t) -> prediction``, both ``(batch, ...)``."""
MAX_STEPS = 10_000
"""Most steps of a process; far more than any paper takes, and still no matter of memory."""

Goal = Literal["data", "noise"]
"""Kind of prediction: the image one step less noisy, or the noise."""

StateSpace = Literal["unit", "real", "complex", "complex_image"]
"""Space of x_t, and with it of the model's input and prediction.

``unit``: images in [0, 1], and predictions in [0, 1], as circuits give probabilities. ``real``: any
real arrays, predictions likewise. ``complex``: arrays of complex amplitudes with norm 1 over all but
the batch. ``complex_image``: complex arrays whose modulus is an image, with the image's norm.
"""


@dataclass(frozen=True)
class TrainingPairs:
    """Noisy states and what the model should say to them."""

    noisy: Tensor
    """``(pairs, ...)``: x_t."""
    step: Tensor
    """``(pairs,)`` integers t = 1 .. T."""
    target: Tensor
    """Values that the process wants predicted, of the shape of ``noisy``."""
    source: Tensor
    """``(pairs,)`` integers: which x_0 of the batch the pair belongs to."""


class DiffusionProcess(ABC):
    """A forward process on states and the reverse step that belongs to it."""

    state_space: ClassVar[StateSpace]
    """Space of x_t; a model of another state space cannot be trained with this process."""
    every_step: ClassVar[bool] = True
    """True if the training pairs of an x_0 are all T steps, rather than one step drawn."""
    compares_ensembles: ClassVar[bool] = False
    """True if a pair's loss depends on the rest of its batch, which then cannot be shared out."""
    keeps_prediction: ClassVar[bool] = False
    """True if x_{t-1} is the model's prediction and nothing else, so that a chain of circuits may run
    on from step to step without a measurement."""
    num_steps: int
    """T."""

    def __init__(self, num_steps: int) -> None:
        check_num_steps(num_steps)
        self.num_steps = int(num_steps)

    @property
    def noise_betas(self) -> Tensor | None:
        """beta_1 .. beta_T, ``(T,)``, of a process whose predictions are Gaussian noise, else None.

        Noise is eps in ``x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps``; samplers made for
        such models need no more than these.
        """
        return None

    @property
    def forward_betas(self) -> Tensor | None:
        """beta_1 .. beta_T, ``(T,)``, of a Gaussian forward process, whatever is predicted; or None."""
        return self.noise_betas

    def noised(self, x_0: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """x_t of x_0 at one step, drawn by itself.

        Args:
            x_0: ``(batch, ...)`` from :meth:`to_states`.
            step: t, 1 to T.
            generator: Source of the noise, on the CPU.

        Raises:
            InvalidOption: If the process cannot be told for one step alone.
        """
        if self.forward_betas is None:
            raise InvalidOption(
                f"Process {type(self).__name__} makes ensembles noisy, no single image; choose a run "
                "of another process."
            )
        return _gaussian(x_0, self.forward_betas[:step], generator)

    def forward_steps(self, x: Tensor, step: int, later: int, generator: torch.Generator) -> Tensor:
        """x_later of x_step: noise added again, as resampling does.

        Args:
            x: ``(batch, ...)``: x_step.
            step: 0 to T - 1.
            later: Above ``step``, to T.
            generator: Source of the noise, on the CPU.

        Raises:
            InvalidOption: If the process has no step from one x_t to a later one.
        """
        if self.forward_betas is None:
            raise InvalidOption(
                f"Process {type(self).__name__} has no step from x_t to a later one; take 1 resample."
            )
        return _gaussian(x, self.forward_betas[step:later], generator)

    def to_states(self, images: Tensor) -> Tensor:
        """x_0 of data in [0, 1], ``(batch, ...)``: the data itself, unless a process overrides it."""
        return images

    def to_images(self, states: Tensor) -> Tensor:
        """Data of states, ``(batch, ...)`` real; in [0, 1] up to noise, which is not clamped here."""
        return states

    @abstractmethod
    def training_pairs(self, x_0: Tensor, generator: torch.Generator) -> TrainingPairs:
        """Noisy states of a batch with their targets.

        Args:
            x_0: ``(batch, ...)`` from :meth:`to_states`.
            generator: Source of the noise, on the CPU.

        Returns:
            One pair or several for each state.
        """

    def as_generated(
        self, pairs: TrainingPairs, prediction: Predictor, generator: torch.Generator
    ) -> TrainingPairs:
        """Pairs whose inputs the model made, for processes that train on those; else the pairs.

        Args:
            pairs: From :meth:`training_pairs`.
            prediction: The model.
            generator: Source of randomness of the chain.
        """
        return pairs

    def predicted_target(self, prediction: Tensor) -> Tensor:
        """The model's prediction as a prediction of the target; the prediction itself by default."""
        return prediction

    def noise_of(self, prediction: Tensor, step: Tensor | float, x: Tensor | None = None) -> Tensor:
        """The noise that a prediction stands for, where :attr:`noise_betas` is given.

        Args:
            prediction: The model's prediction.
            step: The step t, or one for each row.
            x: The states that it was made from; a predicted velocity needs them.
        """
        return self.predicted_target(prediction)

    @abstractmethod
    def losses(self, prediction: Tensor, pairs: TrainingPairs) -> Tensor:
        """The loss of each pair, ``(pairs,)``; their mean is what training lowers.

        Args:
            prediction: The model's prediction, of the shape of ``pairs.noisy``.
            pairs: From :meth:`training_pairs`.
        """

    @abstractmethod
    def identity_losses(self, pairs: TrainingPairs) -> Tensor:
        """The losses of a map that does nothing, ``(pairs,)``: it keeps x_t, or predicts no noise."""

    @abstractmethod
    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """A sample of x_T, of shape ``(batch, ...)``."""

    @abstractmethod
    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """x_{t-1} from x_t and the model's prediction at step t = ``step``."""


def check_batch(x_0: Tensor, generator: torch.Generator) -> None:
    """Refuse what is no tensor of states, or no generator.

    Raises:
        InvalidArgument: With the name of the argument.
    """
    of_kind(x_0, Tensor, "x_0", "torch.as_tensor makes one")
    of_kind(generator, torch.Generator, "generator")


def check_start(shape: tuple[int, ...], generator: torch.Generator) -> None:
    """Refuse what is no shape, or no generator.

    Raises:
        InvalidArgument: With the name of the argument.
    """
    of_kind(shape, tuple | list, "shape", "a batch and the shape of a state")
    of_kind(generator, torch.Generator, "generator")


class ImageProcess(DiffusionProcess):
    """A process on images in [0, 1] that trains all T steps of one forward path at once.

    Models predict in [0, 1], because circuits give probabilities; :meth:`predicted_target` maps that
    prediction to the goal's range.
    """

    state_space = "unit"
    goal: Goal

    def __init__(self, num_steps: int, goal: Goal) -> None:
        super().__init__(num_steps)
        if goal not in ("data", "noise"):
            raise InvalidOption(f"goal is 'data' or 'noise', got {goal!r}.")
        self.goal = goal

    @abstractmethod
    def trajectory(self, x_0: Tensor, generator: torch.Generator) -> Tensor:
        """One forward path for each image.

        Args:
            x_0: ``(batch, channels, height, width)`` in [0, 1].
            generator: Source of the noise.

        Returns:
            ``(T + 1, batch, channels, height, width)``: x_0 .. x_T.
        """

    @abstractmethod
    def noise_target(self, path: Tensor) -> Tensor:
        """The noise that the model should predict at x_1 .. x_T of a path, ``(T, batch, ...)``."""

    @abstractmethod
    def predicted_target(self, prediction: Tensor) -> Tensor:
        """The model's prediction in [0, 1] as a prediction of the goal; affine."""

    def training_pairs(self, x_0: Tensor, generator: torch.Generator) -> TrainingPairs:
        """All T pairs of one forward path for each image.

        Args:
            x_0: ``(batch, channels, height, width)`` in [0, 1].
            generator: Source of the noise.

        Returns:
            ``T * batch`` pairs; the first ``batch`` belong to t = 1.
        """
        check_batch(x_0, generator)
        path = self.trajectory(x_0, generator)
        target = path[:-1] if self.goal == "data" else self.noise_target(path)
        steps, source = all_steps(self.num_steps, x_0)
        return TrainingPairs(path[1:].flatten(0, 1), steps, target.flatten(0, 1), source)

    def losses(self, prediction: Tensor, pairs: TrainingPairs) -> Tensor:
        """Mean squared error over the pixels of each pair."""
        return squared_errors(self.predicted_target(prediction), pairs.target)

    def identity_losses(self, pairs: TrainingPairs) -> Tensor:
        """See :meth:`DiffusionProcess.identity_losses`."""
        return squared_errors(self.identity_prediction(pairs), pairs.target)

    def identity_prediction(self, pairs: TrainingPairs) -> Tensor:
        """Return the prediction of a map that does nothing: the noisy image itself, or no noise."""
        return pairs.noisy if self.goal == "data" else torch.zeros_like(pairs.noisy)


def check_num_steps(num_steps: int) -> None:
    """Refuse a T that no process takes.

    Raises:
        InvalidOption: If it is below 1 or above :data:`MAX_STEPS`.
        InvalidArgument: If it is no whole number.
    """
    num_steps = whole_number(num_steps, "num_steps")
    if not 1 <= num_steps <= MAX_STEPS:
        raise InvalidOption(f"num_steps must be 1 to {MAX_STEPS}, got {num_steps}.")


def all_steps(num_steps: int, x_0: Tensor) -> tuple[Tensor, Tensor]:
    """Steps and sources of all T pairs of each x_0, step by step: two ``(T * batch,)`` tensors."""
    batch, device = len(x_0), x_0.device
    steps = torch.arange(1, num_steps + 1, device=device).repeat_interleave(batch)
    return steps, torch.arange(batch, device=device).repeat(num_steps)


def _gaussian(x: Tensor, betas: Tensor, generator: torch.Generator) -> Tensor:
    """Return x after Gaussian steps of these betas."""
    log = float(torch.log1p(-betas.double()).sum())
    noise = torch.randn(x.shape, generator=generator).to(x)
    return math.exp(log / 2) * x + math.sqrt(-math.expm1(log)) * noise


def squared_errors(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each row over all its other axes, ``(rows,)``."""
    return (prediction - target).square().flatten(1).mean(dim=1)
