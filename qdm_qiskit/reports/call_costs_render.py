"""The three forms of a report on circuit calls, from the dict of ``CallCosts.to_dict``."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

from ..evaluation.call_costs import HEAD, CallCosts, row_cells, run_words
from ..files import write_together

__all__ = ["render_json", "render_markdown", "render_png", "write_call_costs"]


def render_json(data: dict[str, Any]) -> bytes:
    """Return every number, indented, with a newline at the end."""
    return (json.dumps(data, indent=2) + "\n").encode()


def render_markdown(data: dict[str, Any]) -> bytes:
    """Return for each device what a run costs, and a row for each distinct circuit."""
    lines = [
        f"# Circuit calls: {data['name']}",
        "",
        f"A step makes {data['calls']} calls in {data['jobs']} jobs. Optimization level "
        f"{data['level']}, best of {len(data['seeds'])} transpiler seeds.",
    ]
    for device in data["devices"]:
        lines += ["", f"## {device['backend']}", "", f"**{run_words(data, device)}**", ""]
        lines += ["| " + " | ".join(HEAD) + " |", "|---" + "|---:" * (len(HEAD) - 1) + "|"]
        for row in device["circuits"]:
            lines.append("| " + " | ".join(str(each) for each in row_cells(row)) + " |")
        lines += [""] + [
            f"- {row['name']} on {row['qubits']} qubits: {', '.join(row['calls'])}"
            for row in device["circuits"]
        ]
    versions = ", ".join(f"{k} {v}" for k, v in data["versions"].items())
    lines += [
        "",
        "Circuits that differ in weights alone are one row; one of them was transpiled. QPU seconds "
        "= jobs x overhead + executions x (repetition delay + circuit length), by IBM's formula; a job "
        "above the service's limit of executions is counted as several. Readout calibrations come on "
        f"top. {versions}.",
        "",
    ]
    return "\n".join(lines).encode()


def render_png(data: dict[str, Any]) -> bytes:
    """Return bars for each circuit and device: two-qubit gates, and expected success."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figure and canvas by hand: pyplot would set a global backend for the caller's process.
    devices = data["devices"]
    names = [f"{row['name']}\n{row['qubits']} qubits" for row in devices[0]["circuits"]]
    figure = Figure(figsize=(9.0, 1.6 + 0.5 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    height = 0.8 / len(devices)
    for panel, key, title in zip(
        panels,
        ("two_qubit_gates", "expected_success"),
        ("two-qubit gates", "expected success"),
        strict=True,
    ):
        for number, device in enumerate(devices):
            places = [row + number * height for row in range(len(names))]
            values = [row[key] for row in device["circuits"]]
            panel.barh(places, values, height=0.9 * height, label=device["backend"])
        panel.set_title(title)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks([row + 0.4 - height / 2 for row in range(len(names))], names)
    panels[0].invert_yaxis()
    panels[1].set_xlim(0, 1)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False)
    figure.suptitle(data["name"])
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
    return file.getvalue()


def write_call_costs(costs: CallCosts, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write ``NAME.json``, ``NAME.md`` and ``NAME.png``; older ones of this name are replaced.

    All three appear or none.

    Args:
        costs: What to write.
        folder: Where; made if it does not exist.

    Returns:
        Paths of the JSON, Markdown and PNG files.

    Raises:
        OutputNotWritable: If the folder cannot be made or written, or the disk is full.
    """
    data = costs.to_dict()
    forms = {".json": render_json(data), ".md": render_markdown(data), ".png": render_png(data)}
    paths = {Path(folder) / f"{costs.name}{suffix}": text for suffix, text in forms.items()}
    write_together(paths)
    return tuple(paths)
