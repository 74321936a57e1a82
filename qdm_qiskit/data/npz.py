"""A user's own images: a ``.npz`` file with an array ``images`` and, optionally, ``labels``."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from ..errors import InvalidData, MissingData, QdmError
from .images import validate_images
from .raw import RawImages

__all__ = [
    "LARGEST_BYTES",
    "read_npz",
    "read_npz_classes",
]

LARGEST_BYTES = 2**30
"""Most bytes that one array of the file may have."""


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
        images = images.astype(np.float32) / 255
    elif images.dtype.kind != "f":
        raise InvalidData(
            f"{path}: 'images' must be uint8 or floats in [0, 1], got {images.dtype}."
        )
    validate_images(images, f"images in {path}")
    return np.clip(images, 0, 1).astype(np.float32)


def _read_arrays(path: Path, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            return {
                key: _read_array(archive, f"{key}.npy", path)
                for key in wanted
                if f"{key}.npy" in names
            }
    except QdmError:
        raise
    except Exception as error:  # whatever zipfile, zlib and numpy raise on hostile bytes
        raise InvalidData(
            f"{path} cannot be read as a .npz file "
            f"({' '.join(str(error).split()) or type(error).__name__}); write it with numpy.savez."
        ) from error


def _read_array(archive: zipfile.ZipFile, member: str, path: Path) -> np.ndarray:
    # numpy allocates what an array's header claims before it reads the values, so the claim is
    # compared with the member's size first.
    size = archive.getinfo(member).file_size
    if size > LARGEST_BYTES:
        raise InvalidData(f"{path}: '{member}' has {size} bytes; at most {LARGEST_BYTES} are read.")
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise InvalidData(f"{path}: '{member}' is of .npy version {version}, not 1.0 or 2.0.")
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(stream)
        if dtype.hasobject:
            raise InvalidData(f"{path}: '{member}' holds Python objects; only numbers are read.")
        claimed, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
        if claimed != there or min(shape, default=1) < 0:
            raise InvalidData(
                f"{path}: '{member}' claims shape {shape} of {dtype}, {claimed} bytes, but holds "
                f"{there}."
            )
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)
