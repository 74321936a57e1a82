"""A trained run: its model, process and configuration, as sampling takes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arguments import checked_path
from ..circuits import Loader
from ..circuits.amortised import FOLDER as NETWORKS
from ..circuits.amortised import take_networks
from ..data import Split
from ..data.places import own_file
from ..data.record import listed
from ..diffusion import DiffusionProcess, make_process
from ..errors import (
    InvalidCheckpoint,
    InvalidData,
    InvalidOption,
    MissingData,
)
from ..execution.targets import Target
from ..files import read_json_object
from ..models import Denoiser, load_model, take_class
from ..notebook import card, facts, folded, one_line
from ..progress import Message, Progress, silent
from ..training import RunConfig, find_checkpoint, load_split, run_from_dict, weights_folder
from ..training.run_data import classes_of
from ..training.targets.device import Place
from ..training.targets.places import read_places
from .config import SamplingConfig
from .loader_choice import AUTO, LoaderChoice, choose_loader, loaded_vectors
from .loader_names import resolved_loader
from .refit_record import read_refit

__all__ = ["PIPELINE_FILE", "TrainedRun", "best_loader", "chosen_labels", "load_run"]

PIPELINE_FILE = "pipeline.json"
"""Name of the run's configuration file beside a model that stands alone."""


@dataclass(frozen=True)
class TrainedRun:
    """A trained model, its process and its configuration."""

    model: Denoiser
    process: DiffusionProcess
    config: RunConfig
    checkpoint: Path
    num_classes: int
    """Number of classes of a guided model."""
    refit: dict[str, Any] | None = None
    """Record of the refit that made the model, if one did."""

    def __repr__(self) -> str:
        return one_line("TrainedRun", self.config.model, self.checkpoint)

    def _repr_html_(self) -> str:
        config = self.config
        return card(
            config.model,
            facts(
                [
                    ("checkpoint", self.checkpoint),
                    ("preset", config.preset),
                    ("data set", config.data.dataset),
                    ("classes", ", ".join(map(str, config.data.classes)) or "all"),
                    ("process", f"{config.diffusion.process}, {self.process.num_steps} steps"),
                    ("epochs planned", config.training.epochs),
                ]
            ),
            folded("model", *self.model.shown()),
            about="trained run",
        )

    def class_positions(self) -> dict[int, int]:
        """Labels that a guided model has seen in training, each with its position for the model.

        A run of version 0.1 kept no labels: they are the chosen ones, those in its own file, or all
            of its data set.

        Raises:
            MissingData, InvalidData: If such a run's labels are in a missing file.
        """
        config, record = self.config, self.config.record
        if record is not None:
            return {label: record.classes.index(label) for label in sorted(record.train_classes)}
        classes = sorted(set(config.data.classes))
        if not classes and own_file(config.data.dataset) is not None:
            return _positions_in(load_split(config))
        return {label: k for k, label in enumerate(classes or range(self.num_classes))}

    def places(self, config: SamplingConfig, target: Target) -> dict[str, Place]:
        """Return where circuits stand on a device that the run was trained for, by their layer.

        Args:
            config: Options; one that asks for other places, or for another circuit, has none of these.
            target: Its target.

        Raises:
            InvalidCheckpoint: If the run's file of places cannot be used.
        """
        own = config.initial_layout or config.tiles is not None or config.loader is not None
        if own or config.fractional_gates or target.backend is None:
            return {}
        if (self.checkpoint / PIPELINE_FILE).is_file():
            return {}
        known = read_places(self.checkpoint.parent.parent).get(target.backend, [])
        return {place.layer: place for place in known}

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the file of its weights."""
        return _file_hash(weights_folder(self.checkpoint) / "model.safetensors")

    @property
    def networks(self) -> Path:
        """The folder of the networks that give angles of its loaders; see :mod:`.amortise`."""
        single = (self.checkpoint / PIPELINE_FILE).is_file()
        return (self.checkpoint if single else self.checkpoint.parent.parent) / NETWORKS

    def with_loader(self, loader: Loader | str) -> TrainedRun:
        """Return the run with another loader in front of its circuits.

        Args:
            loader: A loader, or the name of one.

        Raises:
            UnknownName, InvalidOption, InvalidTemplate, InvalidExtension: As
                :meth:`.Denoiser.with_loader`.
            MissingData: If the run has no network of the name.
        """
        if isinstance(loader, str):
            loader = resolved_loader(self.networks, loader)
        model = self.model.with_loader(loader)
        return replace(self, model=model, config=replace(self.config, model_options=model.config))


def best_loader(
    run: TrainedRun, name: str, *, seed: int = 0, progress: Progress = silent
) -> LoaderChoice:
    """Return the choice that a loader's name such as ``auto:fake_torino`` asks for.

    Args:
        run: The run, whose own exact chain gives the vectors.
        name: ``auto:`` and a device.
        seed: Seed of that chain.
        progress: Receives a message for each candidate, and the choice in words.

    Raises:
        UnknownName: If there is no such device.
        TargetUnavailable: If the run's model loads no amplitudes.
    """
    vectors = loaded_vectors(run.model, run.process, seed=seed)
    choice = choose_loader(vectors, name.removeprefix(AUTO), progress=progress)
    progress(Message(choice.sentence()))
    return choice


def _positions_in(split: Split) -> dict[int, int]:
    classes = classes_of(split).tolist()
    return {label: classes.index(label) for label in np.unique(split.train.labels).tolist()}


def load_run(
    run: str | Path,
    *,
    model_class: type[Denoiser] | None = None,
    loader: Loader | str | None = None,
) -> TrainedRun:
    """Load a run's latest model, its process and its configuration.

    Args:
        run: The run's folder, the folder of one of its checkpoints, or a saved pipeline's.
        model_class: Class of a model that no package brings; from then on it is known by its name.
        loader: A loader, or its name, in place of the one that the model was trained with.

    Returns:
        All three, with the model on the CPU in evaluation mode.

    Raises:
        MissingData: If there is no run or checkpoint.
        InvalidCheckpoint: If the files cannot be used.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     found = qdm.load_run(run)
    >>> found.model.num_qubits, found.process.num_steps
    (3, 2)
    """
    run = checked_path(run, "run")
    if model_class is not None:
        take_class(model_class)
    single = (run / PIPELINE_FILE).is_file()
    checkpoint = run if single else find_checkpoint(run)
    config_file = run / PIPELINE_FILE if single else checkpoint.parent.parent / "config.json"
    if not config_file.is_file():
        raise MissingData(f"{run} is no run of `qdm train`: {config_file} is missing.")
    try:
        config = run_from_dict(read_json_object(config_file))
    except (InvalidData, InvalidOption) as error:
        raise InvalidData(f"{config_file} cannot be used: {error}") from error
    weights = weights_folder(checkpoint)
    take_networks((run if single else checkpoint.parent.parent) / NETWORKS)
    model = load_model(weights, expected=config.model).eval()
    if model.config != config.model_options:
        raise InvalidCheckpoint(
            f"{checkpoint} belongs to another run: it was saved with {model.config}, but "
            f"{config_file} says {config.model_options}."
        )
    num_classes = len(set(config.data.classes)) or getattr(config.model_options, "num_classes", 1)
    if config.record is not None:
        num_classes = len(config.record.train_classes)
    process, refit = make_process(config.diffusion), read_refit(run)
    made = TrainedRun(model, process, config, checkpoint, num_classes, refit)
    return made if loader is None else made.with_loader(loader)


def chosen_labels(run: TrainedRun, config: SamplingConfig, first: int = 0) -> Tensor | None:
    """Return the class of each image of a guided model.

    Args:
        run: The run.
        config: The number of images and the label, as in the data; without one the classes take
            turns.
        first: Number of the first image.

    Returns:
        Positions among the run's classes, ``(num_images,)`` int64; None if the model is not guided.

    Raises:
        InvalidOption: If a label is given to a model that is not guided, or is none of its classes.
    """
    guided = bool(getattr(run.config.model_options, "guided", False))
    if not guided:
        if config.label is not None:
            raise InvalidOption(f"'{run.model.name}' of this run is not guided and takes no label.")
        return None
    positions = run.class_positions()
    if config.label is None:
        return torch.tensor(list(positions.values()))[
            torch.arange(first, first + config.num_images) % len(positions)
        ]
    if config.label not in positions:
        chosen = dict.fromkeys(label for label in run.config.data.classes if label in positions)
        raise InvalidOption(
            f"label is one of {listed(list(chosen or positions))}; got {config.label!r}. The model "
            "has seen no other classes in training."
        )
    return torch.full((config.num_images,), positions[config.label])


def _file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
