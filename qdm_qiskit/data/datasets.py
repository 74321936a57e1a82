"""Data sets: images, labels and a licence; this package's own and those of others, by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import numpy as np

from ..arguments import checked_text, of_kind, shown, wrong
from ..doors import Door, origin_of
from ..errors import (
    InvalidArgument,
    InvalidData,
    InvalidExtension,
    InvalidOption,
    QdmError,
    unknown_name,
)
from .catalog import DATASETS, DatasetInfo
from .cifar import read_cifar
from .contract import Dataset, LabelledImages, Loaded
from .csv_files import CsvTable
from .digits import read_digits
from .images import validate_images
from .mnist import read_mnist
from .places import CSV, own_file, own_path
from .raw import RawImages
from .row_format import RowFormat
from .rows import RowDataset
from .tables import EmbeddedTable

__all__ = [
    "DATASET_DOOR",
    "CatalogDataset",
    "Dataset",
    "LabelledImages",
    "Loaded",
    "check_dataset",
    "checked_dataset_name",
    "cifar10",
    "dataset_origin",
    "digits",
    "fashion_mnist",
    "find_dataset",
    "mnist",
    "raw_parts",
    "row_format",
]


@final
class CatalogDataset(Dataset):
    """A data set of this package's catalogue.

    Args:
        name: Name of its entry.
        folder: Folder with the published files; None looks in the usual places, then downloads.
    """

    def __init__(self, name: str, folder: str | Path | None = None) -> None:
        info = DATASETS[name]
        self.name, self.folder = name, folder
        self.classes, self.licence, self.source = info.classes, info.licence, info.source
        self.description = info.description

    @property
    def info(self) -> DatasetInfo:
        """Its entry."""
        return DATASETS[self.name]

    def load(self) -> Loaded:
        """See :meth:`Dataset.load`."""
        if not self.info.published_split:
            return _published(_UNDIVIDED[self.name]())
        train, test = _DIVIDED[self.name](self.info, self.folder)
        return _published(train), _published(test)


_UNDIVIDED: dict[str, Callable[[], RawImages]] = {"digits": read_digits}
_DIVIDED = {"fashion-mnist": read_mnist, "mnist": read_mnist, "cifar10": read_cifar}
digits, fashion_mnist, mnist, cifar10 = (
    CatalogDataset(name) for name in ("digits", "fashion-mnist", "mnist", "cifar10")
)


def check_dataset(part: Any, name: str = "") -> Dataset:
    """Return a data set, made of a class if it is one.

    Args:
        part: A :class:`Dataset`, or a class of them without required options.
        name: The name that it was found by; "" for an object from Python.

    Raises:
        InvalidArgument: With what is missing.
    """
    if isinstance(part, type) and issubclass(part, Dataset):
        missing = sorted(getattr(part, "__abstractmethods__", ()))
        if missing:
            raise InvalidArgument(f"{part.__name__} lacks {' and '.join(missing)}.")
        part = part()
    of_kind(part, Dataset, "dataset", "a class that inherits qdm_qiskit.data.Dataset has instances")
    for field in ("name", "licence", "source"):
        value = getattr(part, field, None)
        if not isinstance(value, str) or not value.strip():
            raise InvalidArgument(f"{type(part).__name__} lacks its {field}, a text.")
    classes = part.classes
    if not isinstance(classes, tuple | list) or not all(isinstance(each, str) for each in classes):
        raise InvalidArgument(
            f"{type(part).__name__}.classes is a tuple of names, got {shown(classes)}."
        )
    kind = own_file(part.name)
    if kind is not None and not isinstance(part, CsvTable):
        raise InvalidArgument(
            f"The name of a data set does not begin with {kind}, got {part.name!r}."
        )
    if name and part.name != name:
        raise InvalidArgument(
            f"It calls itself '{part.name}', and its entry point '{name}': give it one name."
        )
    if not name and part.name in DATASETS and not _is_ours(part):
        raise InvalidArgument(
            f"'{part.name}' is a data set of this package; give yours another name."
        )
    found: Dataset = part
    return found


DATASET_DOOR: Door[Dataset] = Door(
    "dataset",
    "data set",
    {
        name: f"qdm_qiskit.data.{module}:{name.replace('-', '_')}"
        for module, names in (
            ("datasets", ("digits", "fashion-mnist", "mnist", "cifar10")),
            ("tables", ("iris", "wine", "breast-cancer", "diabetes")),
            ("series", ("waves", "ar2")),
            ("ising", ("ising",)),
            ("showers", ("showers",)),
        )
        for name in names
    },
    check_dataset,
)
"""Data sets by name, of this package and of others; a file of one's own is ``npz:PATH`` or
``csv:PATH`` instead."""


def find_dataset(dataset: str | Dataset, folder: str | Path | None = None) -> Dataset:
    """Return a data set by its name, or the one that is given.

    Args:
        dataset: A name of :data:`DATASET_DOOR`, or ``csv:PATH``; or an object, which needs no name.
        folder: Folder with the published files of one of this package's.

    Raises:
        UnknownName: If there is no such name.
        InvalidOption: If it is not read from a folder, or ``csv:`` has no path.
        InvalidExtension: If another package's cannot be loaded.
        InvalidArgument: If it is neither a name nor a data set, or lacks something.
    """
    found: Dataset
    if isinstance(dataset, str) and dataset.startswith(CSV):
        found = CsvTable(own_path(dataset, CSV))
    elif isinstance(dataset, str):
        if dataset not in DATASET_DOOR:
            raise unknown_name("dataset", dataset, [*DATASET_DOOR.names(), "npz:PATH", "csv:PATH"])
        found = DATASET_DOOR.get(dataset)
    elif isinstance(dataset, type | Dataset):
        found = check_dataset(dataset)
    else:
        raise wrong(dataset, "dataset", "a name or a Dataset")
    if folder is None:
        return found
    if not isinstance(found, CatalogDataset) or not found.info.files:
        raise InvalidOption(
            f"'{found.name}' is not read from a folder; leave the folder option out."
        )
    return CatalogDataset(found.name, folder)


def dataset_origin(dataset: str | Dataset) -> str:
    """Return where a data set's images come from, for a run's record."""
    if isinstance(dataset, str) and own_file(dataset) is not None:
        return "files"
    found = find_dataset(dataset)
    if isinstance(found, CsvTable):
        return "files"
    if isinstance(found, EmbeddedTable):
        return f"scikit-learn {version('scikit-learn')}"
    if isinstance(found, CatalogDataset):
        return "files" if found.info.files else f"scikit-learn {version('scikit-learn')}"
    origin = DATASET_DOOR.origin(dataset) if isinstance(dataset, str) else origin_of(found)
    return f"{origin.package} {origin.version}".strip()


def raw_parts(dataset: Dataset) -> tuple[RawImages, RawImages | None]:
    """Load a data set and refuse what cannot be trained on.

    Args:
        dataset: Data set from :func:`find_dataset`.

    Returns:
        Training and test images; or all of them, and None.

    Raises:
        InvalidData: If shapes, types, values or labels are wrong; the message names the data set.
        InvalidExtension: If another package's data set fails.
        MissingData: If its files are not there.
    """
    ours = isinstance(dataset, CatalogDataset) or _is_ours(dataset)
    try:
        loaded = dataset.load()
    except QdmError:
        raise
    except Exception as error:  # whatever a user's code raises
        if ours:
            raise
        reason = " ".join(str(error).split())
        raise InvalidExtension(
            f"Data set '{dataset.name}' fails to load: {type(error).__name__}: {reason}."
        ) from error
    parts: tuple[Any, ...] = loaded if isinstance(loaded, tuple) else (loaded,)
    if not 1 <= len(parts) <= 2 or not all(isinstance(each, LabelledImages) for each in parts):
        raise InvalidData(
            f"Data set '{dataset.name}' loads LabelledImages, or a pair of them (training, test); got "
            f"{shown(loaded) if not isinstance(loaded, tuple) else 'a tuple of other things'}."
        )
    names = ("training images", "test images") if len(parts) == 2 else ("images",)
    raw = [
        _raw(part, dataset, f"{what} of '{dataset.name}'")
        for part, what in zip(parts, names, strict=True)
    ]
    if len(raw) == 1:
        return raw[0], None
    shapes = [each.pixels.shape[1:] for each in raw]
    if shapes[0] != shapes[1]:
        raise InvalidData(
            f"Training and test images of '{dataset.name}' have one shape, got {shapes[0]} and "
            f"{shapes[1]} (channels, height, width)."
        )
    if (parts[0].labels is None) != (parts[1].labels is None):
        raise InvalidData(
            f"Training and test images of '{dataset.name}' have labels, or neither has."
        )
    return raw[0], raw[1]


def row_format(dataset: str | Dataset) -> RowFormat | None:
    """Return what the rows of a data set mean; None of images, and of ``npz:PATH``.

    Args, errors: as for :func:`find_dataset` and :attr:`.RowDataset.loaded_rows`.
    """
    if isinstance(dataset, str) and own_file(dataset) not in (None, CSV):
        return None
    if isinstance(dataset, str) and dataset in DATASETS and not DATASETS[dataset].columns:
        return None
    found = find_dataset(dataset)
    return found.loaded_rows.format if isinstance(found, RowDataset) else None


def _is_ours(part: Dataset) -> bool:
    """Return True of a catalogue's data set, from files of any folder, and of those of the door."""
    if isinstance(part, CatalogDataset):
        return True
    return part.name in DATASETS and DATASET_DOOR.get(part.name) is part


def _raw(part: LabelledImages, dataset: Dataset, what: str) -> RawImages:
    pixels = _pixels(part.images, what, checked=not isinstance(dataset, CatalogDataset))
    if part.labels is None:
        return RawImages(pixels, np.zeros(len(pixels), dtype=np.int64), tuple(part.files))
    labels = part.labels
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        got = labels.dtype if isinstance(labels, np.ndarray) else shown(labels)
        raise InvalidData(f"The labels of the {what} are an array of integers, got {got}.")
    if labels.shape != (len(pixels),):
        raise InvalidData(
            f"The labels of the {what} are one to an image, shape ({len(pixels)},), got "
            f"{labels.shape}."
        )
    count = len(dataset.classes)
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < count:
        raise InvalidData(
            f"The labels of the {what} are 0 to {count - 1}, positions among its {count} classes; got "
            f"{labels.min()} to {labels.max()}."
        )
    return RawImages(pixels, labels.astype(np.int64), tuple(part.files))


def _pixels(images: np.ndarray, what: str, *, checked: bool) -> np.ndarray:
    """Return pixels with channels first; floats as float32."""
    if not isinstance(images, np.ndarray) or isinstance(images, np.ma.MaskedArray):
        raise InvalidData(f"The {what} are a numpy array, got {shown(images)}.")
    shape = images.shape
    colours = images.ndim == 4 and shape[3] in (1, 3)
    if not (images.ndim == 3 or colours) or 0 in shape:
        raise InvalidData(
            f"The {what} have shape (count, height, width) or (count, height, width, 1 or 3) without a "
            f"zero, got {shape}."
        )
    first = np.moveaxis(images, 3, 1) if colours else images[:, None]
    if images.dtype == np.uint8:
        empty = ~first.reshape(len(first), -1).any(axis=1) if checked else np.zeros(1, dtype=bool)
        if empty.any():
            raise InvalidData(
                f"The {what} must not be zero everywhere, but image {int(empty.argmax())} is: it has "
                "no norm and cannot be amplitude-encoded; remove it."
            )
        return first
    if images.dtype.kind != "f":
        raise InvalidData(f"The {what} are uint8 or floats in [0, 1], got {images.dtype}.")
    if not checked:
        return first
    validate_images(first, what)
    return np.clip(first, 0, 1).astype(np.float32)


def _published(raw: RawImages) -> LabelledImages:
    grey = raw.pixels.shape[1] == 1
    images = raw.pixels[:, 0] if grey else np.moveaxis(raw.pixels, 1, 3)
    return LabelledImages(images, raw.labels, raw.files)


def checked_dataset_name(dataset: object) -> str:
    """Return the name of a data set that is given by name or as an object.

    Raises:
        InvalidArgument: If it is neither, or lacks something.
    """
    if isinstance(dataset, type | Dataset):
        return check_dataset(dataset).name
    return checked_text(dataset, "name", "or a Dataset")
