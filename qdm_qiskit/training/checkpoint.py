"""Checkpoints: a folder for each, complete or absent, without pickles.

::

    checkpoints/step-00000120/
        config.json, model.safetensors      the model, as `models.save_model` writes it
        optimizer.safetensors               the optimizer's state
        baseline/ ...                       the classical baseline, the same three files
        average/ ...                        the average of the weights, where there is one
        state.json                          epoch, batch, step, loss history
    checkpoints/best/ ...                   the same, of the best epoch; never removed for its age
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..arguments import checked_path
from ..errors import InvalidCheckpoint, InvalidData, MissingData, OutputNotWritable
from ..files import read_json_object, write_json
from ..models import Denoiser, load_model, save_model
from ..models.pretrained import checked_file, load_tensors, save_tensors
from .optimizers import state_shapes
from .weight_average import WeightAverage

__all__ = [
    "AVERAGE",
    "BEST",
    "BEST_NAME",
    "SCHEMA",
    "Learner",
    "TrainingState",
    "checkpoints",
    "find_checkpoint",
    "load_learner",
    "load_training_state",
    "load_weights",
    "save_checkpoint",
    "weights_folder",
]

SCHEMA = "qdm-checkpoint/1"
AVERAGE = "average"
"""Folder of the averaged weights inside a checkpoint."""
BEST = "best"
"""Name of the checkpoint of the best epoch."""
BEST_NAME = re.compile(r"best(-[a-z0-9_]{1,32})?")
"""Names of checkpoints that stay."""
_NAME = re.compile(r"step-\d{8}")


@dataclass
class TrainingState:
    """Progress of a run."""

    epoch: int = 0
    """Epochs that are complete."""
    batch: int = 0
    """Batches of the current epoch that are complete."""
    step: int = 0
    """Optimizer steps in all."""
    loss_sum: float = 0.0
    """Sum of the losses of the current epoch's batches, weighted by their images."""
    images: int = 0
    """Images seen in the current epoch."""
    baseline_sum: float = 0.0
    """The same as ``loss_sum``, for the baseline."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row of metrics for each complete epoch."""


@dataclass
class Learner:
    """A model and its optimizer."""

    model: Denoiser
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None = None


def save_checkpoint(
    run: Path,
    learners: dict[str, Learner],
    state: TrainingState,
    keep: int,
    name: str | None = None,
) -> Path:
    """Write a checkpoint under ``run/checkpoints`` and remove the oldest beyond ``keep``.

    Args:
        run: The run's folder.
        learners: "model", and "baseline" where there is one.
        state: Where the run stands.
        keep: Checkpoints to keep, this one included.
        name: Name of a checkpoint that stays, as :data:`BEST_NAME` has it; None for one of its step.

    Returns:
        The checkpoint's folder.

    Raises:
        OutputNotWritable: If it cannot be written; earlier checkpoints are untouched.
    """
    folder = run / "checkpoints"
    final = folder / (name or f"step-{state.step:08d}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".part-{uuid.uuid4().hex}"
        part.mkdir()
    except OSError as error:
        raise OutputNotWritable(f"Cannot write {final}: {error.strerror or error}.") from error
    try:
        for whose, learner in learners.items():
            place = part if whose == "model" else part / whose
            save_model(learner.model, place)
            save_tensors(_optimizer_tensors(learner.optimizer), place / "optimizer.safetensors", {})
            if learner.average is not None:
                save_model(learner.average.model, place / AVERAGE)
        write_json(part / "state.json", {"schema": SCHEMA, **asdict(state)})
        if final.exists():
            shutil.rmtree(final)
        os.replace(part, final)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OutputNotWritable):
            raise
        raise OutputNotWritable(f"Cannot write {final}: {error.strerror or error}.") from error
    for old in [] if name else checkpoints(run)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def checkpoints(run: Path) -> list[Path]:
    """The run's checkpoint folders, oldest first, without those that stay."""
    folder = run / "checkpoints"
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if _NAME.fullmatch(each.name))


def find_checkpoint(run: str | Path, which: str = "latest") -> Path:
    """A checkpoint of a run.

    Args:
        run: The run's folder, or a checkpoint's own folder.
        which: "latest", or a name such as "step-00000120" or "best".

    Returns:
        The folder.

    Raises:
        InvalidCheckpoint: If the name is no checkpoint's name, such as a path out of the run.
        MissingData: If there is no such run or checkpoint.
    """
    run = checked_path(run, "run")
    if _is_name(run.name) and (run / "state.json").is_file() and which == "latest":
        return run
    if which != "latest" and not _is_name(which):
        raise InvalidCheckpoint(
            f"A checkpoint is called 'latest', 'best' or like 'step-00000120', got '{which}'."
        )
    found = checkpoints(run)
    if which != "latest":
        found += _staying(run)
    if not found:
        raise MissingData(
            f"There is no checkpoint in {run}; `qdm train --out {run}`, from Python train(name, run), "
            "makes one."
        )
    if which == "latest":
        return found[-1]
    for folder in found:
        if folder.name == which:
            return folder
    names = ", ".join(folder.name for folder in found)
    raise MissingData(f"There is no checkpoint '{which}' in {run}; there are: {names}.")


def _is_name(name: str) -> bool:
    return bool(_NAME.fullmatch(name) or BEST_NAME.fullmatch(name))


def _staying(run: Path) -> list[Path]:
    folder = run / "checkpoints"
    places = sorted(folder.iterdir()) if folder.is_dir() else []
    return [each for each in places if BEST_NAME.fullmatch(each.name)]


def load_weights(folder: str | Path) -> Denoiser:
    """The model of a checkpoint that is sampled from: the average where there is one.

    Raises:
        InvalidCheckpoint: If the files cannot be used.
    """
    folder = checked_path(folder, "folder")
    return load_model(weights_folder(folder))


def weights_folder(folder: Path) -> Path:
    """Return the place of those weights in a checkpoint."""
    average = folder / AVERAGE
    return average if average.is_dir() else folder


def load_training_state(folder: Path) -> TrainingState:
    """Return the progress of a run at a checkpoint.

    Raises:
        InvalidCheckpoint: If the file is missing, damaged or of another schema.
    """
    try:
        content = read_json_object(checked_file(folder, "state.json"))
        if content.pop("schema", None) != SCHEMA:
            raise InvalidData(f"{folder / 'state.json'} is not of schema '{SCHEMA}'.")
        state = TrainingState(**content)
    except (InvalidData, TypeError) as error:
        raise InvalidCheckpoint(f"{folder} cannot be resumed: {error}") from error
    counts = (state.epoch, state.batch, state.step, state.images)
    if not all(type(count) is int and count >= 0 for count in counts):
        raise InvalidCheckpoint(f"{folder} cannot be resumed: its counts are {counts}.")
    if (state.batch == 0) != (state.images == 0):
        raise InvalidCheckpoint(
            f"{folder} cannot be resumed: {state.batch} batches of {state.images} images."
        )
    rows = state.history
    if (
        not isinstance(rows, list)
        or len(rows) != state.epoch
        or not all(isinstance(row, dict) and all(map(_is_number, row.values())) for row in rows)
        or not _is_number(state.loss_sum)
        or not _is_number(state.baseline_sum)
    ):
        raise InvalidCheckpoint(
            f"{folder} cannot be resumed: its losses are no numbers, or its history has not one row "
            f"for each of {state.epoch} epochs."
        )
    return state


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # neither NaN nor infinite, nor an integer beyond both


def load_learner(folder: Path, learner: Learner) -> None:
    """Restore a model and its optimizer in place.

    Args:
        folder: The checkpoint's folder, or its baseline's.
        learner: Of the same model, with the same optimizer.

    Raises:
        InvalidCheckpoint: If the files belong to another model or are damaged.
    """
    loaded = load_model(folder, expected=learner.model.name)
    if loaded.config != learner.model.config:
        raise InvalidCheckpoint(
            f"{folder} was saved with other options: {loaded.config}, not {learner.model.config}."
        )
    learner.model.load_state_dict(loaded.state_dict())
    tensors, _ = load_tensors(folder, "optimizer.safetensors")
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        if not index.isdigit() or not name:
            raise InvalidCheckpoint(
                f"{folder / 'optimizer.safetensors'} has a foreign entry {key}."
            )
        state.setdefault(int(index), {})[name] = tensor
    expected = state_shapes(learner.optimizer)
    found = {
        position: {name: tuple(tensor.shape) for name, tensor in entries.items()}
        for position, entries in state.items()
    }
    # A checkpoint is written after a step at the earliest, so every parameter has its entries.
    if found != expected or not all(bool(torch.isfinite(each).all()) for each in tensors.values()):
        entries = sorted({name for each in expected.values() for name in each})
        raise InvalidCheckpoint(
            f"{folder / 'optimizer.safetensors'} belongs to another model or is damaged: it should "
            f"hold finite {', '.join(entries) or 'nothing'} for {len(expected)} parameters."
        )
    current = learner.optimizer.state_dict()
    learner.optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state as tensors named ``<parameter>.<entry>``."""
    return {
        f"{position}.{name}": torch.as_tensor(value).detach().cpu().contiguous().clone()
        for position, entries in optimizer.state_dict()["state"].items()
        for name, value in entries.items()
    }
