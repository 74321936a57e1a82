"""What is known of images: some pixels, or the means of blocks; and the rest, which is to be found."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import InvalidData, InvalidOption
from .row_format import RowFormat

__all__ = ["MASKS", "Known", "mask_of"]

MASKS = ("left", "right", "top", "bottom", "centre", "random:SHARE", "columns:NAME,NAME")
"""Named masks; each says what is hidden."""


@dataclass(frozen=True, eq=False)
class Known:
    """Images of which a part is known.

    What is known is a projection P of the image: its pixels under the mask, or its means over
    blocks, spread over them. Both are orthogonal, so that ``x + P(y - x)`` is the image nearest to x
    that has what is known of y.

    >>> import numpy as np
    >>> known = Known(np.ones((1, 1, 2, 2)), factor=2)
    >>> known.held(np.arange(4.0).reshape(1, 1, 2, 2)).tolist()
    [[[[-0.5, 0.5], [1.5, 2.5]]]]
    """

    images: np.ndarray
    """``(count, channels, height, width)`` in [0, 1]; hidden pixels have any finite value."""
    mask: np.ndarray | None = None
    """The same shape, bool: True where a pixel is known."""
    factor: int = 1
    """Side of the blocks whose means are known, where there is no mask."""

    def __post_init__(self) -> None:
        images = self.images
        if images.ndim != 4 or not len(images):
            raise InvalidData(
                f"Images are an array (count, channels, height, width), got shape {images.shape}."
            )
        if not np.isfinite(images).all() or images.min() < 0 or images.max() > 1:
            raise InvalidData("Images have numbers from 0 to 1; hide missing ones by a mask.")
        if (self.mask is None) == (self.factor == 1):
            raise InvalidOption("Give a mask, or a factor of at least 2, and not both.")
        if self.mask is not None:
            if self.mask.dtype != np.bool_ or self.mask.shape != images.shape:
                raise InvalidData(
                    f"A mask has a true or false for each pixel, shape {images.shape}, got "
                    f"{self.mask.dtype} of shape {self.mask.shape}."
                )
            if self.mask.all():
                raise InvalidData("The mask hides nothing, so there is nothing to find.")
        elif self.factor < 2 or any(side % self.factor for side in images.shape[2:]):
            height, width = images.shape[2:]
            raise InvalidOption(
                f"factor divides the height and width, {height} and {width}, got {self.factor}."
            )

    @cached_property
    def matrix_rows(self) -> np.ndarray:
        """Rows whose products with a flat image are what is known of it; without a mask, or of one
        that is the same for all images: ``(known numbers, pixels)`` with orthonormal rows."""
        pixels = math.prod(self.images.shape[1:])
        if self.mask is not None:
            return np.eye(pixels)[self.mask[0].ravel()]
        unit = np.eye(pixels).reshape(pixels, *self.images.shape[1:])
        low = _means(unit, self.factor).reshape(pixels, -1).T
        found: np.ndarray = low * self.factor  # means of f x f pixels: norm 1/f
        return found

    def part(self, x: np.ndarray) -> np.ndarray:
        """Return P x for images of the same shape."""
        if self.mask is not None:
            return np.where(self.mask, x, 0.0)
        return _means(x, self.factor).repeat(self.factor, -1).repeat(self.factor, -2)

    def held(self, x: np.ndarray) -> np.ndarray:
        """Return x with what is known put in its place; pixels to the bit."""
        if self.mask is not None:
            return np.where(self.mask, self.images, x)
        found: np.ndarray = x + self.part(self.images - x)
        return found

    def taken(self, rows: np.ndarray) -> Known:
        """Return what is known of some of the images, in this order; repeats are allowed."""
        mask = None if self.mask is None else self.mask[rows]
        return Known(self.images[rows], mask, self.factor)


def _means(x: np.ndarray, factor: int) -> np.ndarray:
    *first, height, width = x.shape
    blocks = x.reshape(*first, height // factor, factor, width // factor, factor)
    found: np.ndarray = blocks.mean(axis=(-3, -1))
    return found


def mask_of(
    name: str, shape: tuple[int, ...], *, rows: RowFormat | None = None, seed: int = 0
) -> np.ndarray:
    """Return a named mask: True where a pixel is known.

    Args:
        name: ``left``, ``right``, ``top``, ``bottom``: that half is hidden; ``centre``: the middle half
            of height and width is; ``random:0.5``: that share of the pixels, drawn for each image;
            ``columns:a,b``: these columns of rows.
        shape: (count, channels, height, width).
        rows: The format, where the images are rows of numbers; needed by ``columns``.
        seed: Draws ``random``. Pixels are hidden in all channels at once.

    Raises:
        InvalidOption: If there is no such mask, or no such column.
    """
    count, _, height, width = shape
    mask = np.ones((count, 1, height, width), dtype=bool)
    halves = {
        "left": np.s_[..., : width // 2],
        "right": np.s_[..., width - width // 2 :],
        "top": np.s_[..., : height // 2, :],
        "bottom": np.s_[..., height - height // 2 :, :],
        "centre": np.s_[..., height // 4 : height - height // 4, width // 4 : width - width // 4],
    }
    kind, _, value = name.partition(":")
    if name in halves:
        mask[halves[name]] = False
    elif kind == "random" and re.fullmatch(r"0?\.[0-9]{1,9}", value) and 0 < float(value) < 1:
        mask &= np.random.default_rng(seed).random(mask.shape) >= float(value)
    elif kind == "columns":
        flat = mask.reshape(count, -1)
        flat[:, _cells(value.split(","), rows)] = False
    else:
        raise InvalidOption(f"mask is one of {', '.join(MASKS)}, or a file; got {name!r}.")
    if rows is not None:  # cells beyond a row are empty, always
        mask.reshape(count, -1)[:, rows.cells :] = True
    return np.broadcast_to(mask, shape).copy()


def _cells(names: list[str], rows: RowFormat | None) -> list[int]:
    """Return the cells of columns."""
    if rows is None:
        raise InvalidOption("Mask 'columns' hides columns of rows, and these images are no rows.")
    found: list[int] = []
    start, known = 0, [each.name for each in rows.columns]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidOption(f"Columns are {', '.join(known)}; got {unknown[0]!r}.")
    for each in rows.columns:
        if each.name in names:
            found.extend(range(start, start + each.cells))
        start += each.cells
    return found
