"""The loss of each image under a trained model: what a model remembers, it denoises better."""

from __future__ import annotations

import numpy as np
import torch

from ..arguments import whole_number
from ..diffusion import DiffusionProcess
from ..errors import InvalidOption
from ..models import Denoiser
from ..rng import derived_seed
from ..training.objective import Objective

__all__ = ["check_images_apart", "image_losses"]

_CHUNK = 256
_STREAM = 31  # of "evaluation"


def check_images_apart(process: DiffusionProcess) -> None:
    """Refuse processes whose loss compares whole ensembles: no image has a loss of its own there.

    Raises:
        InvalidOption: If so.
    """
    if process.compares_ensembles:
        raise InvalidOption(
            "Losses of single images are needed here, but this run's process compares ensembles of "
            "states: choose a model of images."
        )


@torch.no_grad()
def image_losses(
    model: Denoiser,
    process: DiffusionProcess,
    images: np.ndarray,
    positions: np.ndarray | None = None,
    *,
    repeats: int = 4,
    seed: int = 0,
) -> np.ndarray:
    """Return the training loss of each image, the mean over the steps and some draws of noise.

    The noise depends on the seed and an image's place alone: all models see the same.

    Args:
        model: In evaluation mode.
        process: Its process.
        images: ``(count, channels, height, width)`` float32 in [0, 1].
        positions: ``(count,)`` positions of the classes for a guided model, else None.
        repeats: Draws of noise for each image, at least 1.
        seed: Of the noise.

    Returns:
        ``(count,)`` float64.

    Raises:
        InvalidOption: If there are no repeats, or the process gives no loss by image.
    """
    check_images_apart(process)
    if whole_number(repeats, "repeats") < 1:
        raise InvalidOption(f"repeats must be at least 1, got {repeats}.")
    objective = Objective(process, model)
    sums = torch.zeros(len(images), dtype=torch.float64)
    counts = torch.zeros(len(images), dtype=torch.float64)
    for start in range(0, len(images), _CHUNK):
        part = torch.from_numpy(images[start : start + _CHUNK])
        told = None if positions is None else torch.from_numpy(positions[start : start + _CHUNK])
        for repeat in range(repeats):
            address = derived_seed(seed, "evaluation", _STREAM, start, repeat)
            generator = torch.Generator().manual_seed(address)
            pairs = objective.pairs(part, generator)
            pairs = objective.as_generated(model, pairs, told, generator)
            losses = objective.losses(model, pairs, told).double()
            sums.index_add_(0, pairs.source + start, losses)
            counts.index_add_(0, pairs.source + start, torch.ones_like(losses))
    return (sums / counts).numpy()
