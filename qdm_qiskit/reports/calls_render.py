"""JSON, Markdown and a page of what a run of many circuits costs, from ``RunReport.to_dict``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..evaluation.run_cost import HEAD, RunReport, about_line, row_lines, total_line
from ..files import write_together
from ..pages import Bars, Notes, Page, Section, Table, render_page
from .transpile_render import markdown_table, render_json

__all__ = [
    "calls_page",
    "render_markdown",
    "write_calls_report",
]


def render_markdown(data: dict[str, Any]) -> bytes:
    """Render for each device a run's total, and a line for each distinct circuit."""
    lines = [f"# Cost of a run: {data['name']}", "", f"{about_line(data)}.".capitalize()]
    for backend in data["backends"]:
        lines += ["", f"## {backend['backend']}", "", f"**{total_line(backend)}**", ""]
        lines += markdown_table(HEAD, row_lines(backend))
    lines += ["", _closing(data), ""]
    return "\n".join(lines).encode()


def calls_page(data: dict[str, Any]) -> Page:
    """Return the report as a page for a browser."""
    backends = data["backends"]
    priced = [each for each in backends if each["total"] is not None]
    names = [each["backend"] for each in priced]
    sections = []
    if priced:
        parts = [
            Bars(title, names, [("a run", [float(each["total"][key]) for each in priced])])
            for title, key in (
                ("QPU seconds", "qpu_seconds"),
                ("two-qubit gates", "two_qubit_gates"),
                ("circuits", "circuits"),
            )
        ]
        sections.append(Section("Cost, and where it goes", parts))
    for each in backends:
        rows = Table(HEAD, row_lines(each))
        sections.append(
            Section(each["backend"], [Notes([total_line(each)]), *_gates_of(each), rows])
        )
    sections.append(Section("How to read it", [Notes([_closing(data)])]))
    about = f"{about_line(data)}.".capitalize()
    return Page(f"Cost of a run: {data['name']}", about, sections)


def _gates_of(backend: dict[str, Any]) -> list[Bars]:
    """Return the two-qubit gates of a step by circuit, each as often as it is called."""
    rows = [each for each in backend["rows"] if each["two_qubit_gates"] is not None]
    if len(rows) < 2:
        return []
    names = [f"{each['circuit']} {each['content']}" for each in rows]
    gates = [float(each["two_qubit_gates"] * each["rows"] * each["bases"]) for each in rows]
    title = "two-qubit gates of a step: those of a circuit, times its rows and bases"
    return [Bars(title, names, [("gates", gates)])]


def _closing(data: dict[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in data["versions"].items())
    return (
        "Numbers of a circuit are of its largest basis; circuits that differ in their weights only "
        "share them, unless every one was transpiled. Two-qubit gates of a run count each bound "
        "circuit once, whatever its shots. QPU seconds are jobs x 2 s + shots x (repetition delay + "
        "circuit length), IBM's formula, without readout calibration. Optimization level "
        f"{data['level']}, best of seeds {list(data['seeds'])}; {versions}."
    )


def write_calls_report(report: RunReport, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write ``NAME.json``, ``NAME.md`` and ``NAME.html``; all of them appear or none.

    Args:
        report: Report to write.
        folder: Folder of the files; made if it does not exist.

    Returns:
        Paths of the files.

    Raises:
        OutputNotWritable: If the folder cannot be made or written, or the disk is full.
    """
    data = report.to_dict()
    rendered = {
        ".json": render_json(data),
        ".md": render_markdown(data),
        ".html": render_page(calls_page(data)).encode(),
    }
    paths = {Path(folder) / f"{report.name}{suffix}": text for suffix, text in rendered.items()}
    write_together(paths)
    return tuple(paths)
