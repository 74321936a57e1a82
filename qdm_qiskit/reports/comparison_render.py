"""A comparison of devices as files: its table, and a picture with a line for each device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..arguments import checked_path
from ..evaluation.comparison import Comparison, Failing
from ..files import write_together
from ..overview import RunRow, RunTable
from ..pages import Dots, Mark, Notes, Page, Panel, Section, Table, render_page
from .figures import check_formats, new_figure, paper_figures, plain, png_bytes
from .run_table import table_json

__all__ = ["comparison_page", "draw_comparison", "write_comparison"]

_PANELS = (
    ("success", "expected success"),
    ("signal_left", "signal left"),
    ("cnots", "CNOTs"),
    ("depth", "depth"),
    ("qpu_seconds", "QPU seconds"),
)
_SHARES = ("success", "signal_left")
_WIDE = 8.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""
_COLOURS = ("#0f62fe", "#da1e28", "#198038", "#8a3ffc", "#b28600", "#007d79")
_MARKS = "os^Dv<>pP*X"


def comparison_page(found: Comparison, failing: Sequence[Failing] = ()) -> Page:
    """Return the page of a comparison for a browser.

    Args:
        found: The comparison.
        failing: Rows beyond limits.
    """
    table = found.table
    done = [row for row in table.rows if row.state == "done"]
    devices = list(dict.fromkeys(row.name for row in done))
    variants = list(dict.fromkeys(_variant(table, row) for row in done))
    panels = []
    for column, title in _PANELS:
        rows = [row for row in done if row.value(column) is not None]
        marks = [
            Mark(
                devices.index(row.name),
                float(row.value(column)),
                series=variants.index(_variant(table, row)),
            )
            for row in rows
        ]
        if marks:
            share = (0.0, 1.0) if column in _SHARES else None
            share = share if all(mark.value <= 1 for mark in marks) else None
            panels.append(Panel(title, marks, log=_wide([m.value for m in marks]), ends=share))
    said = [f"Warning: beyond a limit: {each}" for each in failing]
    said += [f"Warning: failed: {name}: {words}" for name, words in found.failures.items()]
    sections = [Section("Limits and failures", [Notes(said)])] if said else []
    if panels:
        names = variants if len(variants) > 1 else []
        parts = [
            Dots("each device, the best above; a click on a title orders", devices, panels, names)
        ]
        sections.append(Section("Devices", parts))
    head, *cells = ([line[-1], *line[:-1]] for line in (list(table.columns), *table.cells()))
    sections.append(Section("All numbers", [Table(head, cells)]))
    if found.notes():
        sections.append(Section("Where it does not run", [Notes(found.notes())]))
    return Page(table.title, found.about, sections)


def _wide(values: Sequence[float]) -> bool:
    """Return whether values spread so far that a logarithmic axis shows them better."""
    return bool(values) and min(values) > 0 and max(values) > _WIDE * min(values)


def draw_comparison(found: RunTable) -> Any:
    """Draw a line for each device, best above, with a mark in each panel for each level and loader.

    Args:
        found: A comparison's table, in its order.

    Returns:
        A matplotlib figure, the taller the more devices there are.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    done = [row for row in found.rows if row.state == "done"]
    devices = list(dict.fromkeys(row.name for row in done))
    variants = list(dict.fromkeys(_variant(found, row) for row in done))
    figure = new_figure((11.0, 1.4 + 0.17 * max(4, len(devices))))
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    for axis, (column, title) in zip(panels, _PANELS, strict=True):
        for k, variant in enumerate(variants):
            rows = [row for row in done if _variant(found, row) == variant]
            rows = [row for row in rows if row.value(column) is not None]
            axis.plot(
                [row.value(column) for row in rows],
                [devices.index(row.name) for row in rows],
                linestyle="none",
                marker=_MARKS[k % len(_MARKS)],
                markersize=4,
                color=_COLOURS[k % len(_COLOURS)],
                label=plain(variant, " -_.:()/,=+"),
            )
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        values = [row.value(column) for row in done if row.value(column) is not None]
        if column in _SHARES:
            axis.set_xlim(0, 1)
        elif _wide(values):
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        else:
            axis.set_xlim(0, 1.05 * max([1, *values]))
        axis.grid(axis="both", color="#dddddd", linewidth=0.5)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(devices)), [plain(each, " -_.@") for each in devices])
    panels[0].set_ylim(len(devices) - 0.5, -0.5)
    if len(variants) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=4, fontsize=7, frameon=False
        )
    figure.suptitle(plain(found.title), fontsize=10)
    return figure


def write_comparison(
    found: Comparison,
    folder: str | Path,
    failing: Sequence[Failing] = (),
    formats: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write a comparison as ``comparison.csv``, ``.json``, ``.html`` and ``.png``.

    Args:
        found: The comparison, its table in the order that is to be written.
        folder: Made if it is missing; older files there are replaced.
        failing: Rows beyond limits, which the page and the JSON name.
        formats: Formats of the figure beside PNG: ``svg``, ``pdf``.

    Returns:
        The paths.

    Raises:
        OutputNotWritable: If the folder cannot be written; nothing has changed then.
        UnknownName: If there is no such format.
    """
    folder = checked_path(folder, "folder")
    check_formats(formats)
    figure = draw_comparison(found.table)
    content = {**found.to_dict(), "failing": [str(each) for each in failing]}
    contents = {
        folder / "comparison.csv": found.table.to_csv().encode(),
        folder / "comparison.json": table_json(content),
        folder / "comparison.html": render_page(comparison_page(found, failing)).encode(),
        folder / "comparison.png": png_bytes(figure),
        **paper_figures({"comparison": figure}, folder, formats),
    }
    write_together(contents)
    return tuple(contents)


def _variant(found: RunTable, row: RunRow) -> str:
    return ", ".join(f"{each} {row.options[each]}" for each in found.options)
