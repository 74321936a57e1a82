"""Shared part of the denoisers of complex states: checks, and weights for each time step."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidData, InvalidOption
from .base import Denoiser

__all__ = [
    "MAX_STEPS",
    "PROCESS",
    "StateDenoiser",
    "check_common",
    "check_depths",
]

MAX_STEPS = 1_000
"""Most time steps of a model with weights for each."""
PROCESS: Mapping[str, Any] = {
    "process": "complex_gaussian",
    "schedule": "constant",
    "beta_start": 0.01,
    "beta_end": 0.01,
}
"""The forward process of Cacioppo's published code and of QAMP's run of December."""


class StateDenoiser(Denoiser):
    """Denoiser whose x_t is a complex array of norm 1.

    Its options have ``num_steps``, T.
    """

    state_space = "complex"

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :meth:`Denoiser.forward`."""
        self.check_states(x)
        if labels is not None and not getattr(self.config, "guided", False):
            raise InvalidData(f"'{self.name}' is not guided and takes no labels.")
        prediction = self.denoise(x.flatten(1), self.rows(t, len(x)), labels)
        return prediction.reshape(x.shape)

    @abstractmethod
    def denoise(self, x: Tensor, rows: Tensor, labels: Tensor | None) -> Tensor:
        """Return the prediction from flat states.

        Args:
            x: ``(batch, amplitudes)`` complex.
            rows: ``(batch,)`` int64: steps from 0 to T - 1.
            labels: ``(batch,)`` class indices for guided models, else None.

        Returns:
            ``(batch, amplitudes)`` complex with norm 1.
        """

    def rows(self, t: Tensor, batch: int) -> Tensor:
        """Return steps counted from 0, ``(batch,)`` int64, of times in (0, 1].

        Raises:
            InvalidData: If there is not one time for each state, or it is out of range.
        """
        if t.shape != (batch,):
            raise InvalidData(f"Times have shape ({batch},), got {tuple(t.shape)}.")
        steps = self.config.num_steps
        rows = torch.round(t.to(torch.float64) * steps)
        if not bool(((rows >= 1) & (rows <= steps)).all()):
            raise InvalidData(
                f"Times of '{self.name}' are 1/{steps} .. 1 in {steps} steps, got {t.min():.6g} to "
                f"{t.max():.6g}."
            )
        return rows.to(torch.int64) - 1

    def check_states(self, x: Tensor) -> None:
        """Refuse arrays that are no states of this model.

        Raises:
            InvalidData: If the shape or dtype differs, or a value is not finite.
        """
        if x.ndim == 0 or tuple(x.shape[1:]) != self.state_shape or not x.is_complex():
            shape = ", ".join(map(str, self.state_shape))
            raise InvalidData(
                f"'{self.name}' takes complex states of shape (batch, {shape}), got "
                f"{tuple(x.shape)} of {x.dtype}."
            )
        bad = ~torch.isfinite(torch.view_as_real(x)).flatten(1).all(dim=1)
        if bool(bad.any()):
            raise InvalidData(f"State {int(bad.nonzero()[0])} of {len(x)} holds NaN or infinity.")


def check_common(
    *, image_size: int, channels: int, num_steps: int, init_std: float, largest: int
) -> None:
    """Refuse options that no denoiser of states takes.

    Args:
        image_size, channels, num_steps, init_std: The options.
        largest: Largest image size.

    Raises:
        InvalidOption: If one is out of range.
    """
    if not 2 <= image_size <= largest or image_size & (image_size - 1):
        raise InvalidOption(
            f"image_size must be a power of two from 2 to {largest} (2, 4, 8, 16 ...), "
            f"got {image_size}."
        )
    if channels != 1:
        raise InvalidOption(f"Denoisers of states take grey images: channels is 1, got {channels}.")
    if not 1 <= num_steps <= MAX_STEPS:
        raise InvalidOption(f"num_steps must be 1 to {MAX_STEPS}, got {num_steps}.")
    if not (math.isfinite(init_std) and init_std >= 0):
        raise InvalidOption(f"init_std must be a finite number >= 0, got {init_std}.")


def check_depths(depths: tuple[int, ...], *, even: bool, most: int = 100) -> None:
    """Refuse depths that are not of three blocks, or that the blocks cannot have.

    Raises:
        InvalidOption: If there are not three, or one is odd, too small or too large.
    """
    least = 2 if even else 1
    if len(depths) != 3 or any(not least <= d <= most or (even and d % 2) for d in depths):
        kind = "even numbers" if even else "numbers"
        raise InvalidOption(
            f"depths are three {kind} from {least} to {most}, one for each block, as in 2,2,2; "
            f"got {','.join(map(str, depths))}."
        )
