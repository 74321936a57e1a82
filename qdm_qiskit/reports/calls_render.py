"""JSON and Markdown of what a run of many circuits costs, from ``RunReport.to_dict``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..evaluation.run_cost import HEAD, RunReport, about_line, row_lines, total_line
from ..files import write_together
from .transpile_render import markdown_table, render_json

__all__ = [
    "render_markdown",
    "write_calls_report",
]


def render_markdown(data: dict[str, Any]) -> bytes:
    """Render for each device a run's total, and a line for each distinct circuit."""
    lines = [f"# Cost of a run: {data['name']}", "", f"{about_line(data)}.".capitalize()]
    for backend in data["backends"]:
        lines += ["", f"## {backend['backend']}", "", f"**{total_line(backend)}**", ""]
        lines += markdown_table(HEAD, row_lines(backend))
    versions = ", ".join(f"{k} {v}" for k, v in data["versions"].items())
    lines += [
        "",
        "Numbers of a circuit are of its largest basis; circuits that differ in their weights only "
        "share them, unless every one was transpiled. Two-qubit gates of a run count each bound "
        "circuit once, whatever its shots. QPU seconds are jobs x 2 s + shots x (repetition delay + "
        "circuit length), IBM's formula, without readout calibration. Optimization level "
        f"{data['level']}, best of seeds {list(data['seeds'])}; {versions}.",
        "",
    ]
    return "\n".join(lines).encode()


def write_calls_report(report: RunReport, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write ``NAME.json`` and ``NAME.md``; both appear or none.

    Args:
        report: Report to write.
        folder: Folder of the files; made if it does not exist.

    Returns:
        Paths of the files.

    Raises:
        OutputNotWritable: If the folder cannot be made or written, or the disk is full.
    """
    data = report.to_dict()
    rendered = {".json": render_json(data), ".md": render_markdown(data)}
    paths = {Path(folder) / f"{report.name}{suffix}": text for suffix, text in rendered.items()}
    write_together(paths)
    return tuple(paths)
