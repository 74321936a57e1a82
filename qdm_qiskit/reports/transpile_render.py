"""The three forms of a transpile report, as bytes, from the dict of ``TranspileReport.to_dict``."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

from ..evaluation.transpile import TranspileReport
from ..evaluation.transpile_card import PARTS, cost_lines, spread_lines
from ..files import write_together

__all__ = [
    "markdown_table",
    "render_json",
    "render_markdown",
    "render_png",
    "write_report",
]


def render_json(data: dict[str, Any]) -> bytes:
    """Return every number as JSON, indented, with a newline at the end."""
    return (json.dumps(data, indent=2) + "\n").encode()


def render_markdown(data: dict[str, Any]) -> bytes:
    """Render a screen a device: verdict, costs of loader, denoiser and total, layout, spread."""
    logical = data["logical"]
    lines = [
        f"# Transpile report: {data['name']}",
        "",
        f"Optimization level {data['level']}, best of {len(data['seeds'])} transpiler seeds, "
        f"verdicts for {data['shots']} shots.",
        "",
        "## Logical circuit",
        "",
        f"{logical['total']['qubits']} qubits, {logical['total']['parameters']} free parameters "
        "(weights that have values are not counted); "
        "in one-qubit unitaries and CNOTs:",
        "",
        *markdown_table(
            ["", *PARTS],
            [
                ["depth", *(logical[p]["depth"] for p in PARTS)],
                ["CNOT depth", *(logical[p]["cnot_depth"] for p in PARTS)],
                ["CNOTs", *(logical[p]["cnot_count"] for p in PARTS)],
            ],
        ),
    ]
    for backend in data["backends"]:
        lines += ["", *_backend_section(backend)]
    versions = ", ".join(f"{k} {v}" for k, v in data["versions"].items())
    lines += [
        "",
        "Expected success is the product of 1 - error over gates and measurements; idle success, "
        "not in it, is what waiting costs by T1 and T2. Depth counts virtual rz and measurements. "
        f"Seeds {list(data['seeds'])}; {versions}.",
        "",
    ]
    return "\n".join(lines).encode()


def _backend_section(backend: dict[str, Any]) -> list[str]:
    return [
        f"## {backend['backend']}",
        "",
        f"**{backend['verdict']['sentence']}** ({backend['verdict']['method']})",
        "",
        *markdown_table(["", *PARTS], cost_lines(backend["cost"])),
        "",
        f"Seed {backend['best_seed']}; layout {list(backend['layout'])} of "
        f"{backend['device_qubits']} qubits, measured {list(backend['measured_qubits'])}. "
        "Over all seeds:",
        "",
        *markdown_table(["", "smallest", "median", "largest"], spread_lines(backend["spread"])),
    ]


def render_png(data: dict[str, Any]) -> bytes:
    """Draw bars a device: two-qubit gates and depth, loader below denoiser, and success."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figure and canvas by hand: pyplot would set a global backend for the caller's process.
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    names = [b["backend"].removeprefix("fake_") for b in data["backends"]]
    panels = figure.subplots(1, 3)
    for axes, key, title in zip(
        panels[:2], ("two_qubit_count", "depth"), ("two-qubit gates", "depth"), strict=True
    ):
        loader = [b["cost"]["loader"][key] for b in data["backends"]]
        denoiser = [b["cost"]["denoiser"][key] for b in data["backends"]]
        axes.bar(names, loader, label="loader", color="#8a8f98")
        axes.bar(names, denoiser, bottom=loader, label="denoiser", color="#0f62fe")
        axes.set_title(title)
    success = [b["cost"]["total"]["expected_success"] for b in data["backends"]]
    colors = [_colour(b["verdict"]) for b in data["backends"]]
    panels[2].bar(names, success, color=colors)
    panels[2].set_title("expected success")
    panels[2].set_xlabel("green: most of the signal left, amber: less than half, red: erased")
    panels[2].set_ylim(0, 1)
    for axes in panels:
        axes.tick_params(axis="x", rotation=30)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(data["name"])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
    return file.getvalue()


def markdown_table(head: list[Any], rows: list[list[Any]]) -> list[str]:
    """Return the lines of a table, numbers to the right."""
    line = "| " + " | ".join(str(h) for h in head) + " |"
    rule = "|---" + "|---:" * (len(head) - 1) + "|"
    return [line, rule, *("| " + " | ".join(str(c) for c in row) + " |" for row in rows)]


def _colour(verdict: dict[str, Any]) -> str:
    if verdict["erased"]:
        return "#da1e28"
    return "#198038" if verdict["fraction"] >= 0.5 else "#f1c21b"


def write_report(report: TranspileReport, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write ``NAME.json``, ``NAME.md`` and ``NAME.png``; an older report of this name is replaced.

    All three appear or none.

    Args:
        report: Report to write.
        folder: Folder of the files; made if it does not exist.

    Returns:
        Paths of the JSON, Markdown and PNG files.

    Raises:
        OutputNotWritable: If the folder cannot be made or written, or the disk is full.
    """
    data = report.to_dict()
    rendered = {
        ".json": render_json(data),
        ".md": render_markdown(data),
        ".png": render_png(data),
    }
    paths = {Path(folder) / f"{report.name}{suffix}": text for suffix, text in rendered.items()}
    write_together(paths)
    return tuple(paths)
