"""Kölle's interpolation for the unitary single-sample model: states go in, states come out."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor

from ..errors import InvalidOption
from .base import DiffusionProcess, Goal, TrainingPairs, all_steps, check_batch, check_start
from .interpolated import InterpolatedNoise

__all__ = [
    "InterpolatedStates",
    "StateLoss",
]

StateLoss = Literal["absolute", "squared"]
"""``absolute``: mean of ``|prediction - x_{t-1}|``, the paper's MAE. ``squared``: mean of
``|prediction - x_{t-1}|**2``, that of the published code."""


@final
class InterpolatedStates(DiffusionProcess):
    """The path of :class:`InterpolatedNoise`, seen as complex arrays whose modulus is the image.

    The model predicts a complex array for x_{t-1}; its phase counts in the loss and is kept from
    step to step in sampling, so that T steps of a linear model are one linear map. Arrays carry the
    norm of their image, which a unitary model cannot change.

    Args:
        num_steps: T, at least 1; the paper takes 10.
        goal: "data"; a complex prediction predicts nothing else.
        state_loss: See :data:`StateLoss`.

    Raises:
        InvalidOption: If an argument is out of range.
    """

    state_space = "complex_image"
    keeps_prediction = True

    def __init__(
        self, num_steps: int = 10, goal: Goal = "data", *, state_loss: StateLoss = "absolute"
    ) -> None:
        super().__init__(num_steps)
        if goal != "data":
            raise InvalidOption(
                f"Process 'interpolated_states' predicts states: goal is 'data', got {goal!r}."
            )
        if state_loss not in ("absolute", "squared"):
            raise InvalidOption(f"state_loss is 'absolute' or 'squared', got {state_loss!r}.")
        self.state_loss = state_loss
        self.path = InterpolatedNoise(num_steps)

    def to_states(self, images: Tensor) -> Tensor:
        """The images as complex arrays."""
        return torch.complex(images, torch.zeros_like(images))

    def to_images(self, states: Tensor) -> Tensor:
        """Moduli, which a measurement gives."""
        return states.abs()

    def noised(self, x_0: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """See :meth:`.DiffusionProcess.noised`."""
        return self.to_states(self.path.noised(x_0.abs(), step, generator))

    def training_pairs(self, x_0: Tensor, generator: torch.Generator) -> TrainingPairs:
        """All T pairs of one forward path for each image; see :class:`InterpolatedNoise`."""
        check_batch(x_0, generator)
        path = self.to_states(self.path.trajectory(x_0.abs(), generator))
        steps, source = all_steps(self.num_steps, x_0)
        return TrainingPairs(path[1:].flatten(0, 1), steps, path[:-1].flatten(0, 1), source)

    def losses(self, prediction: Tensor, pairs: TrainingPairs) -> Tensor:
        """The distance of each prediction from x_{t-1}, as ``state_loss`` says."""
        return self._distance(prediction, pairs.target)

    def identity_losses(self, pairs: TrainingPairs) -> Tensor:
        """See :meth:`DiffusionProcess.identity_losses`."""
        return self._distance(pairs.noisy, pairs.target)

    def _distance(self, one: Tensor, other: Tensor) -> Tensor:
        distance = (one - other).abs().flatten(1)
        return (distance if self.state_loss == "absolute" else distance.square()).mean(dim=1)

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Noise images, as complex arrays."""
        check_start(shape, generator)
        return self.to_states(self.path.start(shape, generator))

    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """The prediction."""
        return prediction
