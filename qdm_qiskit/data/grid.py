"""Images side by side in one PNG file, to look at."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image

from ..arguments import checked_path, whole_number
from ..errors import InvalidOption, OutputNotWritable
from .images import convert_channels

__all__ = [
    "grid_png",
    "image_grid",
    "save_grid",
]

_GAP = 1  # white pixels between two images, before enlarging


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Arrange images row by row on a white ground, one white pixel between them.

    Args:
        images: ``(count, 1 or 3, height, width)``, values in [0, 1]; others are clipped.
        columns: Images in a row, at least 1; None makes the grid about square.

    Returns:
        ``(grid height, grid width, 1 or 3)``, uint8.

    Raises:
        InvalidData: If ``images`` has another shape.
        InvalidOption: If ``columns`` is below 1.
    """
    return _arranged(_pixels(images), columns, 255)


def _pixels(images: np.ndarray) -> np.ndarray:
    wanted = getattr(images, "shape", ())  # what is no array is refused by convert_channels
    channels = wanted[1] if isinstance(wanted, tuple) and len(wanted) == 4 else 1
    return np.rint(convert_channels(images, channels) * 255).astype(np.uint8)


def _arranged(pixels: np.ndarray, columns: int | None, ground: int) -> np.ndarray:
    if columns is not None and whole_number(columns, "columns") < 1:
        raise InvalidOption(f"A grid needs columns >= 1, got {columns}.")
    count, channels, height, width = pixels.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels)
    grid = np.full(shape, ground, dtype=np.uint8)
    for index, image in enumerate(pixels):
        top, left = index // columns * (height + _GAP), index % columns * (width + _GAP)
        grid[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return grid


def grid_png(images: np.ndarray, *, columns: int | None = None, scale: int = 8) -> bytes:
    """Return :func:`image_grid` for a page, as the bytes of a PNG whose ground can be seen through.

    On a white ground a white pixel at an image's edge could not be told from it.

    Args:
        images: The same as for :func:`image_grid`.
        columns: The same as for :func:`image_grid`.
        scale: Screen pixels for one image pixel, at least 1.

    Raises:
        InvalidData: If ``images`` has another shape.
        InvalidOption: If ``columns`` or ``scale`` is below 1.
    """
    grid = image_grid(images, columns)
    covered = np.full((len(images), 1, *images.shape[2:]), 255, dtype=np.uint8)
    return _png(np.concatenate([grid, _arranged(covered, columns, 0)], axis=2), scale)


def _png(grid: np.ndarray, scale: int) -> bytes:
    if whole_number(scale, "scale") < 1:
        raise InvalidOption(f"A grid needs scale >= 1, got {scale}.")
    large = grid.repeat(scale, axis=0).repeat(scale, axis=1)
    file = io.BytesIO()
    Image.fromarray(large.squeeze(2) if large.shape[2] == 1 else large).save(file, "PNG")
    return file.getvalue()


def save_grid(
    images: np.ndarray,
    path: str | Path,
    *,
    columns: int | None = None,
    scale: int = 8,
    overwrite: bool = False,
) -> Path:
    """Write :func:`image_grid` as a PNG file, every pixel enlarged to ``scale`` x ``scale``.

    Args:
        images: The same as for :func:`image_grid`.
        path: The file to write; its folder must exist.
        columns: The same as for :func:`image_grid`.
        scale: Screen pixels for one image pixel, at least 1.
        overwrite: True if an existing file may be replaced.

    Returns:
        The path.

    Raises:
        OutputNotWritable: If the file exists and ``overwrite`` is not set, or cannot be written.
        InvalidData: If ``images`` has another shape.
        InvalidOption: If ``columns`` or ``scale`` is below 1.
    """
    path = checked_path(path, "path")
    png = _png(image_grid(images, columns), scale)
    try:
        with path.open("wb" if overwrite else "xb") as file:
            file.write(png)
    except FileExistsError as error:
        raise OutputNotWritable(
            f"{path} exists already; choose another name, or set overwrite=True "
            "(`qdm data show --force`)."
        ) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputNotWritable(f"{path} cannot be written: {reason}.") from error
    return path
