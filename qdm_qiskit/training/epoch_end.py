"""End of an epoch: losses on test images, a sample grid."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..arguments import checked_path
from ..data import ImageSet, save_grid
from ..diffusion import DiffusionProcess, reverse_chain
from ..errors import MissingData
from ..files import parse_json, write_text
from ..models import Denoiser
from ..rng import derived_seed
from .checkpoint import Learner
from .constant_predictions import LEAST_SPREAD, SPREADS, relative_spread
from .objective import Objective
from .run_data import class_indices

__all__ = [
    "CHUNK",
    "TEST_STREAM",
    "draw_samples",
    "measure_losses",
    "read_history",
    "write_history",
    "write_samples",
]

TEST_STREAM = 1_000_000_000
"""Index of the noise stream of test pairs: the same pairs in every epoch."""
CHUNK = 256
"""Test images that are measured at once."""


@torch.no_grad()
def measure_losses(
    objective: Objective,
    learners: dict[str, Learner],
    test: ImageSet,
    classes: np.ndarray,
    *,
    guided: bool,
    seed: int,
    device: torch.device,
) -> dict[str, float]:
    """Mean losses on the test images, on the same noise in every epoch.

    Where a process trains every step of each image, those of t = 1 stand beside the mean: the
    last step of the chain is the hardest, and a mean over T hides it.

    Args:
        objective: The run's.
        learners: "model", with the average of its weights if there is one, and perhaps "baseline".
        test: The test images.
        classes: All labels of the run, sorted.
        guided: Whether the model is told the labels; the baseline never is.
        seed: The run's.
        device: Where the models are.

    Returns:
        test_loss, identity_loss, and baseline_loss and average_loss where there are such. Where the
        predictions of model or baseline are constant, also their spread: see
        :mod:`qdm_qiskit.training.constant_predictions`.
    """
    process = objective.process
    sums: dict[str, float] = {}

    def add(key: str, value: Tensor | float, count: int) -> None:
        sums[key] = sums.get(key, 0.0) + float(value) * count

    for part, start in enumerate(range(0, len(test), CHUNK)):
        images = torch.from_numpy(test.images[start : start + CHUNK]).to(device)
        positions = class_indices(test.labels[start : start + CHUNK], classes)
        labels = torch.from_numpy(positions).to(device) if guided else None
        generator = torch.Generator().manual_seed(derived_seed(seed, "noise", TEST_STREAM, part))
        pairs = objective.pairs(images, generator)
        losses = {"identity_loss": process.identity_losses(pairs)}
        for name, learner in learners.items():
            told = labels if name == "model" else None
            given = objective.as_generated(learner.model, pairs, told, generator)
            key = "test_loss" if name == "model" else "baseline_loss"
            own = None if told is None else told[given.source]
            prediction = objective.prediction(learner.model, given.noisy, given.step, own)
            losses[key] = process.losses(prediction, given)
            steps = given.step if process.every_step else None
            spread = relative_spread(process.predicted_target(prediction), given.target, steps)
            if spread is not None:
                add(SPREADS[name], spread, len(images))
        average = learners["model"].average
        if average is not None:
            losses["average_loss"] = objective.losses(average.model, pairs, labels)
        first = pairs.step == 1
        for key, values in losses.items():
            add(key, values.mean(), len(images))
            if process.every_step and key in ("test_loss", "identity_loss"):
                add(f"{key}_first_step", values[first].mean(), len(images))
    means = {key: value / len(test) for key, value in sums.items()}
    return {k: v for k, v in means.items() if k not in SPREADS.values() or v < LEAST_SPREAD}


@torch.no_grad()
def draw_samples(
    model: Denoiser,
    process: DiffusionProcess,
    *,
    classes: Tensor | None,
    seed: int,
    epoch: int,
    device: torch.device,
    count: int = 16,
) -> np.ndarray:
    """Draw samples of an epoch, exactly.

    Args:
        model: What they are drawn from, not wrapped.
        process: The run's.
        classes: Positions of the classes that a guided model has seen, which its samples take in
            turn; else None.
        seed: The run's.
        epoch: Epochs that are complete; each has noise of its own.
        device: Where the model is.
        count: Samples.

    Returns:
        ``(count, channels, height, width)`` float32.

    Raises:
        InvalidData: If they are not finite.
    """
    labels = None
    if classes is not None:
        labels = classes[torch.arange(count) % len(classes)].to(device)

    def generator(step: int) -> torch.Generator:
        return torch.Generator().manual_seed(derived_seed(seed, "evaluation", epoch, step))

    def prediction(x: Tensor, step: int) -> Tensor:
        time = torch.full((count,), step / process.num_steps, device=device)
        return model(x, time, labels)

    start = process.start((count, *model.state_shape), generator(0)).to(device)
    images = model.decode_data(reverse_chain(process, prediction, start, generator))
    drawn: np.ndarray = images.cpu().numpy()
    return drawn


def write_samples(path: Path, samples: np.ndarray) -> None:
    """Write a grid of samples.

    Args:
        path: A PNG; its folder is made.
        samples: From :func:`draw_samples`.
    """
    path.parent.mkdir(exist_ok=True)
    save_grid(samples, path, overwrite=True)


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Write the metrics of all complete epochs, one JSON object a line."""
    write_text(path, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def read_history(run: str | Path) -> tuple[dict[str, float], ...]:
    """The metrics of a run, a row an epoch.

    Raises:
        MissingData: If there are none, or one is no number.
    """
    run = checked_path(run, "run")
    path = run / "metrics.jsonl"
    try:
        rows = tuple(parse_json(line) for line in path.read_bytes().splitlines())
    except (OSError, ValueError) as error:
        raise MissingData(f"{path} cannot be read: {error}.") from error
    if not rows or not all(isinstance(row, dict) and "test_loss" in row for row in rows):
        raise MissingData(f"{path} holds no metrics: train for at least one epoch.")
    for number, row in enumerate(rows, start=1):
        for name, value in row.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise MissingData(
                    f"{path} cannot be read: line {number} has no number for '{name:.40}'."
                )
    return rows
