"""One run of a sweep, as an item of work."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import read_json_object
from ..training import RunConfig, TrainingResult, find_checkpoint, run_from_dict, train
from ..training.checkpoint import checkpoints
from ..training.transfer import FOLDER
from ..work import Outcome, Stopped, WorkItem

__all__ = ["BOARD", "failures_of", "loss_of", "train_item", "train_run"]

BOARD = "tensorboard"
"""The tracker of a run that names none."""


def train_item(
    name: str, config: RunConfig, epochs: int, threads: int, log_with: Sequence[str] = (BOARD,)
) -> WorkItem:
    """Return the item that trains a run up to so many epochs.

    Args:
        name: The run.
        config: All of it.
        epochs: Epochs of the run when the item is done.
        threads: CPU threads of torch.
        log_with: Trackers of metrics, which do not change the run.
    """
    content = config.with_epochs(epochs).to_dict()
    arguments = {"name": name, "config": content, "threads": threads}
    return WorkItem(f"{name}@{epochs}", train_run, arguments, {"log_with": list(log_with)})


def loss_of(result: Mapping[str, Any] | None) -> float | None:
    """Return the test loss that an item ended with; None of one that did not end."""
    return None if result is None else float(result["metrics"]["test_loss"])


def failures_of(outcome: Outcome, items: Mapping[str, WorkItem]) -> dict[str, str]:
    """Return one line for each run whose item failed.

    Args:
        outcome: What came of the items.
        items: The items by their run's name.
    """
    return {
        name: outcome.failures[item.address]
        for name, item in items.items()
        if item.address in outcome.failures
    }


def train_run(
    folder: Path,
    *,
    name: str,
    config: dict[str, Any],
    threads: int,
    log_with: Sequence[str] = (BOARD,),
) -> dict[str, Any]:
    """Train a run, or the rest of it from its last checkpoint.

    Args:
        folder: The sweep's.
        name: The run; its folder is ``folder/runs/name``.
        config: Result of ``RunConfig.to_dict``.
        threads: CPU threads of torch: the last bits of a sum may depend on them.
        log_with: Trackers of metrics beside the run's folder; none of them if empty.

    Returns:
        ``epochs``; ``metrics``, those of the config's last epoch; and ``weights``, the SHA-256 of the
        file of the checkpoint's weights.

    Raises:
        Stopped: If it was interrupted; it is checkpointed.
        Others: As :func:`~qdm_qiskit.training.train`.
    """
    import torch

    run, wanted = folder / "runs" / name, run_from_dict(config)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        result = _train(wanted, run, list(log_with) or "none")
    finally:
        torch.set_num_threads(before)
    if result.interrupted:
        raise Stopped(f"{name} stands at epoch {result.epochs}")
    weights = find_checkpoint(run) / "model.safetensors"
    return {
        "epochs": result.epochs,
        "metrics": result.history[wanted.training.epochs - 1],
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }


def _train(config: RunConfig, run: Path, log_with: str | list[str]) -> TrainingResult:
    if not checkpoints(run) and not checkpoints(run / FOLDER):
        return train(config, run, log_with=log_with)
    saved = run_from_dict(read_json_object(run / "config.json"))
    # Of a killed worker: the run stands further than this item wants, if a later one had begun.
    epochs = max(saved.training.epochs, config.training.epochs)
    return train(saved.with_epochs(epochs), run, resume="latest", log_with=log_with)
