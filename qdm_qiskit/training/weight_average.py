"""A moving average of a model's weights, which is what De Falco et al. sample from."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from ..models import Denoiser

if TYPE_CHECKING:
    from diffusers.training_utils import EMAModel

__all__ = [
    "COPIED_STEPS",
    "EVERY",
    "LARGEST_DECAY",
    "WeightAverage",
]

COPIED_STEPS, EVERY, LARGEST_DECAY = 100, 10, 0.995
"""Steps that copy the weights, steps between two updates after them, and the decay's upper end."""


class WeightAverage:
    """The average beside a model in training.

    Up to step 100 it is the model itself. Then each tenth step takes the share ``1 - decay`` of the
    model's weights, with ``decay = min(1 - (1 + k)**(-2/3), .995)`` for ``k = step - 101``.

    Args:
        model: The model, or an average that was saved.
        step: Optimizer steps that are behind it.
    """

    def __init__(self, model: Denoiser, step: int = 0) -> None:
        from diffusers.training_utils import EMAModel  # takes seconds to import

        self.model = deepcopy(model).requires_grad_(False).eval()
        self._average: EMAModel = EMAModel(
            self.model.parameters(),
            decay=LARGEST_DECAY,
            update_after_step=COPIED_STEPS,
            use_ema_warmup=True,
            inv_gamma=1.0,
            power=2 / 3,
        )
        self.step = step

    def decay(self, step: int) -> float:
        """The share that an update at this step keeps."""
        return self._average.get_decay(step)

    def update(self, model: Denoiser) -> None:
        """Count a step of the model and take it in.

        Args:
            model: The model in training, of the same shape.
        """
        self.step += 1
        if self.step > COPIED_STEPS and self.step % EVERY:
            return
        self._average.optimization_step = self.step - 1  # its own counter goes up first
        self._average.step(model.parameters())
        self._average.copy_to(self.model.parameters())
        # What batch normalisation has seen is an average already.
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)
