"""The data of a run: its images or states, their classes, and the order of its batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..data import STATE_ENSEMBLES, Split, load_dataset, load_states
from ..errors import InvalidOption
from ..models import MODELS
from ..rng import stream
from .config import RunConfig


def load_split(config: RunConfig) -> Split:
    """The images of a run, at its model's size and channels, or its states.

    Raises: as :func:`qdm_qiskit.data.load_dataset` and :func:`qdm_qiskit.data.load_states`.
    """
    data = config.data
    if MODELS[config.model].data_kind == "states":
        return load_states(
            data.dataset,
            num_qubits=config.model_options.num_qubits,
            train_count=data.train_count,
            test_count=data.test_count,
            seed=config.training.seed,
        )
    if data.dataset in STATE_ENSEMBLES:
        raise InvalidOption(
            f"'{data.dataset}' holds quantum states, but model '{config.model}' takes images; choose "
            "another data set, or model quddpm."
        )
    return load_dataset(
        data.dataset,
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
