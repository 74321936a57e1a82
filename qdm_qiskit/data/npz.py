"""A user's own images: a ``.npz`` file with an array ``images`` and, optionally, ``labels``."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..archives import Headers, read_arrays
from ..errors import InvalidData, MissingData
from .images import validate_images
from .raw import RawImages

__all__ = [
    "LARGEST_BYTES",
    "read_npz",
    "read_npz_classes",
]

LARGEST_BYTES = 2**30
"""Most bytes that the arrays of the file may have together, and the images as they are used."""
MOST_LABELS = 2**24
"""Most labels: as many as there are images of 4 x 4 pixels in so many bytes."""


def read_npz(path: str | Path) -> tuple[RawImages, bool]:
    """Read and check a user's images; nothing in the file is unpickled.

    Args:
        path: A file as ``numpy.savez`` or ``numpy.savez_compressed`` writes it. ``images`` is
            ``(count, height, width)`` or ``(count, channels, height, width)`` with 1 or 3
            channels, of bytes (divided by 255) or of floats in [0, 1]; ``labels``, if there,
            is ``(count,)`` of integers.

    Returns:
        The images, and whether the file has labels; without, every label is 0.

    Raises:
        MissingData: If there is no such file.
        InvalidData: If the file is damaged or holds objects, the arrays have other shapes or
            types, or an image fails :func:`~qdm_qiskit.data.validate_images`.
    """
    path = _existing(path)
    arrays = _read_arrays(path, ("images", "labels"))
    if "images" not in arrays:
        raise InvalidData(f"{path} must hold an array 'images', written by numpy.savez.")
    pixels = _as_pixels(arrays["images"], path)
    labels = arrays.get("labels")
    if labels is None:
        return RawImages(pixels, np.zeros(len(pixels), dtype=np.int64), (path,)), False
    if labels.shape != (len(pixels),):
        raise InvalidData(
            f"{path}: 'labels' must be integers of shape ({len(pixels)},), one to an image, got "
            f"{labels.dtype} of shape {labels.shape}."
        )
    return RawImages(pixels, _as_labels(labels, path), (path,)), True


def read_npz_classes(path: str | Path) -> tuple[int, ...]:
    """Return the labels in a user's file, sorted; 0 alone if it has none. Images are not read.

    Raises: as :func:`read_npz`.
    """
    path = _existing(path)
    labels = _read_arrays(path, ("labels",)).get("labels")
    return (0,) if labels is None else tuple(np.unique(_as_labels(labels, path)).tolist())


def _existing(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingData(
            f"There is no file {path.name} in {path.absolute().parent}; the dataset 'npz:PATH' needs "
            "a .npz file."
        )
    return path


def _as_labels(labels: np.ndarray, path: Path) -> np.ndarray:
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise InvalidData(
            f"{path}: 'labels' must be integers of one dimension, one to an image, got "
            f"{labels.dtype} of shape {labels.shape}: number the classes."
        )
    if labels.dtype == np.uint64 and labels.size and labels.max() > np.iinfo(np.int64).max:
        raise InvalidData(f"{path}: 'labels' go up to {labels.max()}, beyond 64-bit integers.")
    return labels.astype(np.int64)


def _as_pixels(images: np.ndarray, path: Path) -> np.ndarray:
    shape = images.shape
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise InvalidData(
            f"{path}: 'images' needs shape (count, height, width) or (count, 1 or 3, height, "
            f"width) without a zero, got {shape}."
        )
    if images.dtype == np.uint8:
        images = images.astype(np.float32)
        images /= 255
    elif images.dtype.kind != "f":
        raise InvalidData(
            f"{path}: 'images' must be uint8 or floats in [0, 1], got {images.dtype}."
        )
    validate_images(images, f"images in {path}")
    # In their place: several copies of 1 GB are more than some machines have.
    pixels = images.astype(np.float32, copy=False)
    return np.clip(pixels, 0, 1, out=pixels)


def _read_arrays(path: Path, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        return read_arrays(
            path, wanted, most_bytes=LARGEST_BYTES, foreign=True, check=_check_headers
        )
    except InvalidData as error:
        raise InvalidData(
            f"{path} cannot be read as a .npz file ({error}); write it with numpy.savez."
        ) from error


def _check_headers(headers: Headers) -> None:
    """Refuse images that are too many as 32-bit floats, and labels, before they are unpacked."""
    images, labels = headers.get("images"), headers.get("labels")
    if images is not None and 4 * math.prod(images.shape) > LARGEST_BYTES:
        raise InvalidData(
            f"its images of shape {images.shape} have {4 * math.prod(images.shape)} bytes as "
            f"32-bit floats; at most {LARGEST_BYTES} are read"
        )
    if labels is not None and math.prod(labels.shape) > MOST_LABELS:
        raise InvalidData(
            f"it has {math.prod(labels.shape)} labels; at most {MOST_LABELS} are read"
        )
