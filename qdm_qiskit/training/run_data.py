"""The data of a run: its images or states, their classes, and the order of its batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..data import (
    DATASETS,
    STATE_ENSEMBLES,
    Dataset,
    LoadedData,
    Split,
    load_states,
    load_with_source,
)
from ..data.places import absolute_place, moved_to, own_file
from ..data.raw import RawImages
from ..errors import InvalidOption, MissingData, UnknownName
from ..models import model_class
from ..rng import stream
from .config import DataConfig, RunConfig

__all__ = [
    "NOT_VERIFIED",
    "EpochBatches",
    "at_absolute_place",
    "at_place",
    "class_indices",
    "classes_of",
    "has_files",
    "load_data",
    "load_split",
    "named_after",
    "verified",
]

NOT_VERIFIED = (
    "its data cannot be verified: a run of version 0.1 kept no hash of them, so what is read now is "
    "taken for what it was trained on."
)
"""Remark on a run without a record of its data, after its name."""


def load_split(config: RunConfig) -> Split:
    """The images of a run, at its model's size and channels, or its states.

    Raises: as :func:`load_data`.
    """
    return load_data(config).split


def load_data(config: RunConfig, dataset: Dataset | None = None) -> LoadedData:
    """The images or states of a run, with what they were read from.

    Args:
        config: The run. If it has a record of its data, they are compared with it.
        dataset: The data set itself, where the run's is no name that is known here.

    Raises:
        InvalidData: If the data are not those of the record.
        MissingData: If they are not where they were.
        Others: As :func:`qdm_qiskit.data.load_dataset` and :func:`qdm_qiskit.data.load_states`.
    """
    return verified(config, lambda: _load(config, dataset))


def verified(config: RunConfig, load: Callable[[], LoadedData]) -> LoadedData:
    """Data of a run, compared with its record if it has one.

    Args:
        config: The run.
        load: Reads its data set, with any classes and counts: a record is of all that there is.

    Raises: as :func:`load_data`.
    """
    if config.record is None:
        return load()
    try:
        loaded = load()
    except MissingData as error:
        raise MissingData(
            f"{error} The run was trained on it: put it back, or say where it is now by data=PATH."
        ) from error
    except UnknownName as error:
        known = config.record.origin
        installed = known is not None and " " in known  # "name version"; an object's has no version
        package = f"package {known}, which brings it" if installed else "the package that brings it"
        raise UnknownName(
            f"{error} The run was trained on it: give it as an object by dataset=, or install "
            f"{package}."
        ) from error
    loaded.check(config.record)
    return loaded


def at_absolute_place(data: DataConfig) -> DataConfig:
    """The same data, in words that mean the same in any working directory."""
    dataset, folder = absolute_place(data.dataset, data.folder)
    return replace(data, dataset=dataset, folder=folder)


def has_files(config: RunConfig) -> bool:
    """Return whether a run's data are files, which may lie somewhere else."""
    name = config.data.dataset
    return own_file(name) is not None or (name in DATASETS and bool(DATASETS[name].files))


def at_place(config: RunConfig, place: str | Path | None) -> RunConfig:
    """A run with its data taken from another place; what they must be stays as it is.

    Args:
        config: The run.
        place: As for :func:`~qdm_qiskit.data.places.moved_to`; None leaves them where they are.

    Raises:
        InvalidOption: If the run's data are no files.
        MissingData: If there is nothing at the place.
    """
    if place is None:
        return config
    if not has_files(config):
        raise InvalidOption(f"'{config.data.dataset}' is not read from a file; leave data out.")
    dataset, folder = moved_to(config.data.dataset, place)
    return replace(config, data=replace(config.data, dataset=dataset, folder=folder))


def named_after(config: RunConfig, dataset: Dataset) -> RunConfig:
    """A run whose data are those of a data set that is given as an object."""
    return replace(config, data=replace(config.data, dataset=dataset.name, folder=None))


def _load(config: RunConfig, dataset: Dataset | None) -> LoadedData:
    data = config.data
    states = model_class(config.model).data_kind == "states"
    if states and dataset is not None:
        raise InvalidOption(
            f"Data set '{dataset.name}' holds images, but model '{config.model}' takes quantum states: "
            f"{', '.join(STATE_ENSEMBLES)}."
        )
    if states:
        split = load_states(
            data.dataset,
            num_qubits=config.model_options.num_qubits,
            train_count=data.train_count,
            test_count=data.test_count,
            seed=config.training.seed,
        )
        raw = tuple(RawImages(each.images, each.labels) for each in (split.train, split.test))
        return LoadedData(split, raw, f"numpy {version('numpy')}")
    if data.dataset in STATE_ENSEMBLES:
        raise InvalidOption(
            f"'{data.dataset}' holds quantum states, but model '{config.model}' takes images; choose "
            "another data set, or model quddpm."
        )
    return load_with_source(
        data.dataset if dataset is None else dataset,
        image_size=config.model_options.image_size,
        channels=config.model_options.channels,
        classes=data.classes or None,
        train_count=data.train_count,
        test_count=data.test_count,
        test_fraction=data.test_fraction,
        seed=config.training.seed,
        folder=data.folder,
    )


def classes_of(split: Split) -> np.ndarray:
    """The labels that occur in a run, sorted."""
    return np.unique(np.concatenate([split.train.labels, split.test.labels]))


def class_indices(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Positions of labels in the sorted list of classes, int64."""
    return np.searchsorted(classes, labels).astype(np.int64)


class EpochBatches:
    """Batches of one epoch, in an order that depends on seed and epoch only.

    Args:
        count: Training images.
        batch_size: Images of a batch; the last one of an epoch may be smaller.
        seed: The run's.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.epoch = 0
        self.first = 0

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = stream(self.seed, "data", 1, self.epoch).permutation(self.count)
        for batch in range(self.first, len(self)):
            start = batch * self.batch_size
            yield order[start : start + self.batch_size].tolist()
