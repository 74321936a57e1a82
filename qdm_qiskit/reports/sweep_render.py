"""A sweep as files: its table, and a picture of its curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..files import write_together
from ..sweeps import SweepResult
from .figures import new_figure, plain, png_bytes
from .run_table import table_json
from .side_by_side import render_page

__all__ = ["curves_png", "write_sweep"]

MOST_NAMED = 12
"""Most curves that the legend names: those that end lowest."""


def curves_png(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> bytes:
    """Draw the test losses of all runs by epoch, on one logarithmic axis.

    Args:
        curves: Run to its rows of metrics.

    Returns:
        PNG bytes.
    """
    ends = {name: _number(rows[-1].get("test_loss")) for name, rows in curves.items() if rows}
    best = sorted(ends, key=ends.__getitem__)
    figure = new_figure((9, 4.5))
    axis = figure.subplots()
    colours = _colours(len(best))
    for place, name in reversed(list(enumerate(best))):  # the best is drawn last, above
        rows = curves[name]
        axis.plot(
            [row["epoch"] for row in rows],
            [_number(row.get("test_loss")) for row in rows],
            color=colours[place],
            linewidth=1.6 if place == 0 else 0.9,
            marker="." if len(rows) == 1 else None,
            label=plain(name, " -_.:()/,=+") if place < MOST_NAMED else None,
        )
    axis.set_yscale("log")
    axis.set_xlabel("epoch")
    axis.set_ylabel("test loss")
    axis.spines[["top", "right"]].set_visible(False)
    if best:
        handles, labels = axis.get_legend_handles_labels()
        named = min(len(best), MOST_NAMED)
        axis.legend(
            handles[::-1],
            labels[::-1],
            fontsize=6,
            title=f"the lowest {named} of {len(best)}",
            title_fontsize=7,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
        )
    return png_bytes(figure)


def write_sweep(result: SweepResult, folder: Path) -> tuple[Path, ...]:
    """Write a sweep's table as CSV, JSON and HTML, and its curves.

    Args:
        result: The sweep.
        folder: Made if it is missing; older files there are replaced.

    Returns:
        The paths.

    Raises:
        OutputNotWritable: If the folder cannot be written; nothing has changed then.
    """
    found = result.table
    points = found.over_seeds()
    several = len(points.rows) < len(found.rows)
    picture = curves_png(result.curves)
    about = f"{len(found.rows)} runs" + (f", best {result.best}" if result.best else "")
    said = [f"{name}: {words}" for name, words in result.failures.items()]
    lines = [list(found.columns), *found.cells()]
    if several:
        lines += [[], ["over seeds"], list(points.columns), *points.cells()]
    page = render_page(found.title, about, lines, said, {"test loss by epoch": picture})
    content = {**found.to_dict(), "best": result.best}
    if several:
        content["over_seeds"] = replace(points, title="over seeds").to_dict()["rows"]
    contents = {
        folder / "runs.csv": found.to_csv().encode(),
        folder / "runs.json": table_json(content),
        folder / "runs.html": page.encode(),
        folder / "curves.png": picture,
    }
    write_together(contents)
    return tuple(contents)


def _number(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value


def _colours(count: int) -> list[Any]:
    """Return a colour for each place, the best darkest."""
    from matplotlib import colormaps

    shades = colormaps["viridis"]
    return [shades(0.9 * place / max(1, count - 1)) for place in range(count)]
