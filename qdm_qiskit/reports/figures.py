"""Figures without a window: grids of images, PNG bytes, and text that matplotlib leaves alone."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ..data import image_grid

__all__ = ["new_figure", "plain", "png_bytes", "show_grid"]


def show_grid(axis: Any, images: np.ndarray, columns: int, title: str) -> None:
    """Draw images side by side on a matplotlib axis."""
    grid = image_grid(np.clip(images, 0, 1), columns)
    axis.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_title(title, fontsize=8)
    axis.axis("off")


def png_bytes(figure: Any) -> bytes:
    """Return a matplotlib figure as PNG, without the time and the version in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def new_figure(size: tuple[float, float]) -> Any:
    """Return a matplotlib figure of a size in inches, without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(text: str, allowed: str = " -_.:()/") -> str:
    """Return a name or title without what Markdown, HTML or matplotlib takes for markup."""
    return "".join(each if each.isalnum() or each in allowed else "?" for each in text)
