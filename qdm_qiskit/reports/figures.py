"""Figures without a window: grids of images, files of a format, text that matplotlib leaves alone."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import all_of_kind
from ..data import image_grid
from ..errors import unknown_name

__all__ = [
    "FORMATS",
    "check_formats",
    "figure_bytes",
    "new_figure",
    "paper_figures",
    "plain",
    "png_bytes",
    "show_grid",
]

FORMATS = ("svg", "pdf")
"""Formats of figures for papers, beside the PNG that each report has."""
_NO_DATE = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def show_grid(axis: Any, images: np.ndarray, columns: int, title: str) -> None:
    """Draw images side by side on a matplotlib axis."""
    grid = image_grid(np.clip(images, 0, 1), columns)
    axis.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_title(title, fontsize=8)
    axis.axis("off")


def png_bytes(figure: Any, dpi: int = 110) -> bytes:
    """Return a matplotlib figure as PNG, without the time and the version in it."""
    return figure_bytes(figure, "png", dpi)


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """Return the formats, each once.

    Raises:
        InvalidArgument: If they are no list of names.
        UnknownName: If one is not among :data:`FORMATS`.
    """
    for each in all_of_kind(formats, str, "formats", "a list, as in ['svg']"):
        if each not in FORMATS:
            raise unknown_name("format of figures called", each, FORMATS)
    return tuple(dict.fromkeys(formats))


def paper_figures(
    figures: Mapping[str, Any], folder: Path, formats: Sequence[str]
) -> dict[Path, bytes]:
    """Return figures as files of other formats: nothing if no format is asked for.

    Lines and text stay lines and text, PDF with its fonts inside; images of pixels stay pixels.

    Args:
        figures: Name of the file without its suffix, to the matplotlib figure.
        folder: Folder of the files.
        formats: Some of :data:`FORMATS`.

    Raises:
        UnknownName: If there is no such format.
    """
    return {
        folder / f"{name}.{form}": figure_bytes(figure, form, 300)
        for form in check_formats(formats)
        for name, figure in figures.items()
    }


def figure_bytes(figure: Any, form: str, dpi: int) -> bytes:
    """Return a matplotlib figure as a file of png, svg or pdf, the same each time."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # Text of a PDF as TrueType, which journals ask for; ids of an SVG the same each time.
    with rc_context({"pdf.fonttype": 42, "svg.hashsalt": "qdm_qiskit"}):
        figure.savefig(buffer, format=form, dpi=dpi, metadata=_NO_DATE[form])
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
