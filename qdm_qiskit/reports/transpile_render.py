"""The forms of a transpile report, from the dict of ``TranspileReport.to_dict``."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..evaluation.chip import ChipErrors
from ..evaluation.transpile import TranspileReport
from ..evaluation.transpile_card import PARTS, cost_lines, spread_lines
from ..files import write_together
from ..pages import Bars, Dots, Mark, Notes, Page, Panel, Part, Section, Table, render_page
from .chips import chip_part
from .figures import check_formats, new_figure, paper_figures, png_bytes

__all__ = [
    "draw_costs",
    "markdown_table",
    "render_json",
    "render_markdown",
    "transpile_page",
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
        _about(data),
        "",
        "## Logical circuit",
        "",
        _logical_sentence(data),
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
    lines += ["", _closing(data), ""]
    return "\n".join(lines).encode()


def _backend_section(backend: dict[str, Any]) -> list[str]:
    return [
        f"## {backend['backend']}",
        "",
        f"**{backend['verdict']['sentence']}** ({backend['verdict']['method']})",
        "",
        *markdown_table(["", *PARTS], cost_lines(backend["cost"])),
        "",
        f"{_layout_sentence(backend)} Over all seeds:",
        "",
        *markdown_table(["", "smallest", "median", "largest"], spread_lines(backend["spread"])),
    ]


def transpile_page(data: dict[str, Any], chips: Sequence[ChipErrors | None] = ()) -> Page:
    """Return the report as a page for a browser.

    Args:
        data: Result of ``TranspileReport.to_dict``.
        chips: What is drawn of each device; nothing if empty.
    """
    backends = data["backends"]
    names = [each["backend"] for each in backends]
    logical = data["logical"]
    lines = [
        [title, *(logical[p][key] for p in PARTS)]
        for title, key in (
            ("depth", "depth"),
            ("CNOT depth", "cnot_depth"),
            ("CNOTs", "cnot_count"),
        )
    ]
    sections = [
        Section("Devices side by side", _side_by_side(names, backends)),
        Section(
            "Logical circuit",
            [Notes([_logical_sentence(data)]), Table(["", *PARTS], lines)],
        ),
    ]
    for k, backend in enumerate(backends):
        verdict = backend["verdict"]
        worst = "Warning: " if verdict["erased"] else ""
        parts: list[Part] = [
            Notes(
                [f"{worst}{verdict['sentence']} ({verdict['method']})", _layout_sentence(backend)]
            ),
        ]
        if chips:
            parts.append(chip_part(chips[k], backend["backend"]))
        parts += [
            Table(["", *PARTS], cost_lines(backend["cost"])),
            Table(
                ["over all seeds", "smallest", "median", "largest"], spread_lines(backend["spread"])
            ),
        ]
        sections.append(Section(backend["backend"], parts))
    sections.append(Section("How to read it", [Notes([_closing(data)])]))
    return Page(f"Transpile report: {data['name']}", _about(data), sections)


def _side_by_side(names: list[str], backends: list[dict[str, Any]]) -> list[Part]:
    """Return what the circuit costs on each device, and where its success goes."""

    def of(part: str, key: str) -> list[float | None]:
        return [each["cost"][part][key] for each in backends]

    success = [
        Mark(k, each["cost"]["total"]["expected_success"]) for k, each in enumerate(backends)
    ]
    left = [Mark(k, each["verdict"]["fraction"]) for k, each in enumerate(backends)]
    lost = [
        ("gates of the loader", [_lost(v) for v in of("loader", "gate_success")]),
        ("gates of the denoiser", [_lost(v) for v in of("denoiser", "gate_success")]),
        ("readout", [_lost(v) for v in of("total", "readout_success")]),
        ("waiting", [_lost(v) for v in of("total", "idle_success")]),
    ]
    panels = [
        Panel("expected success", success, ends=(0.0, 1.0)),
        Panel("signal left", left, ends=(0.0, max(1.0, *(mark.value for mark in left)))),
    ]
    return [
        Dots("what is left", names, panels),
        Bars(
            "two-qubit gates",
            names,
            [(part, of(part, "two_qubit_count")) for part in ("loader", "denoiser")],
            stacked=True,
        ),
        Bars(
            "depth",
            names,
            [(part, of(part, "depth")) for part in ("loader", "denoiser")],
            stacked=True,
        ),
        Bars("where the success goes: -ln of each part's success", names, lost, stacked=True),
        Notes(
            [
                "Parts of -ln(success) add up: twice as long a bar is the square of the success. "
                "Waiting, by T1 and T2, is not in the expected success."
            ]
        ),
    ]


def _lost(success: float | None) -> float | None:
    """Return -ln of a success; None where it is not known, or nothing is left of it."""
    return None if success is None or success <= 0 else max(0.0, -math.log(success))


def _about(data: dict[str, Any]) -> str:
    return (
        f"Optimization level {data['level']}, best of {len(data['seeds'])} transpiler seeds, "
        f"verdicts for {data['shots']} shots."
    )


def _logical_sentence(data: dict[str, Any]) -> str:
    total = data["logical"]["total"]
    return (
        f"{total['qubits']} qubits, {total['parameters']} free parameters (weights that have values "
        "are not counted); in one-qubit unitaries and CNOTs:"
    )


def _layout_sentence(backend: dict[str, Any]) -> str:
    return (
        f"Seed {backend['best_seed']}; layout {list(backend['layout'])} of "
        f"{backend['device_qubits']} qubits, measured {list(backend['measured_qubits'])}."
    )


def _closing(data: dict[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in data["versions"].items())
    return (
        "Expected success is the product of 1 - error over gates and measurements; idle success, "
        "not in it, is what waiting costs by T1 and T2. Depth counts virtual rz and measurements. "
        f"Seeds {list(data['seeds'])}; {versions}."
    )


def draw_costs(data: dict[str, Any]) -> Any:
    """Draw bars a device: two-qubit gates and depth, loader below denoiser, and success."""
    figure = new_figure((9.0, 3.6))
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
    return figure


def markdown_table(head: list[Any], rows: list[list[Any]]) -> list[str]:
    """Return the lines of a table, numbers to the right."""
    line = "| " + " | ".join(str(h) for h in head) + " |"
    rule = "|---" + "|---:" * (len(head) - 1) + "|"
    return [line, rule, *("| " + " | ".join(str(c) for c in row) + " |" for row in rows)]


def _colour(verdict: dict[str, Any]) -> str:
    if verdict["erased"]:
        return "#da1e28"
    return "#198038" if verdict["fraction"] >= 0.5 else "#f1c21b"


def write_report(
    report: TranspileReport, folder: str | os.PathLike[str], formats: Sequence[str] = ()
) -> tuple[Path, ...]:
    """Write ``NAME.json``, ``.md``, ``.html`` and ``.png``; an older report of this name is replaced.

    All of them appear or none.

    Args:
        report: Report to write.
        folder: Folder of the files; made if it does not exist.
        formats: Formats of the figure beside PNG: ``svg``, ``pdf``.

    Returns:
        Paths of the JSON, Markdown, PNG and HTML files, then of other formats.

    Raises:
        OutputNotWritable: If the folder cannot be made or written, or the disk is full.
        UnknownName: If there is no such format.
    """
    check_formats(formats)
    data = report.to_dict()
    figure = draw_costs(data)
    rendered = {
        ".json": render_json(data),
        ".md": render_markdown(data),
        ".png": png_bytes(figure, dpi=120),
        ".html": render_page(transpile_page(data, report.chips)).encode(),
    }
    paths = {Path(folder) / f"{report.name}{suffix}": text for suffix, text in rendered.items()}
    paths |= paper_figures({report.name: figure}, Path(folder), formats)
    write_together(paths)
    return tuple(paths)
