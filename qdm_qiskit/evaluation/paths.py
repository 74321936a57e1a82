"""The way of images into noise, as a process takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..layers.arrays import to_array
from ..rng import derived_seed
from ..sampling import TrainedRun

__all__ = [
    "MOMENTS",
    "forward_paths",
]

MOMENTS = 11
"""Moments of a strip, both ends included."""
_DRAWS = 2048  # of a process that draws one step for each image: enough to meet any moment nearly


@torch.no_grad()
def forward_paths(run: TrainedRun, images: Tensor, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images on their way to noise.

    A process that trains all steps of one path shows that path. One that draws a step for each image
    shows a fresh draw of noise at each moment.

    Args:
        run: The process and the model, which decodes what is diffused.
        images: ``(count, channels, height, width)``.
        seed: Of the noise.

    Returns:
        ``(moments, count, channels, height, width)`` in [0, 1], and the moments' steps t.
    """
    model, process = run.model.cpu(), run.process  # sampling may have left it on a GPU
    generator = torch.Generator().manual_seed(derived_seed(seed, "evaluation", 23))
    x_0 = process.to_states(model.encode_data(images))
    moments = [x_0]
    if process.every_step:
        steps = np.arange(process.num_steps + 1)
        moments += list(process.training_pairs(x_0, generator).noisy.split(len(x_0)))
    else:
        wanted = np.unique(np.linspace(1, process.num_steps, MOMENTS - 1).round().astype(int))
        columns = [_draws_near(process, each, wanted, generator) for each in x_0]
        moments += [torch.stack(row) for row in zip(*columns, strict=True)]
        steps = np.concatenate([[0], wanted])
    decoded = [to_array(model.decode_data(process.to_images(x)).clamp(0, 1)) for x in moments]
    return np.stack(decoded), steps


def _draws_near(
    process: Any, x_0: Tensor, wanted: np.ndarray, generator: torch.Generator
) -> list[Tensor]:
    """Noisy states of one x_0 at the steps nearest to those wanted among many draws."""
    pairs = process.training_pairs(x_0.expand(_DRAWS, *x_0.shape), generator)
    steps = pairs.step.numpy()
    return [pairs.noisy[int(np.abs(steps - step).argmin())] for step in wanted]
