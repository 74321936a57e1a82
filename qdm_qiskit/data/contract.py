"""The contract of data sets: a name, its makers, a licence, and images with labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = [
    "Dataset",
    "LabelledImages",
    "Loaded",
]


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images as a data set gives them."""

    images: np.ndarray
    """``(count, height, width)`` or ``(count, height, width, 1 or 3)``: uint8 of 255, or floats in
    [0, 1]."""
    labels: np.ndarray | None = None
    """``(count,)`` integers, positions among the data set's ``classes``; None if there are none."""
    files: tuple[Path, ...] = ()
    """Files that they were read from; a run records their hashes."""


Loaded = LabelledImages | tuple[LabelledImages, LabelledImages]
"""All images, or training and test images apart."""


class Dataset(ABC):
    """A data set: its name, its makers and its images.

    >>> import numpy as np
    >>> from qdm_qiskit.data import LabelledImages, load_dataset
    >>> class Stripes(Dataset):
    ...     name = "stripes"
    ...     classes = ("upright", "level")
    ...     licence = "CC0"
    ...     source = "drawn here"
    ...     def load(self):
    ...         upright = np.tile([0.0, 1.0], (40, 8, 4))
    ...         images = np.concatenate([upright, upright.swapaxes(1, 2)])
    ...         return LabelledImages(images, np.repeat([0, 1], 40))
    >>> load_dataset(Stripes(), image_size=4, test_fraction=0.25).train.images.shape
    (60, 1, 4, 4)
    """

    name: str
    """Name in runs and messages."""
    classes: tuple[str, ...] = ()
    """Names of the classes; a name's position is the label. Empty if labels have no names."""
    licence: str
    """Terms under which the images may be used, or that none are stated."""
    source: str
    """Its makers."""
    description: str = ""
    """One line for people."""

    @abstractmethod
    def load(self) -> Loaded:
        """Return all images, or a pair: training images and test images.

        Each class of a single set is divided by the run's ``test_fraction`` and seed. The same
        images in the same order are expected from every call: a run records their hash and refuses
        others.

        Raises:
            MissingData: If its files are not there.
        """
