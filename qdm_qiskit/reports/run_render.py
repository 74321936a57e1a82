"""The page of a run as Markdown, HTML and a picture; functions of plain values."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..data import image_grid
from ..evaluation.run import RunPictures, RunReport
from ..files import write_together

__all__ = [
    "loss_plot",
    "render_html",
    "render_markdown",
    "render_png",
    "write_run_report",
]

_COLUMNS = (
    ("samples", "folder"),
    ("target", "target"),
    ("shots", "shots"),
    ("mitigation", "mitigation"),
    ("2q gates", "two_qubit_gates"),
    ("expected success", "expected_success"),
    ("distance, raw", "raw_distance"),
    ("distance, mitigated", "mitigated_distance"),
    ("signal left", "signal_left"),
    ("to nearest training image", "nearest_distance"),
)


def render_markdown(report: dict[str, Any]) -> str:
    """Render the page as Markdown.

    Args:
        report: Result of ``RunReport.to_dict``.
    """
    lines = [f"# Run: {report['name']}", "", _headline(report), ""]
    lines += ["![overview](report.png)", "", "## Loss", ""]
    lines += [f"* {sentence}" for sentence in _loss_sentences(report)]
    lines += ["", "## Samples", ""]
    lines.append("| " + " | ".join(title for title, _ in _COLUMNS) + " |")
    lines.append("|" + "---|" * len(_COLUMNS))
    for target in report["targets"]:
        lines.append("| " + " | ".join(_cell(target[key]) for _, key in _COLUMNS) + " |")
    lines += ["", *[f"* {sentence}" for sentence in _sample_sentences(report)]]
    lines += [*[f"* {note}" for note in report["notes"]], ""]
    return "\n".join(lines)


def render_html(report: dict[str, Any], png: bytes) -> str:
    """Render the page as one HTML file, its picture inside.

    Args:
        report: The same as for :func:`render_markdown`.
        png: The picture.
    """
    head = "".join(f"<th>{html.escape(title)}</th>" for title, _ in _COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(t[key]))}</td>" for _, key in _COLUMNS) + "</tr>"
        for t in report["targets"]
    )
    picture = base64.b64encode(png).decode()

    def points(sentences: list[str]) -> str:
        return "<ul>" + "".join(f"<li>{html.escape(each)}</li>" for each in sentences) + "</ul>"

    return (
        "<!doctype html>\n"
        f"<html lang='en'><meta charset='utf-8'><title>{html.escape(report['name'])}</title>"
        "<style>body{font-family:sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.3rem .6rem}"
        "img{max-width:100%}</style>"
        f"<h1>Run: {html.escape(report['name'])}</h1><p>{html.escape(_headline(report))}</p>"
        f"<img alt='overview' src='data:image/png;base64,{picture}'>"
        f"<h2>Loss</h2>{points(_loss_sentences(report))}"
        f"<h2>Samples</h2><table><tr>{head}</tr>{rows}</table>"
        f"{points([*_sample_sentences(report), *report['notes']])}</html>\n"
    )


def render_png(
    report: dict[str, Any], forward: np.ndarray, samples: dict[str, np.ndarray]
) -> bytes:
    """Draw forward process, loss curves and sample grids in one picture.

    Args:
        report: The same as for :func:`render_markdown`.
        forward: ``(T + 1, channels, height, width)``.
        samples: Name to ``(count, channels, height, width)``.

    Returns:
        PNG bytes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    rows: Any = figure.subfigures(3, 1, height_ratios=[0.7, 1.5, 1.6])
    upper, middle, lower = rows
    _show(
        upper.subplots(), forward, len(forward), "forward process of one training image: t = 0 .. T"
    )
    loss_plot(middle.subplots(), report["history"])
    axes = np.atleast_1d(lower.subplots(1, len(samples)))
    targets = {target["folder"]: target for target in report["targets"]}
    for axis, (name, images) in zip(axes, samples.items(), strict=True):
        target = targets.get(name)
        _show(axis, images, math.isqrt(len(images)), name if target is None else _caption(target))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def loss_plot(axis: Any, history: list[dict[str, float]]) -> None:
    """Draw the losses of a run beside their baselines on a matplotlib axis."""
    epochs = [row["epoch"] for row in history]
    curves = (
        ("train_loss", "model, training", "#8bb0ff"),
        ("test_loss", "model, test", "#0f62fe"),
        ("baseline_loss", "classical U-Net, test", "#ff832b"),
        ("identity_loss", "identity (no change at all)", "#6f6f6f"),
    )
    for key, label, colour in curves:
        if key in history[0]:
            style = "--" if key == "identity_loss" else "-"
            axis.plot(epochs, [row[key] for row in history], style, label=label, color=colour)
    axis.set_yscale("log")
    axis.set_xlabel("epoch")
    axis.set_ylabel("loss")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axis.spines[["top", "right"]].set_visible(False)


def _show(axis: Any, images: np.ndarray, columns: int, title: str) -> None:
    grid = image_grid(np.clip(images, 0, 1), columns)
    axis.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_title(title, fontsize=9)
    axis.axis("off")


def _caption(target: dict[str, Any]) -> str:
    shots = "exact" if target["shots"] is None else f"{target['shots']} shots"
    if target["mitigation"] != "none":
        shots += f", {target['mitigation'].upper()}"
    left = target["signal_left"]
    third = "" if left is None else f"\nsignal left {left:.0%} a step"
    return f"{target['target']}\n{shots}{third}"


def _headline(report: dict[str, Any]) -> str:
    data, diffusion = report["config"]["data"], report["config"]["diffusion"]
    classes = ", ".join(map(str, data["classes"])) or "all"
    return (
        f"{report['model']} with {report['parameters']} parameters "
        f"({report['quantum_parameters']} in circuits) on {report['qubits']} qubits; "
        f"{data['dataset']} (classes {classes}); {diffusion['process']} noise, "
        f"T = {diffusion['num_steps']}, {diffusion['goal']} goal; {len(report['history'])} epochs."
    )


def _loss_sentences(report: dict[str, Any]) -> list[str]:
    first, last = report["history"][0], report["history"][-1]
    sentences = [
        f"Test loss {first['test_loss']:.4f} after the first epoch, {last['test_loss']:.4f} "
        "at the end.",
        f"Identity baseline (predict no change at all): {last['identity_loss']:.4f}. "
        + (
            "The model is below it."
            if last["test_loss"] < last["identity_loss"]
            else "The model is above it: one step of the chain changes an image little, so no change "
            "at all is already a good prediction, if a useless one."
        ),
    ]
    if "baseline_loss" in last:
        sentences.append(f"Classical U-Net on the same pairs: {last['baseline_loss']:.4f}.")
    sentences += [f"Warning: {sentence}" for sentence in report["warnings"]]
    return sentences


def _sample_sentences(report: dict[str, Any]) -> list[str]:
    sentences = [f"{t['folder']} ({t['target']}): {t['sentence']}" for t in report["targets"]]
    sentences.append(
        "Distance is the total variation distance of a step's measured distribution from the exact "
        "one, shot noise included. Signal left is the share of the exact distribution that the raw "
        "frequencies hold."
    )
    sentences.append(
        "On the scale of distances to the nearest training image, unseen test images lie at "
        f"{report['data_nearest_distance']:.3f} and pure noise at "
        f"{report['noise_nearest_distance']:.3f}."
    )
    return sentences


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def write_run_report(report: RunReport, pictures: RunPictures, folder: Path) -> tuple[Path, ...]:
    """Write ``report.json``, ``report.md``, ``report.html`` and ``report.png``.

    Args:
        report: Result of :func:`run_report`.
        pictures: Likewise.
        folder: Made if it is missing; an older report there is replaced.

    Returns:
        The paths.

    Raises:
        OutputNotWritable: If the folder cannot be written.
    """
    data = report.to_dict()
    png = render_png(data, pictures.forward, pictures.samples)
    paths = tuple(folder / f"report{suffix}" for suffix in (".png", ".md", ".html", ".json"))
    contents = (
        png,
        render_markdown(data).encode(),
        render_html(data, png).encode(),
        (json.dumps(data, indent=2, sort_keys=True) + "\n").encode(),
    )
    write_together(dict(zip(paths, contents, strict=True)))
    return paths
