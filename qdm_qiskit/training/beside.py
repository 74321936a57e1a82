"""What stands beside a run of a latent model: fitted when the run ends, kept in its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..data import Split
from ..diffusion import VelocityPrediction
from ..errors import InvalidData, MissingData
from ..files import read_json_object, write_bytes, write_json
from ..models import Denoiser
from ..models.beside import ClassGaussian, LinearMap, make_beside
from ..models.on_latents import ComparedLatents, OnLatents
from ..models.plain_optimizers import Adam
from ..progress import Message, Progress, silent
from ..rng import derived_seed
from .config import RunConfig
from .epoch_end import CHUNK, TEST_STREAM
from .objective import Objective
from .optimizers import set_learning_rate
from .run_data import EpochBatches, class_indices, classes_of

__all__ = [
    "FOLDER",
    "SCHEMA",
    "Beside",
    "fit_beside",
    "has_beside",
    "load_beside",
    "loss_table",
    "read_losses",
    "test_losses",
    "write_beside",
]

FOLDER = "beside"
SCHEMA = "qdm-beside/1"
DRAWS = 8
"""Noise draws of a test image in the table of losses, and of a training image in the linear fit."""


@dataclass(frozen=True)
class Beside:
    """Loss of a denoiser on the test images, and its distance from the model's own loss."""

    loss: float
    parameters: int
    above: float
    """Mean over the images of its loss less the model's, on the same noise."""
    half: float
    """Half of the 95 % interval of that difference, over the test images."""


def has_beside(model: Denoiser, config: RunConfig) -> bool:
    """Return True if other denoisers are fitted beside a run."""
    velocities = config.diffusion.process == "velocity"
    return isinstance(model, ComparedLatents) and velocities and config.training.baseline


def fit_beside(
    model: ComparedLatents,
    process: VelocityPrediction,
    config: RunConfig,
    split: Split,
    progress: Progress = silent,
) -> dict[str, OnLatents]:
    """Fit what stands beside a model: in closed form, or on the very pairs that the model saw.

    Args:
        model: The trained model.
        process: Its process.
        config: The run: epochs, batches, step size, seed.
        split: Its images.
        progress: Receives the progress messages.
    """
    seed = config.training.seed
    generator = torch.Generator().manual_seed(derived_seed(seed, "init", 3))
    found = make_beside(model, process, generator)
    images = torch.from_numpy(split.train.images)
    labels = torch.from_numpy(class_indices(split.train.labels, classes_of(split)))
    objective = Objective(process, model)
    classes = labels if model.config.classes_told is not None else None
    with torch.no_grad():
        x_0 = process.to_states(model.encode_data(images))
    for name, each in found.items():
        progress(Message(f"fitting {name}"))
        if isinstance(each, ClassGaussian):
            each.fit(x_0, labels)
        elif isinstance(each, LinearMap):
            again = x_0.repeat(DRAWS, 1)
            source = torch.Generator().manual_seed(derived_seed(seed, "noise", 0, 0, 1))
            pairs = process.training_pairs(again, source)
            told = None if classes is None else classes.repeat(DRAWS)
            each.fit(pairs.noisy, pairs.step / process.num_steps, told, pairs.target)
        else:
            _train(each, objective, x_0, classes, config)
        each.eval()
    return found


def _train(
    model: OnLatents, objective: Objective, x_0: Tensor, labels: Tensor | None, config: RunConfig
) -> None:
    """Train by Adam on the run's own batches, steps and noise."""
    training = config.training
    weights = [each for each in model.parameters() if each.requires_grad]
    optimizer = Adam(weights, lr=training.learning_rate)
    batches = EpochBatches(len(x_0), training.batch_size, training.seed)
    model.train()
    for epoch in range(training.epochs):
        batches.epoch = epoch
        set_learning_rate(optimizer, training, epoch=epoch)
        for number, rows in enumerate(batches):
            seed = derived_seed(training.seed, "noise", epoch, number, 0)
            noise = torch.Generator().manual_seed(seed)
            pairs = objective.process.training_pairs(x_0[rows], noise)
            told = None if labels is None else labels[rows]
            loss = objective.losses(model, pairs, told).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@torch.no_grad()
def test_losses(
    learners: Mapping[str, Denoiser],
    model: ComparedLatents,
    process: VelocityPrediction,
    config: RunConfig,
    split: Split,
) -> dict[str, np.ndarray]:
    """Return the mean loss of each test image over :data:`DRAWS` noise draws, the same for all.

    Args:
        learners: Denoisers by name.
        model: The model, whose codec encodes.
        process, config, split: As for :func:`fit_beside`.

    Returns:
        ``(test images,)`` for each name, and for "identity".
    """
    objective = Objective(process, model)
    labels = torch.from_numpy(class_indices(split.test.labels, classes_of(split)))
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("identity", *learners)}
    for part, start in enumerate(range(0, len(split.test), CHUNK)):
        images = torch.from_numpy(split.test.images[start : start + CHUNK])
        told = labels[start : start + CHUNK] if model.config.classes_told is not None else None
        sums = {name: torch.zeros(len(images)) for name in found}
        for draw in range(DRAWS):
            seed = derived_seed(config.training.seed, "noise", TEST_STREAM, part, draw)
            pairs = objective.pairs(images, torch.Generator().manual_seed(seed))
            sums["identity"] = sums["identity"] + process.identity_losses(pairs)
            for name, each in learners.items():
                sums[name] = sums[name] + objective.losses(each, pairs, told)
        for name, total in sums.items():
            found[name].append((total / DRAWS).double().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def loss_table(
    losses: Mapping[str, np.ndarray], parameters: Mapping[str, int]
) -> dict[str, Beside]:
    """Return losses beside that of "model", with the paired interval of the difference."""
    own = losses["model"]
    return {
        name: Beside(
            loss=float(each.mean()),
            parameters=parameters.get(name, 0),
            above=float((each - own).mean()),
            half=1.96 * float((each - own).std(ddof=1)) / math.sqrt(len(own)),
        )
        for name, each in losses.items()
    }


def write_beside(
    run: Path,
    model: ComparedLatents,
    process: VelocityPrediction,
    config: RunConfig,
    split: Split,
    progress: Progress = silent,
) -> dict[str, Beside]:
    """Fit, measure, and keep all in the run's folder; the table of losses is written last."""
    beside = fit_beside(model, process, config, split, progress)
    learners = {"model": model, **beside}
    table = loss_table(
        test_losses(learners, model, process, config, split),
        {name: each.num_parameters for name, each in learners.items()},
    )
    for name, each in beside.items():
        state = {
            key: value.detach().contiguous()
            for key, value in each.state_dict().items()
            if not key.startswith("codec.")
        }
        write_bytes(run / FOLDER / f"{name}.safetensors", save(state))
    rows = {name: vars(each) for name, each in table.items()}
    write_json(run / FOLDER / "losses.json", {"schema": SCHEMA, "losses": rows})
    return table


def read_losses(run: Path) -> dict[str, Beside]:
    """Return the table of losses of a run; empty if it has none.

    Raises:
        InvalidData: If its file cannot be used.
    """
    path = run / FOLDER / "losses.json"
    if not path.is_file():
        return {}
    content: dict[str, Any] = read_json_object(path)
    try:
        if content["schema"] != SCHEMA:
            raise ValueError(content["schema"])
        return {
            name: Beside(
                float(row["loss"]), int(row["parameters"]), float(row["above"]), float(row["half"])
            )
            for name, row in content["losses"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidData(f"{path} is no table of losses of schema '{SCHEMA}': {error}.") from error


def load_beside(
    run: Path, model: ComparedLatents, process: VelocityPrediction
) -> dict[str, OnLatents]:
    """Return what stands beside a run's model, with the model's codec.

    Args:
        run: The run's folder.
        model: Its model.
        process: Its process.

    Raises:
        MissingData: If there is nothing.
        InvalidData: If a file cannot be used.
    """
    if not (run / FOLDER / "losses.json").is_file():
        raise MissingData(f"{run} has nothing beside its model; train with baseline=true.")
    found = make_beside(model, process)
    for name, each in found.items():
        path = run / FOLDER / f"{name}.safetensors"
        try:
            state = load_file(path)
            missing, unknown = each.load_state_dict(state, strict=False)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InvalidData(f"{path} cannot be used: {error}") from error
        if unknown or any(not key.startswith("codec.") for key in missing):
            raise InvalidData(f"{path} cannot be used: it belongs to another model.")
        each.eval()
    return found
