"""Hyperparameters of a run in TensorBoard's own table."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .config import RunConfig

__all__ = ["log_hyperparameters", "plain_options"]

METRICS = ("test_loss", "train_loss")
"""Metrics that TensorBoard shows beside the hyperparameters."""


def plain_options(config: RunConfig) -> dict[str, Any]:
    """Return all options of a run by name, as numbers, texts, True and False."""
    options: dict[str, Any] = {"model": config.model, "preset": config.preset}
    for section in (config.model_options, config.data, config.diffusion, config.training):
        options |= asdict(section)
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in options.items()
    }


def log_hyperparameters(writer: Any, config: RunConfig) -> None:
    """Write a run's options into the log that its metrics go to.

    The writer's own ``add_hparams`` would begin a log of another name for each call, beside the
    run's.

    Args:
        writer: A ``SummaryWriter`` of torch.
        config: The run.
    """
    from torch.utils.tensorboard.summary import hparams  # slow to import

    for summary in hparams(plain_options(config), dict.fromkeys(METRICS, 0.0)):
        writer.file_writer.add_summary(summary)
