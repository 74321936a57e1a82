"""A sweep as files: its table, and a picture of its curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..arguments import checked_path
from ..files import write_together
from ..pages import Bars, Chart, Curve, Notes, Page, Section, Table, render_page
from ..sweeps import SweepResult
from .figures import new_figure, paper_figures, plain, png_bytes
from .run_table import table_json

__all__ = ["draw_curves", "sweep_page", "write_curves", "write_sweep"]

MOST_NAMED = 12
"""Most curves that the picture's legend names: those that end lowest."""
MOST_BARS = 30
"""Most runs whose seconds are drawn."""


def sweep_page(result: SweepResult) -> Page:
    """Return the page of a sweep for a browser."""
    found = result.table
    points = found.over_seeds()
    about = f"{len(found.rows)} runs" + (f", best {result.best}" if result.best else "")
    chart = Chart(
        "test loss by epoch, the lowest end first",
        "epoch",
        "test loss",
        [
            Curve(
                name,
                [row["epoch"] for row in result.curves[name]],
                [_number(row.get("test_loss")) for row in result.curves[name]],
            )
            for name in _best_first(result.curves)
        ],
        log=True,
    )
    sections = [Section("Loss", [chart])] if chart.curves else []
    if result.failures:
        said = [f"Warning: {name}: {words}" for name, words in result.failures.items()]
        sections.insert(0, Section("Failures", [Notes(said)]))
    sections.append(Section("Runs", [Table(found.columns, found.cells())]))
    if len(points.rows) < len(found.rows):
        sections.append(Section("Over seeds", [Table(points.columns, points.cells())]))
    sections += _cost(result.curves)
    return Page(found.title, about, sections)


def _cost(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Section]:
    """Return the seconds that training took, of all runs together and of the longest."""
    spent = {
        name: math.fsum(row["seconds"] for row in rows if row.get("seconds") is not None)
        for name, rows in curves.items()
    }
    known = sorted(((s, name) for name, s in spent.items() if s > 0), reverse=True)
    if not known:
        return []
    total = math.fsum(seconds for seconds, _ in known)
    said = (
        f"Training took {total:.3g} seconds in {len(known)} runs, {total / len(known):.3g} a run in "
        "the mean; what ran beside it on these machines is in these times."
    )
    longest = known[:MOST_BARS]
    title = f"seconds of training, the {len(longest)} longest of {len(known)} runs"
    bars = Bars(title, [name for _, name in longest], [("training", [s for s, _ in longest])])
    return [Section("Cost, and where it went", [Notes([said]), bars])]


def draw_curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Any:
    """Draw the test losses of all runs by epoch, on one logarithmic axis.

    Args:
        curves: Run to its rows of metrics.

    Returns:
        A matplotlib figure.
    """
    best = _best_first(curves)
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
    return figure


def write_sweep(result: SweepResult, folder: str | Path) -> tuple[Path, ...]:
    """Write a sweep's table as CSV, JSON and HTML, and its curves.

    Args:
        result: The sweep.
        folder: Made if it is missing; older files there are replaced.

    Returns:
        The paths.

    Raises:
        OutputNotWritable: If the folder cannot be written; nothing has changed then.
    """
    folder = checked_path(folder, "folder")
    found = result.table
    points = found.over_seeds()
    content = {**found.to_dict(), "best": result.best}
    if len(points.rows) < len(found.rows):
        content["over_seeds"] = replace(points, title="over seeds").to_dict()["rows"]
    contents = {
        folder / "runs.csv": found.to_csv().encode(),
        folder / "runs.json": table_json(content),
        folder / "runs.html": render_page(sweep_page(result)).encode(),
        folder / "curves.png": png_bytes(draw_curves(result.curves)),
    }
    write_together(contents)
    return tuple(contents)


def write_curves(
    result: SweepResult, folder: str | Path, formats: Sequence[str]
) -> tuple[Path, ...]:
    """Write a sweep's curves in other formats than PNG: ``curves.svg``, ``curves.pdf``.

    Raises:
        OutputNotWritable: If the folder cannot be written.
        UnknownName: If there is no such format.
    """
    folder = checked_path(folder, "folder")
    contents = paper_figures({"curves": draw_curves(result.curves)}, folder, formats)
    write_together(contents)
    return tuple(contents)


def _best_first(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    """Return the runs that have metrics, by their last test loss."""
    ends = {name: _number(rows[-1].get("test_loss")) for name, rows in curves.items() if rows}
    return sorted(ends, key=ends.__getitem__)


def _number(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value


def _colours(count: int) -> list[Any]:
    """Return a colour for each place, the best darkest."""
    from matplotlib import colormaps

    shades = colormaps["viridis"]
    return [shades(0.9 * place / max(1, count - 1)) for place in range(count)]
