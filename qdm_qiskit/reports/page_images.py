"""Images as parts of a page: grids, and the steps of a chain below each other in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..data import grid_png
from ..pages import Chain, Picture, Strip

__all__ = ["MOST_FRAMES", "MOST_SHOWN", "chain_part", "frames_shown", "grid_picture"]

MOST_FRAMES = 48
"""Most steps of a chain on a page, both ends among them."""
MOST_SHOWN = 6
"""Most images of a chain on a page."""
_WIDE = 168
"""Screen pixels to which an image grid is enlarged, about."""


def grid_picture(
    images: np.ndarray, title: str, about: str = "", *, columns: int | None = None
) -> Picture:
    """Return images as one picture.

    Args:
        images: ``(count, channels, height, width)``, from 0 to 1; other values are clipped.
        title: What they are.
        about: A sentence on them.
        columns: Images in a row; about a square if None.
    """
    across = columns or max(1, round(len(images) ** 0.5))
    scale = max(1, _WIDE // (across * images.shape[3])) if columns is None else 1
    if columns is not None:
        scale = max(1, 40 // images.shape[3])
    return Picture(grid_png(np.clip(images, 0, 1), columns=columns, scale=scale), title, about)


def frames_shown(count: int) -> list[int]:
    """Return which of so many steps a page has: all, or :data:`MOST_FRAMES` evenly spread."""
    number = min(count, MOST_FRAMES)
    return [round(k * (count - 1) / max(1, number - 1)) for k in range(number)]


def chain_part(
    title: str,
    paths: Mapping[str, np.ndarray],
    labels: Sequence[str],
    notes: Sequence[str] = (),
) -> Chain:
    """Return images by step, for a slider.

    Args:
        title: What the chain is.
        paths: Name to ``(steps, count, channels, height, width)``, all of as many steps.
        labels: What each step is.
        notes: A line for each step, or none.
    """
    kept = frames_shown(len(labels))
    strips = []
    for name, path in paths.items():
        frames = np.clip(path[kept, :MOST_SHOWN], 0, 1)
        count, each, channels, height, width = frames.shape
        png = grid_png(frames.reshape(-1, channels, height, width), columns=each, scale=1)
        # One pixel between images, in a grid of as many rows as frames.
        strips.append(Strip(name, png, each * (width + 1) - 1, height, height + 1, count))
    return Chain(
        title, strips, [labels[k] for k in kept], [notes[k] for k in kept] if notes else ()
    )
