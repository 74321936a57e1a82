"""The page of a run as Markdown, HTML and a picture; functions of plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import checked_path
from ..data import image_grid
from ..evaluation.run import RunPictures, RunReport
from ..files import write_together
from ..pages import (
    Bars,
    Chain,
    Chart,
    Curve,
    Images,
    Notes,
    Page,
    Part,
    Section,
    Table,
    render_page,
)
from .figures import check_formats, new_figure, paper_figures, png_bytes
from .page_images import chain_part, grid_picture

__all__ = [
    "draw_run",
    "loss_plot",
    "render_markdown",
    "run_page",
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

_LOSSES = (
    ("test_loss", "model, test", "#0f62fe"),
    ("train_loss", "model, training", "#8bb0ff"),
    ("baseline_loss", "classical U-Net, test", "#ff832b"),
    ("identity_loss", "identity (no change at all)", "#6f6f6f"),
)
"""Column of the history, its name and its colour in pictures."""


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


def run_page(report: dict[str, Any], pictures: RunPictures) -> Page:
    """Return the page of a run for a browser.

    Args:
        report: The same as for :func:`render_markdown`.
        pictures: The images of the run.
    """
    history = report["history"]
    targets = {target["folder"]: target for target in report["targets"]}
    seconds = [row["seconds"] for row in history if "seconds" in row]
    loss: list[Part] = [_loss_chart(history), Notes(_loss_sentences(report))]
    samples = [
        grid_picture(images, name, _caption(targets[name]) if name in targets else "")
        for name, images in pictures.samples.items()
    ]
    rows = [[_cell(target[key]) for _, key in _COLUMNS] for target in report["targets"]]
    sections = [
        Section("Loss", loss),
        Section("Chain", _chains(pictures)),
        Section(
            "Samples",
            [
                Images(samples),
                Table([title for title, _ in _COLUMNS], rows),
                Notes([*_sample_sentences(report), *report["notes"]]),
            ],
        ),
    ]
    if seconds:
        sections.append(Section("Cost, and where it went", _cost(history, report["targets"])))
    return Page(f"Run: {report['name']}", _headline(report), sections)


def _loss_chart(history: Sequence[dict[str, float]]) -> Chart:
    curves = [
        Curve(
            label,
            [row["epoch"] for row in history],
            [row.get(key, math.nan) for row in history],
            key == "identity_loss",
        )
        for key, label, _ in _LOSSES
        if key in history[0]
    ]
    return Chart("loss by epoch", "epoch", "loss", curves, log=True)


def _chains(pictures: RunPictures) -> list[Chain]:
    """Return the way into noise, then the ways out of it, those of as many steps together."""
    forward = pictures.forward[:, None]
    found = [
        chain_part(
            "one training image on its way to noise",
            {"forward process": forward},
            [f"t = {t}" for t in range(len(forward))],
        )
    ]
    for length in dict.fromkeys(map(len, pictures.chains.values())):
        paths = {name: path for name, path in pictures.chains.items() if len(path) == length}
        # The chain of the process has all its steps; that of another sampler counts those to go.
        word = "t = {}" if length == len(forward) else "{} steps to go"
        labels = [word.format(length - 1 - k) for k in range(length)]
        found.append(chain_part("samples, from noise to images", paths, labels))
    return found


def _cost(history: Sequence[dict[str, float]], targets: Sequence[dict[str, Any]]) -> list[Part]:
    seconds = [row.get("seconds", math.nan) for row in history]
    known = [each for each in seconds if math.isfinite(each)]
    said = (
        f"Training took {sum(known):.1f} seconds in {len(known)} epochs, {sum(known) / len(known):.3g} "
        "an epoch in the mean; what ran beside it on this machine is in these times."
    )
    epochs = [row["epoch"] for row in history]
    parts: list[Part] = [
        Notes([said]),
        Chart("seconds by epoch", "epoch", "seconds", [Curve("training", epochs, seconds)]),
    ]
    priced = [each for each in targets if each["two_qubit_gates"] is not None]
    if priced:
        gates = [float(each["two_qubit_gates"]) for each in priced]
        names = [f"{each['folder']} ({each['target']})" for each in priced]
        parts.append(Bars("two-qubit gates of a step on a device", names, [("gates", gates)]))
    return parts


def draw_run(report: dict[str, Any], forward: np.ndarray, samples: dict[str, np.ndarray]) -> Any:
    """Draw forward process, loss curves and sample grids in one figure.

    Args:
        report: The same as for :func:`render_markdown`.
        forward: ``(T + 1, channels, height, width)``.
        samples: Name to ``(count, channels, height, width)``.

    Returns:
        A matplotlib figure.
    """
    figure = new_figure((11, 6.4))
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
        title = name if target is None else _caption(target, "\n")
        _show(axis, images, math.isqrt(len(images)), title)
    return figure


def loss_plot(axis: Any, history: list[dict[str, float]]) -> None:
    """Draw the losses of a run beside their baselines on a matplotlib axis."""
    epochs = [row["epoch"] for row in history]
    for key, label, colour in _LOSSES:
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


def _caption(target: dict[str, Any], between: str = ", ") -> str:
    shots = "exact" if target["shots"] is None else f"{target['shots']} shots"
    if target["mitigation"] != "none":
        shots += f", {target['mitigation'].upper()}"
    left = target["signal_left"]
    third = "" if left is None else f"{between}signal left {left:.0%} a step"
    return f"{target['target']}{between}{shots}{third}"


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


def write_run_report(
    report: RunReport, pictures: RunPictures, folder: str | Path, formats: Sequence[str] = ()
) -> tuple[Path, ...]:
    """Write ``report.json``, ``report.md``, ``report.html`` and ``report.png``.

    Args:
        report: Result of :func:`run_report`.
        pictures: Likewise.
        folder: Made if it is missing; an older report there is replaced.
        formats: Formats of the figure beside PNG: ``svg``, ``pdf``.

    Returns:
        The paths.

    Raises:
        OutputNotWritable: If the folder cannot be written.
        UnknownName: If there is no such format.
    """
    folder = checked_path(folder, "folder")
    check_formats(formats)
    data = report.to_dict()
    figure = draw_run(data, pictures.forward, pictures.samples)
    paths = tuple(folder / f"report{suffix}" for suffix in (".png", ".md", ".html", ".json"))
    contents = (
        png_bytes(figure),
        render_markdown(data).encode(),
        render_page(run_page(data, pictures)).encode(),
        (json.dumps(data, indent=2, sort_keys=True) + "\n").encode(),
    )
    more = paper_figures({"report": figure}, folder, formats)
    write_together({**dict(zip(paths, contents, strict=True)), **more})
    return (*paths, *more)
