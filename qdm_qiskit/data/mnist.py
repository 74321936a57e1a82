"""MNIST and Fashion-MNIST: four IDX files, training and test apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InvalidData
from .catalog import DatasetInfo
from .download import candidate_folders, fetch, missing_in_folder
from .idx import read_idx
from .raw import RawImages

__all__ = [
    "names_of",
    "read_mnist",
]


def read_mnist(info: DatasetInfo, folder: str | Path | None) -> tuple[RawImages, RawImages]:
    """Return training and test images from the published files, gzip or raw.

    Args:
        info: ``DATASETS["mnist"]``, or another data set of the same four files.
        folder: The user's folder; None for the system's package, then the cache.

    Returns:
        Training and test images, each image ``(1, 28, 28)``.

    Raises:
        MissingData: If the files are nowhere and cannot be downloaded.
        InvalidData: If a file is damaged or is not of this data set's kind.
    """
    train_images, train_labels, test_images, test_labels = _locate(info, folder)
    return (
        _read_part(info, train_images, train_labels),
        _read_part(info, test_images, test_labels),
    )


def _locate(info: DatasetInfo, folder: str | Path | None) -> list[Path]:
    for place in candidate_folders(info, folder):
        found = [_file_in(place, file.name) for file in info.files]
        paths = [path for path in found if path is not None]
        if len(paths) == len(found):
            return paths
    if folder is not None:
        names = ", ".join(file.name for file in info.files)
        raise missing_in_folder(
            info,
            folder,
            f"{names} (with or without .gz; '.idx3-ubyte' is as good as '-idx3-ubyte')",
        )
    return [fetch(info, file) for file in info.files]


def names_of(published: str) -> tuple[str, ...]:
    """Return the names under which a published file goes about, the published one first.

    Unpackers take ``.gz`` off, and mirrors write a dot for the second hyphen. Some do both, and
    leave the file in a folder of one of its names.

    >>> names_of("t10k-labels-idx1-ubyte.gz")[:4]  # doctest: +NORMALIZE_WHITESPACE
    ('t10k-labels-idx1-ubyte.gz', 't10k-labels-idx1-ubyte',
     't10k-labels.idx1-ubyte.gz', 't10k-labels.idx1-ubyte')
    """
    dotted = published.replace("-idx", ".idx")
    plain = [each for name in (published, dotted) for each in (name, name.removesuffix(".gz"))]
    return (*plain, *(f"{folder}/{name}" for folder in plain for name in plain))


def _file_in(place: Path, published: str) -> Path | None:
    """Return the file in a folder, by the first of its names that is there; None if none is."""
    return next((p for name in names_of(published) if (p := place / name).is_file()), None)


def _read_part(info: DatasetInfo, images_path: Path, labels_path: Path) -> RawImages:
    images, labels = read_idx(images_path), read_idx(labels_path)
    edge = info.native_size
    if images.dtype != np.uint8 or images.shape[1:] != (edge, edge):
        raise InvalidData(
            f"{images_path} must hold {edge} x {edge} images of bytes for '{info.name}', got "
            f"shape {images.shape} of {images.dtype}."
        )
    if labels.dtype != np.uint8 or labels.shape != (len(images),):
        raise InvalidData(
            f"{labels_path} must hold one label byte for each of the {len(images)} images in "
            f"{images_path.name}, got shape {labels.shape} of {labels.dtype}."
        )
    if labels.max() >= len(info.classes):
        raise InvalidData(
            f"{labels_path} must hold labels 0 to {len(info.classes) - 1}, got {labels.max()}."
        )
    return RawImages(images[:, None], labels.astype(np.int64), (images_path, labels_path))
