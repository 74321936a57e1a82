"""An evaluation as Markdown, a table for the terminal, and pictures; functions of plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import checked_path
from ..data import grid_png
from ..evaluation.evaluate import EvaluationPictures, EvaluationReport
from ..evaluation.metrics import METRIC_DOOR
from ..files import write_together
from ..notebook import Markup, card, folded, note, picture, table
from ..pages import Dots, Images, Mark, Notes, Page, Panel, Section, Table, render_page
from .figures import check_formats, new_figure, paper_figures, plain, png_bytes, show_grid
from .page_images import grid_picture
from .side_by_side import draw_by_class, headline_metrics

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = [
    "METRICS",
    "draw_evaluation",
    "draw_nearest",
    "evaluation_page",
    "metric_names",
    "render_card",
    "render_markdown",
    "render_table",
    "sentences",
    "write_evaluation",
]

METRICS = {
    each.name: (each.title, each.better) for each in map(METRIC_DOOR.get, METRIC_DOOR.built_in)
}
"""Every metric of this package: its title, and which direction is better."""
_PLOTTED = ("domain_frechet", "domain_kid", "inception_frechet", "inception_kid")
_COLOURS = {"real": "#198038", "noise": "#6f6f6f", "samples": "#0f62fe"}


def metric_names(report: dict[str, Any]) -> list[str]:
    """Return the metrics that some row holds: :data:`METRICS` in their order, then others."""
    names = [*METRICS, *(name for name in report["metrics"] if name not in METRICS)]
    return [name for name in names if any(name in row["metrics"] for row in report["rows"])]


def _explained(report: dict[str, Any], name: str) -> tuple[str, str]:
    """Return a metric's title, in one line, and which direction is better."""
    if name in METRICS:
        return METRICS[name]
    told = report["metrics"][name]
    return plain(" ".join(told["title"].split()), " -_.:()/,%+="), told["better"]


def render_table(report: dict[str, Any]) -> RichTable:
    """Render the metrics as a table for the terminal, a metric a row.

    Args:
        report: Result of ``EvaluationReport.to_dict``.
    """
    from rich.markup import escape
    from rich.table import Table as RichTable

    table = RichTable(title=escape(_headline(report)), title_justify="left")
    table.add_column("")
    for row in report["rows"]:
        table.add_column(escape(row["name"]), justify="right", overflow="fold")
    for cells in _lines(report):
        table.add_row(*map(escape, cells))
    return table


def render_markdown(report: dict[str, Any], *, by_class: bool = False) -> str:
    """Render the evaluation as Markdown.

    Args:
        report: The same as for :func:`render_table`.
        by_class: True if there is a picture of all sets class by class.
    """
    names = [plain(row["name"]) for row in report["rows"]]
    lines = ["# Evaluation", "", _headline(report), "", "![overview](evaluation.png)", ""]
    if by_class:
        lines += ["![all sets, class by class](by_class.png)", ""]
    lines += ["| | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 1)]
    lines += ["| " + " | ".join(cells) + " |" for cells in _lines(report)]
    lines += ["", *[f"* {sentence}" for sentence in sentences(report)], ""]
    lines += [
        f"* {_from({**row, 'name': name})}" for row, name in zip(report["rows"], names, strict=True)
    ]
    lines += ["", "![samples above, the training images nearest to them below](nearest.png)", ""]
    return "\n".join(lines)


def render_card(report: dict[str, Any], grids: dict[str, np.ndarray]) -> str:
    """Render the evaluation for a notebook: the table with its intervals, then what explains it.

    Args:
        report: The same as for :func:`render_table`.
        grids: Name to ``(count, channels, height, width)``.
    """
    lines = _lines(report)
    said = sentences(report)
    urgent = [each for each in said if each.startswith("Warning: ")]
    parts: list[Markup] = [table(["", *(row["name"] for row in report["rows"])], lines)]
    parts += [note(each) for each in urgent]
    parts.append(folded("how to read it", *(note(each) for each in said if each not in urgent)))
    shown = [part for name, images in grids.items() for part in _titled(name, images)]
    parts.append(folded("images", *shown))
    return card("Evaluation", *parts, about=_headline(report))


def _titled(name: str, images: np.ndarray) -> tuple[Markup, Markup]:
    return note(name), picture(grid_png(np.clip(images, 0, 1), scale=4), f"{len(images)} images")


def sentences(report: dict[str, Any]) -> list[str]:
    """Return remarks beside the table: warnings first."""
    classifier, options = report["classifier"], report["options"]
    said = [f"Warning: {each}" for each in report["warnings"]]
    said.append(
        f"Domain classifier: {classifier['accuracy']:.2%} of {classifier['test_count']} test images "
        f"named rightly, {len(classifier['classes'])} classes, {classifier['features']} features "
        f"(standardised), {'read from the cache' if classifier['cached'] else 'trained now'}, "
        f"{classifier['identity'][:12]}."
    )
    said.append(
        f"In brackets: {options['level']:.0%} bootstrap intervals of {options['resamples']} resamples, "
        "bias taken off (Wilson's for shares): so one need not hold the estimate beside it, nor end "
        "where the metric does. A distance whose interval reaches below 0 does not tell the set from "
        "the reference."
    )
    said.append(report["pairing"])
    said.append(
        f"{METRICS['copies'][0].capitalize()}: share of images nearer to a training image than all but "
        "1 % of unseen real images; far above 1 % is memorised."
    )
    if report["inception"] is not None:
        said.append(f"Inception's weights: SHA-256 {report['inception']['sha256']}.")
    return [*said, *report["notes"]]


def evaluation_page(report: dict[str, Any], pictures: EvaluationPictures) -> Page:
    """Return the page of an evaluation for a browser.

    Args:
        report: The same as for :func:`render_table`.
        pictures: Some of the images.
    """
    rows = {row["name"]: row for row in report["rows"]}
    shown = pictures.by_class or pictures.grids
    columns = {name: len(images) if pictures.by_class else None for name, images in shown.items()}
    sets = [
        grid_picture(images, name, _said_of(rows.get(name)), columns=columns[name])
        for name, images in shown.items()
    ]
    said = sentences(report)
    urgent = [each for each in said if each.startswith("Warning: ")]
    sections = [Section("Warnings", [Notes(urgent)])] if urgent else []
    nearest = [
        grid_picture(np.concatenate([samples, training]), name, columns=len(samples))
        for name, (samples, training) in pictures.pairs.items()
    ]
    sections += [
        Section("All sets, class by class" if pictures.by_class else "All sets", [Images(sets)]),
        Section("Distances to the reference, with intervals", [_distances(report)]),
        Section("All metrics", [_turned(report)]),
        Section("How to read it", [Notes([each for each in said if each not in urgent])]),
        Section("Samples, and below each the training image nearest to it", [Images(nearest)]),
        Section("Where the images are from", [Notes([_from(row) for row in report["rows"]])]),
    ]
    return Page("Evaluation", _headline(report), sections)


def _said_of(row: dict[str, Any] | None) -> str:
    """Return the headline metrics of a set, and what it owes to what."""
    if row is None:
        return ""
    found = [headline_metrics(row, ", "), f"Owed to: {row['owes']}." if row["owes"] else ""]
    return ". ".join(each for each in found if each)


def _turned(report: dict[str, Any]) -> Table:
    """Return the metrics with a set a row, so that a click on a metric orders the sets."""
    lines = [["set", *(row["name"] for row in report["rows"])], *_lines(report)]
    head, *rows = zip(*lines, strict=True)
    return Table(head, rows)


def _from(row: dict[str, Any]) -> str:
    owes = f" Owed to: {row['owes']}." if row["owes"] else ""
    return f"{row['name']}: {row['count']} images, {row['source']}.{owes}"


def _distances(report: dict[str, Any]) -> Dots:
    rows = report["rows"]
    panels = []
    for name in _plotted(report):
        marks = [
            Mark(
                k,
                m["estimate"],
                m["low"],
                m["high"],
                ("samples", "real", "noise").index(row["kind"]),
            )
            for k, row in enumerate(rows)
            if (m := row["metrics"].get(name)) is not None
        ]
        panels.append(Panel(_explained(report, name)[0], marks, symlog=True))
    names = ("samples", "real images", "noise")
    return Dots("estimate and interval of each set", [row["name"] for row in rows], panels, names)


def _plotted(report: dict[str, Any]) -> list[str]:
    """Return the metrics that are drawn."""
    there = metric_names(report)
    return [name for name in _PLOTTED if name in there] or there[:4]


def draw_evaluation(report: dict[str, Any], grids: dict[str, np.ndarray]) -> Any:
    """Draw distances with intervals, and a grid of each set.

    Args:
        report: The same as for :func:`render_table`.
        grids: Name to ``(count, channels, height, width)``.

    Returns:
        A matplotlib figure.
    """
    plotted = _plotted(report)
    height = 0.35 * len(report["rows"]) + 1.1
    figure = new_figure((3.2 * max(len(plotted), 3), height + 2.6))
    upper, lower = figure.subfigures(2, 1, height_ratios=[height, 2.6])
    axes = np.atleast_1d(upper.subplots(1, max(1, len(plotted))))
    for axis in axes[len(plotted) :]:  # no metric had anything to say
        axis.axis("off")
    for axis, name in zip(axes, plotted, strict=False):
        _interval_plot(axis, name, report["rows"], labels=name == plotted[0])
        axis.set_title(_explained(report, name)[0], fontsize=9)
    for axis, (title, images) in zip(
        np.atleast_1d(lower.subplots(1, len(grids))), grids.items(), strict=True
    ):
        show_grid(axis, images, math.ceil(math.sqrt(len(images))), plain(title))
    return figure


def draw_nearest(pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> Any:
    """Draw samples, and below each the training image nearest to it.

    Args:
        pairs: Name to two arrays ``(count, channels, height, width)``.

    Returns:
        A matplotlib figure.
    """
    figure = new_figure((7, 1.9 * len(pairs)))
    axes = np.atleast_1d(figure.subplots(len(pairs), 1))
    for axis, (name, (samples, training)) in zip(axes, pairs.items(), strict=True):
        title = f"{plain(name)}: samples, and the training images nearest to them"
        show_grid(axis, np.concatenate([samples, training]), len(samples), title)
    return figure


def _interval_plot(axis: Any, name: str, rows: list[dict[str, Any]], *, labels: bool) -> None:
    for place, row in enumerate(rows):
        colour = _COLOURS[row["kind"]]
        if name not in row["metrics"]:  # of another package, and failed here
            continue
        found = row["metrics"][name]
        # A line, not an error bar: the interval need not hold the metric, whose bias it takes off.
        axis.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=3)
        axis.plot(
            found["estimate"], place, "o", color=colour, markersize=4, markerfacecolor="white"
        )
    axis.set_xscale("symlog", linthresh=0.1)
    axis.axvline(0, color="#c6c6c6", linewidth=1)
    axis.set_yticks(range(len(rows)), [plain(row["name"]) for row in rows] if labels else [])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def _lines(report: dict[str, Any]) -> list[list[str]]:
    """Return cells of the table, title first."""
    rows = report["rows"]
    lines = [["images", *(str(row["count"]) for row in rows)]]
    for name in metric_names(report):
        title, better = _explained(report, name)
        arrow = {"lower": " ↓", "higher": " ↑", "neither": ""}[better]
        lines.append([title + arrow, *(_cell(row["metrics"].get(name)) for row in rows)])
        network = name.removesuffix("_kid")
        if name.endswith("_kid") and any(network in row["subset_kid"] for row in rows):
            options = report["options"]
            title = f"{options['kid_subsets']} subsets of {options['kid_subset_size']}"
            cells = (row["subset_kid"].get(network) for row in rows)
            lines.append(
                [
                    title,
                    *("-" if c is None else f"{_number(c[0])} ± {_number(c[1])}" for c in cells),
                ]
            )
    return lines


def _cell(found: dict[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{_number(found['estimate'])} [{_number(found['low'])}, {_number(found['high'])}]"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _headline(report: dict[str, Any]) -> str:
    reference = report["reference"]
    channels, height, width = reference["shape"]
    if "rows" in reference:
        rows = reference["rows"]
        return (
            f"Against {reference['count']} {reference['part']} rows of {plain(reference['dataset'])}, "
            f"{rows['kind']} of {len(rows['columns'])} columns."
        )
    return (
        f"Against {reference['count']} {reference['part']} images of {plain(reference['dataset'])}, "
        f"{height} x {width} pixels, {'grey' if channels == 1 else 'RGB'}."
    )


def write_evaluation(
    report: EvaluationReport,
    pictures: EvaluationPictures,
    folder: str | Path,
    formats: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write an evaluation: ``evaluation.html``, ``.md``, ``.json``, ``.png``, and other pictures.

    ``nearest.png`` has samples above the training images nearest to them; ``by_class.png``, where a
    model was told classes, all sets side by side.

    Args:
        report: Result of :func:`evaluate`.
        pictures: Likewise.
        folder: Made if it is missing; an older evaluation there is replaced.
        formats: Formats of the figures beside PNG: ``svg``, ``pdf``.

    Returns:
        The paths.

    Raises:
        OutputNotWritable: If the folder cannot be written; nothing has changed then.
        UnknownName: If there is no such format.
    """
    folder = checked_path(folder, "folder")
    check_formats(formats)
    data = report.to_dict()
    figures = {
        "evaluation": draw_evaluation(data, pictures.grids),
        "nearest": draw_nearest(pictures.pairs),
    }
    if pictures.by_class:
        figures["by_class"] = draw_by_class(data, pictures.by_class)
    contents = {
        **{folder / f"{name}.png": png_bytes(figure) for name, figure in figures.items()},
        folder / "evaluation.md": render_markdown(data, by_class="by_class" in figures).encode(),
        folder / "evaluation.json": (
            json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n"
        ).encode(),
        folder / "evaluation.html": render_page(evaluation_page(data, pictures)).encode(),
        **paper_figures(figures, folder, formats),
    }
    write_together(contents)
    return tuple(contents)
