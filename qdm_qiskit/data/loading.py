"""One call from a data set's name to training and test images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arguments import wrong
from ..errors import InvalidOption
from ..rng import stream
from .contract import Dataset
from .datasets import checked_dataset_name, dataset_origin, find_dataset, raw_parts
from .images import (
    ImageSet,
    Split,
    check_channels,
    check_image_size,
    convert_channels,
    resize,
)
from .npz import read_npz
from .places import NPZ
from .raw import RawImages
from .record import LoadedData, listed
from .rows import RowDataset

__all__ = [
    "load_dataset",
    "load_with_source",
]


def load_dataset(
    name: str | Dataset,
    *,
    image_size: int,
    channels: int = 1,
    classes: Sequence[int] | None = None,
    train_count: int | None = None,
    test_count: int | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    folder: str | Path | None = None,
) -> Split:
    """Load a data set as training and test images of one size.

    Training and test files are kept apart where they are published so; otherwise each class is
    divided by ``test_fraction``. The choice of test images depends on ``seed`` and
    ``test_fraction`` only, not on ``classes`` or the counts, and a larger count adds images to
    those of a smaller one: runs of different sizes never train on each other's test images.

    Args:
        name: A name of :data:`~qdm_qiskit.data.DATASET_DOOR`; or ``npz:PATH`` for a file of your own
            with an array ``images`` and, optionally, ``labels``, or ``csv:PATH`` for a table; or a
            :class:`~qdm_qiskit.data.Dataset`, which needs no registration.
        image_size: Height and width to resize to, 2 to 1024; rows get more or fewer empty cells.
        channels: 1 for grey, 3 for RGB.
        classes: The labels to keep; None keeps all.
        train_count: Training images to keep, None for all that there are.
        test_count: Test images to keep, None for all that there are.
        test_fraction: Share of each class for the test, between 0 and 1; at least one image and
            never the last. Not used where a split is published.
        seed: An integer >= 0; decides the order, and thereby which images a count keeps.
        folder: Folder with the published files; None looks for the system's package, then in
            the cache, then downloads. Only for data sets that consist of files.

    Returns:
        Training and test images, disjoint, each in a shuffled order.

    Raises:
        UnknownName: If there is no such data set.
        InvalidOption: If an option is out of range, or asks for classes or for more images than
            there are.
        MissingData: If files are missing and cannot be downloaded.
        InvalidData: If a file is damaged, or an image cannot be used.

    >>> split = load_dataset("digits", image_size=8, classes=[0, 1], train_count=100)
    >>> split.train.images.shape, sorted(set(split.train.labels.tolist()))
    ((100, 1, 8, 8), [0, 1])
    """
    return load_with_source(
        name,
        image_size=image_size,
        channels=channels,
        classes=classes,
        train_count=train_count,
        test_count=test_count,
        test_fraction=test_fraction,
        seed=seed,
        folder=folder,
    ).split


def load_with_source(
    name: str | Dataset,
    *,
    image_size: int,
    channels: int = 1,
    classes: Sequence[int] | None = None,
    train_count: int | None = None,
    test_count: int | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    folder: str | Path | None = None,
) -> LoadedData:
    """Load as :func:`load_dataset` does, with raw arrays and their origin, for a data record."""
    called = checked_dataset_name(name)
    check_image_size(image_size)
    check_channels(channels)
    if classes is not None:
        if isinstance(classes, bytes | Mapping) or not isinstance(classes, Iterable):
            raise wrong(classes, "classes", "a sequence of labels")
        classes = list(classes)
    if not isinstance(test_fraction, float | np.floating) or not 0 < test_fraction < 1:
        raise InvalidOption(
            f"test_fraction is a number between 0 and 1 (both excluded), got {test_fraction!r}."
        )
    for option, count in (("train_count", train_count), ("test_count", test_count)):
        _check_count(option, count)
    dataset = None
    if not (isinstance(name, str) and name.startswith(NPZ)):
        dataset = find_dataset(name, folder)
    rows = None
    if isinstance(dataset, RowDataset):
        rows = dataset.loaded_rows.format
        if channels != 1:
            raise InvalidOption(f"Rows of '{called}' have channels=1, got {channels}.")
    train, test = _read_parts(
        called if dataset is None else dataset, classes, test_fraction, seed, folder
    )

    def image_set(part: _Part, count: int | None) -> ImageSet:
        indices = part.choose(called, classes, count)
        images = convert_channels(part.raw.chosen(indices), channels)
        images = resize(images, image_size) if rows is None else rows.at_size(images, image_size)
        return ImageSet(images, part.raw.labels[indices], called)

    split = Split(image_set(train, train_count), image_set(test, test_count))
    raw = (train.raw,) if train.raw is test.raw else (train.raw, test.raw)
    return LoadedData(split, raw, dataset_origin(name), rows)


@dataclass(frozen=True, eq=False)
class _Part:
    """The training or the test images, not yet filtered."""

    what: str
    raw: RawImages
    order: np.ndarray  # shuffled indices into raw: of all its images, or of this part's

    def choose(self, name: str, classes: Sequence[int] | None, count: int | None) -> np.ndarray:
        """Return the first ``count`` indices, in shuffled order, whose class is wanted."""
        indices = self.order
        if classes is not None:
            indices = indices[np.isin(self.raw.labels[indices], list(classes))]
        of_classes = "" if classes is None else f" of the classes {listed(classes)}"
        if len(indices) == 0:
            raise InvalidOption(
                f"'{name}' has no {self.what} image{of_classes}: choose other classes, or change "
                "test_fraction."
            )
        if count is not None and count > len(indices):
            raise InvalidOption(
                f"{self.what}_count={count} asks for more than the {len(indices)} {self.what} "
                f"images{of_classes} that '{name}' has: lower it, or leave it out to take all."
            )
        return indices[:count]


def _read_parts(
    name: str | Dataset,
    classes: Sequence[int] | None,
    test_fraction: float,
    seed: int,
    folder: str | Path | None,
) -> tuple[_Part, _Part]:
    if isinstance(name, str) and name.startswith(NPZ):
        if folder is not None:
            raise InvalidOption(f"'{name}' is not read from a folder; leave the folder option out.")
        raw, labelled = read_npz(name.removeprefix(NPZ))
        if classes is not None and not labelled:
            raise InvalidOption(
                f"'{name}' has no array 'labels', so no classes can be chosen; leave them out."
            )
        _check_classes(name, classes, np.unique(raw.labels).tolist())
        return _divide(raw, test_fraction, seed)
    dataset = find_dataset(name) if isinstance(name, str) else name
    if dataset.classes:  # before its files are read, or downloaded
        _check_classes(dataset.name, classes, range(len(dataset.classes)))
    train, test = raw_parts(dataset)
    if not dataset.classes:
        _check_classes(dataset.name, classes, np.unique(train.labels).tolist())
    if test is None:
        return _divide(train, test_fraction, seed)
    orders = stream(seed, "data", 0), stream(seed, "data", 1)
    return (
        _Part("train", train, orders[0].permutation(len(train.labels))),
        _Part("test", test, orders[1].permutation(len(test.labels))),
    )


def _divide(raw: RawImages, test_fraction: float, seed: int) -> tuple[_Part, _Part]:
    """Shuffle, then give the first of each class to the test part."""
    order = stream(seed, "data").permutation(len(raw.labels))
    is_test = np.zeros(len(order), dtype=bool)
    for label in np.unique(raw.labels):
        positions = np.flatnonzero(raw.labels[order] == label)
        wanted = max(1, round(test_fraction * len(positions)))
        is_test[positions[: min(wanted, len(positions) - 1)]] = True
    return _Part("train", raw, order[~is_test]), _Part("test", raw, order[is_test])


def _check_count(option: str, count: int | None) -> None:
    whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
    if count is not None and (not whole or count < 1):
        raise InvalidOption(f"{option} is an integer >= 1, or None for all images, got {count!r}.")


def _check_classes(name: str, classes: Sequence[int] | None, known: Sequence[int]) -> None:
    if classes is None:
        return
    unknown = [c for c in classes if isinstance(c, bool | str) or c not in known]
    if unknown or len(classes) == 0:
        raise InvalidOption(
            f"The classes of '{name}' are {listed(known)}; got "
            f"{listed(unknown) if unknown else 'an empty list'}: choose some of them, or None "
            "for all."
        )
