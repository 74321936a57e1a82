"""Image arrays: checks, and changes of size and of channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..arguments import real_array
from ..errors import InvalidData, InvalidOption
from ..notebook import Markup, card, folded, one_line, picture, table

__all__ = [
    "LARGEST_SIZE",
    "ImageSet",
    "Split",
    "check_channels",
    "check_image_size",
    "convert_channels",
    "resize",
    "validate_images",
]

LARGEST_SIZE = 1024
"""Largest image edge, in pixels: 20 qubits of amplitudes, more than any template here takes."""
MOST_SHOWN = 32
"""Images that a notebook shows of a set."""

_TOLERANCE = 1e-6
_ITU_R_601 = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def check_image_size(size: int) -> None:
    """Refuse an image size that is out of range.

    Any size will do here: models that encode pixels as amplitudes ask for a power of two themselves.

    Args:
        size: Height and width of a square image, in pixels.

    Raises:
        InvalidOption: If ``size`` is no whole number from 2 to 1024.
    """
    whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
    if not whole or not 2 <= size <= LARGEST_SIZE:
        raise InvalidOption(
            f"An image of size S x S needs S to be a whole number from 2 to {LARGEST_SIZE}, "
            f"got {size!r}."
        )


def validate_images(images: np.ndarray, what: str = "images") -> None:
    """Refuse images that cannot be trained on or amplitude-encoded.

    Args:
        images: ``(count, channels, height, width)``, at least one image, values in [0, 1]
            (within 1e-6).
        what: Name of them in messages.

    Raises:
        InvalidData: If the shape is another one, or an image holds NaN, an infinity or a value
            outside [0, 1], or is zero everywhere (it has no norm, so no state encodes it).
            The message says which image.
    """
    if not isinstance(images, np.ndarray) or images.dtype.kind not in "fiu":
        kind = getattr(images, "dtype", type(images).__name__)
        raise InvalidData(f"The {what} must be a numpy array of numbers, got {kind}.")
    if images.ndim != 4 or 0 in images.shape:
        raise InvalidData(
            f"The {what} need shape (count, channels, height, width) without a zero, "
            f"got {images.shape}."
        )
    rows = images.reshape(len(images), -1)
    low, high = rows.min(axis=1), rows.max(axis=1)  # NaN and infinities show up here as well
    for index in np.flatnonzero(~(np.isfinite(low) & np.isfinite(high)))[:1]:
        raise InvalidData(
            f"The {what} must be finite, but image {index} holds NaN or an infinity: "
            "remove or repair it."
        )
    for index in np.flatnonzero((low < -_TOLERANCE) | (high > 1 + _TOLERANCE))[:1]:
        raise InvalidData(
            f"The {what} must lie in [0, 1], but image {index} has values from "
            f"{low[index]:.6g} to {high[index]:.6g}: rescale them."
        )
    for index in np.flatnonzero((low == 0) & (high == 0))[:1]:
        raise InvalidData(
            f"The {what} must not be zero everywhere, but image {index} is: it has no norm and "
            "cannot be amplitude-encoded; remove it."
        )


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images, checked when they are put together.

    Raises:
        InvalidData: If the images fail :func:`validate_images`, a dtype is another one, or the
            labels are not one to an image.
    """

    images: np.ndarray
    """``(count, channels, height, width)``, float32 in [0, 1]."""
    labels: np.ndarray
    """``(count,)``, int64: the data set's own label values."""
    name: str
    """The data set's name."""

    def __post_init__(self) -> None:
        validate_images(self.images, f"images of '{self.name}'")
        if self.images.dtype != np.float32:
            raise InvalidData(
                f"The images of '{self.name}' must be float32, got {self.images.dtype}."
            )
        if not isinstance(self.labels, np.ndarray) or self.labels.dtype != np.int64:
            kind = getattr(self.labels, "dtype", type(self.labels).__name__)
            raise InvalidData(f"The labels of '{self.name}' must be an int64 array, got {kind}.")
        if self.labels.shape != (len(self.images),):
            raise InvalidData(
                f"The labels of '{self.name}' must be one to an image, shape "
                f"({len(self.images)},), got {self.labels.shape}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return one_line("ImageSet", f"{len(self)} images of {self._shape}", f"of '{self.name}'")

    def _repr_html_(self) -> str:
        about = f"{len(self)} images of {self._shape}, of '{self.name}'"
        return card("ImageSet", self.shown(), about=about)

    def shown(self) -> Markup:
        """Return the first images as a picture."""
        from .grid import grid_png

        first = self.images[:MOST_SHOWN]
        return picture(grid_png(first), f"the first {len(first)} images")

    @property
    def _shape(self) -> str:
        return " x ".join(str(each) for each in self.images.shape[1:])


@dataclass(frozen=True, eq=False)
class Split:
    """Training images, and test images that are not among them."""

    train: ImageSet
    """Images that a model learns from."""
    test: ImageSet
    """Images by which it is judged."""

    def __repr__(self) -> str:
        return one_line("Split", self._counts, f"of '{self.train.name}'")

    def _repr_html_(self) -> str:
        labels = np.union1d(self.train.labels, self.test.labels)
        rows = [
            (label, *(int(np.sum(each.labels == label)) for each in (self.train, self.test)))
            for label in labels.tolist()
        ]
        counts = table(("label", "training", "test"), rows)
        about = f"{self._counts}, of '{self.train.name}'"
        return card("Split", self.train.shown(), folded(f"{len(rows)} labels", counts), about=about)

    @property
    def _counts(self) -> str:
        return f"{len(self.train)} training and {len(self.test)} test images"


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resample images to ``size`` x ``size`` pixels.

    Pillow's bilinear filter with antialiasing: each result is a weighted mean, the weights a
    triangle that is two *target* pixels wide (two source pixels when enlarging). This is what the
    papers' ``torchvision.transforms.Resize`` does.

    Args:
        images: ``(count, channels, height, width)``, real; if not square, they are squeezed.
        size: New height and width, 2 to 1024.

    Returns:
        ``(count, channels, size, size)``, float32, clipped to [0, 1]; always a new array.

    Raises:
        InvalidOption: If ``size`` is out of range.
        InvalidData: If ``images`` has another number of dimensions or an empty one, is not finite, or
            holds whole numbers beyond 1.
    """
    check_image_size(size)
    pixels = np.ascontiguousarray(_checked_pixels(images))
    count, channels, height, width = pixels.shape
    if (height, width) == (size, size):
        return np.clip(pixels, 0, 1)
    planes = pixels.reshape(-1, height, width)
    resized = np.empty((len(planes), size, size), dtype=np.float32)
    for plane, target in zip(planes, resized, strict=True):
        target[:] = np.asarray(
            Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)
        )
    return np.clip(resized, 0, 1).reshape(count, channels, size, size)


def convert_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Turn RGB into grey (ITU-R 601 luma), or grey into RGB (three equal channels).

    Args:
        images: ``(count, 1 or 3, height, width)``, real.
        channels: 1 for grey, 3 for RGB.

    Returns:
        ``(count, channels, height, width)``, float32, clipped to [0, 1]; always a new array.

    Raises:
        InvalidOption: If ``channels`` is neither 1 nor 3.
        InvalidData: If ``images`` has another shape, is not finite, or holds whole numbers beyond 1.
    """
    check_channels(channels)
    pixels = _checked_pixels(images)
    if pixels.shape[1] not in (1, 3):
        raise InvalidData(f"Images have 1 or 3 channels, got shape {pixels.shape}.")
    if pixels.shape[1] == 3 and channels == 1:
        pixels = np.einsum("nchw,c->nhw", pixels, _ITU_R_601)[:, None]
    elif pixels.shape[1] == 1 and channels == 3:
        pixels = np.repeat(pixels, 3, axis=1)
    return np.clip(pixels, 0, 1)


def check_channels(channels: int) -> None:
    """Refuse a number of channels other than 1 and 3.

    Raises:
        InvalidOption: If ``channels`` is neither.
    """
    if isinstance(channels, bool) or channels not in (1, 3):
        raise InvalidOption(f"Images have channels=1 (grey) or channels=3 (RGB), got {channels!r}.")


def _checked_pixels(images: np.ndarray) -> np.ndarray:
    """Return images as float32; refuse what cannot be images in [0, 1].

    Raises:
        InvalidArgument: If they are no array of real numbers.
        InvalidData: If the shape is another one, a value is not finite, or whole numbers go beyond 1:
            bytes would be clipped to white.
    """
    plain = isinstance(images, np.ndarray) and not isinstance(images, np.ma.MaskedArray)
    if not plain or images.dtype.kind not in "fiub":
        images = real_array(images, "images")
    if images.ndim != 4 or 0 in images.shape:
        raise InvalidData(
            "Images need shape (count, channels, height, width) without a zero, "
            f"got {images.shape}."
        )
    if images.dtype.kind in "iu" and images.max() > 1:
        raise InvalidData(
            f"Images lie in [0, 1], got whole numbers up to {images.max()}: divide bytes by 255."
        )
    pixels = np.asarray(images, dtype=np.float32)
    if not np.isfinite(pixels).all():
        raise InvalidData("Images hold finite numbers, got NaN or an infinity.")
    return pixels
