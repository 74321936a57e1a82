"""System metrics as tables for the terminal, a page for a browser, CSV and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..arguments import checked_path
from ..evaluation.system import SPREAD_HEAD, SystemReport, spread_lines, spread_title
from ..files import write_together
from ..pages import Bars, Notes, Page, Part, Section, Table, render_page

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["system_json", "system_page", "system_tables", "system_width", "write_system"]

_TIMES = (
    ("queue_seconds", "in queues"),
    ("run_seconds", "running circuits"),
    ("communication_seconds", "sending and fetching"),
    ("classical_seconds", "classical work"),
)
_WIDEST = 240
"""Characters of a line, beyond which the last columns fold."""


def system_tables(report: SystemReport) -> list[RichTable]:
    """Render the sections as tables for the terminal, then what varies.

    Args:
        report: The report.
    """
    tables = [_rich(head, lines) for head, lines in _tables(report)]
    for each in report.spreads:
        made = _rich(list(SPREAD_HEAD), spread_lines(each))
        made.title = _escaped(spread_title(each))
        tables.append(made)
    return tables


def system_width(report: SystemReport) -> int:
    """Return the width at which no cell is broken, at most 240 characters."""
    widest = 80
    shown = [*_tables(report), *((SPREAD_HEAD, spread_lines(e)) for e in report.spreads)]
    for head, lines in shown:
        columns = zip(*([str(cell) for cell in line] for line in (head, *lines)), strict=True)
        widest = max(widest, sum(max(map(len, column)) + 3 for column in columns) + 1)
    return min(widest, _WIDEST)


def system_page(report: SystemReport) -> Page:
    """Return the page for a browser."""
    names = [run.name for run in report.runs]
    sections = [
        Section(str(head[0]), [Table(["", *head[1:]], lines), *_charts(str(head[0]), report)])
        for head, lines in _tables(report)
    ]
    said: list[Part] = []
    for each in report.spreads:
        said.append(Notes([spread_title(each)]))
        said.append(Table(SPREAD_HEAD, spread_lines(each)))
    sections.append(Section("Stability and reproducibility", [*said, Notes(report.notes())]))
    unknown = report.unknown()
    if unknown:
        sections.append(Section("What is not known", [Notes(unknown)]))
    about = "1 run" if len(names) == 1 else f"{len(names)} runs, one a column"
    return Page("System metrics", about, sections)


def system_json(report: SystemReport) -> str:
    """Return the report as JSON text."""
    return json.dumps(report.to_dict(), indent=2, sort_keys=True, allow_nan=False)


def write_system(report: SystemReport, folder: str | Path) -> tuple[Path, ...]:
    """Write ``system.csv``, ``system.json`` and ``system.html``.

    Args:
        report: The report.
        folder: Made if it is missing; an older report there is replaced.

    Returns:
        The paths.

    Raises:
        OutputNotWritable: If the folder cannot be written; nothing has changed then.
    """
    folder = checked_path(folder, "folder")
    contents = {
        folder / "system.csv": report.to_csv().encode(),
        folder / "system.json": (system_json(report) + "\n").encode(),
        folder / "system.html": render_page(system_page(report)).encode(),
    }
    write_together(contents)
    return tuple(contents)


def _tables(report: SystemReport) -> list[tuple[list[str], list[list[str]]]]:
    """Return head and lines of each section."""
    names = [run.name for run in report.runs]
    found = [
        ([title, *names], [[row.title, *cells] for row, cells in lines])
        for title, lines in report.sections().items()
    ]
    if report.quality_lines():
        found.append((["Quality", *names], report.quality_lines()))
    return found


def _charts(section: str, report: SystemReport) -> list[Part]:
    """Return bars of the parts of the latency, below its table."""
    if section != "Latency":
        return []

    def seconds(key: str) -> list[float | None]:
        values = [run.values.get(key) for run in report.runs]
        return [float(v) if isinstance(v, int | float) else None for v in values]

    series = [(title, seconds(key)) for key, title in _TIMES]
    series = [(title, values) for title, values in series if any(v for v in values)]
    if not series:
        return []
    names = [run.name for run in report.runs]
    return [Bars("where the time goes, in seconds", names, series, stacked=True)]


def _rich(head: list[str], lines: list[list[str]]) -> RichTable:
    from rich.table import Table as RichTable

    made = RichTable(title_justify="left")
    for k, name in enumerate(head):
        made.add_column(_escaped(name), justify="right" if k else "left", overflow="fold")
    for cells in lines:
        made.add_row(*map(_escaped, cells))
    return made


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
