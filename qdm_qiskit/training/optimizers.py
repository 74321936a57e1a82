"""Optimizers of a run, their step size over the epochs, and what a checkpoint holds of them."""

from __future__ import annotations

import torch

from ..models import Denoiser
from ..models.plain_optimizers import Adam, PlainOptimizer, RMSprop, Sgd, Shapes
from .config import TrainingConfig
from .natural_gradient import NaturalGradient

__all__ = [
    "make_optimizer",
    "set_learning_rate",
    "state_shapes",
]


def make_optimizer(model: Denoiser, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer of a model's weights.

    Args:
        model: The model.
        config: Says which, and its options.

    Raises:
        InvalidOption: If the optimizer cannot train this model.
    """
    betas = (0.9, config.second_moment)
    if config.optimizer == "natural":
        return NaturalGradient(
            model,
            learning_rate=config.learning_rate,
            circuit_learning_rate=_circuit_rate(config),
            regularisation=config.metric_regularisation,
            samples=config.metric_samples,
            blocks=config.metric_blocks,
            betas=betas,
            weight_decay=config.weight_decay,
        )
    if config.optimizer in ("spsa", "qn-spsa"):
        # Its library imports half of SciPy, which a run by any other optimizer need not wait for.
        from .spsa import Spsa

        return Spsa(
            model,
            kind=config.optimizer,
            learning_rate=config.learning_rate,
            perturbation=config.perturbation,
            seed=config.seed,
            regularisation=config.metric_regularisation,
            samples=config.metric_samples,
        )
    if config.optimizer == "sgd":
        return Sgd(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    if config.optimizer == "rmsprop":
        return RMSprop(
            model.parameters(),
            lr=config.learning_rate,
            alpha=config.second_moment,
            weight_decay=config.weight_decay,
        )
    return Adam(
        model.parameters(),
        lr=config.learning_rate,
        betas=betas,
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
    rates = [config.learning_rate] * len(optimizer.param_groups)
    if config.optimizer == "natural":
        rates[0] = _circuit_rate(config)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * config.decay_factor**decays


def state_shapes(optimizer: torch.optim.Optimizer) -> Shapes:
    """Return the shapes in the optimizer's state after a step, by parameter's position and entry.

    Args:
        optimizer: One of this package's.
    """
    assert isinstance(optimizer, PlainOptimizer)
    return optimizer.state_shapes()


def _circuit_rate(config: TrainingConfig) -> float:
    rate = config.circuit_learning_rate
    return config.learning_rate if rate is None else rate
