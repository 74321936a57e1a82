"""Optimizers of a run, and their step size over the epochs."""

from __future__ import annotations

import torch

from ..models import Denoiser
from .config import TrainingConfig


def make_optimizer(model: Denoiser, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer of a model's weights.

    Args:
        model: The model.
        config: Says which, and its options.
    """
    return torch.optim.Adam(
        model.parameters(),
        lr=config.learning_rate,
        betas=(0.9, config.second_moment),
        weight_decay=config.weight_decay,
    )


def set_learning_rate(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, *, epoch: int
) -> None:
    """Give an optimizer the step size of an epoch: a function of the epoch, so that runs resume.

    Args:
        optimizer: From :func:`make_optimizer`.
        config: Step size and decay.
        epoch: Epochs that are complete.
    """
    decays = epoch // config.decay_every if config.decay_every else 0
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * config.decay_factor**decays
