"""A ladder as a table for the terminal, a page and a picture; functions of plain values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import checked_path
from ..evaluation.ladder import HEAD, Ladder, about_ladder, ladder_lines, ladder_notes
from ..files import write_together
from .figures import new_figure, png_bytes, show_grid

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["ladder_markdown", "ladder_png", "ladder_table", "write_ladder"]

_SHOWN = 8
"""Images of each rung in the picture."""
_NOISE, _REMEDY = "#6f6f6f", "#0f62fe"
_PARTS = ("exact", "shots", "gates", "readout", "all", "waiting")
"""Rungs that add noise; all others are remedies."""


def ladder_table(data: dict[str, Any]) -> Table:
    """Render the rungs as a table for the terminal.

    Args:
        data: Result of ``Ladder.to_dict``.
    """
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(about_ladder(data)), title_justify="left")
    for k, name in enumerate(HEAD):
        table.add_column(name, justify="right" if k else "left")
    for cells in ladder_lines(data):
        table.add_row(*map(escape, cells))
    return table


def ladder_markdown(data: dict[str, Any]) -> str:
    """Render the ladder as a page.

    Args:
        data: Result of ``Ladder.to_dict``.
    """
    lines = [
        "# Ladder",
        "",
        f"{about_ladder(data)}.",
        "",
        "![distances and images](ladder.png)",
        "",
    ]
    lines += ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(cells) + " |" for cells in ladder_lines(data)]
    lines += ["", *[f"* {each}" for each in ladder_notes(data)], ""]
    return "\n".join(lines)


def ladder_png(data: dict[str, Any], images: dict[str, np.ndarray]) -> bytes:
    """Draw each rung's distance with its interval, and some of its images.

    Args:
        data: Result of ``Ladder.to_dict``.
        images: Rung to ``(count, channels, height, width)``.

    Returns:
        PNG bytes.
    """
    rows = [row for row in data["rungs"] if not row["problem"]]
    figure = new_figure((10, 0.5 * len(rows) + 1.2))
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1])
    axis = left.subplots()
    _bars(axis, rows)
    grids = np.atleast_1d(right.subplots(len(rows), 1))
    for each, row in zip(grids, rows, strict=True):
        shown = images[row["name"]][:_SHOWN]
        show_grid(each, shown, len(shown), "")
    return png_bytes(figure)


def _bars(axis: Any, rows: list[dict[str, Any]]) -> None:
    places = range(len(rows))
    for place, row in zip(places, rows, strict=True):
        found = row["distance"]
        colour = _NOISE if row["name"] in _PARTS else _REMEDY
        axis.barh(place, found["estimate"], color=colour, alpha=0.35)
        # A line, not an error bar: the interval need not hold the estimate, whose bias it takes off.
        axis.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=2)
    axis.set_yticks(places, [row["title"] for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.set_xlabel("distance to the exact images (RMS over pixels)", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def write_ladder(ladder: Ladder, folder: str | Path) -> tuple[Path, ...]:
    """Write ``ladder.png``, ``ladder.md`` and ``ladder.json``.

    Args:
        ladder: The ladder.
        folder: Made if it is missing; an older ladder there is replaced.

    Returns:
        The paths.

    Raises:
        OutputNotWritable: If the folder cannot be written; nothing has changed then.
    """
    folder = checked_path(folder, "folder")
    data = ladder.to_dict()
    contents = {
        folder / "ladder.png": ladder_png(data, ladder.images),
        folder / "ladder.md": ladder_markdown(data).encode(),
        folder / "ladder.json": (
            json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n"
        ).encode(),
    }
    write_together(contents)
    return tuple(contents)
