"""Sets of samples side by side: a row a set, two columns a class, and what each set owes to what."""

from __future__ import annotations

import base64
import html
import textwrap
from typing import Any

import numpy as np

from .figures import new_figure, plain, png_bytes, show_grid

__all__ = ["HEADLINE", "render_by_class", "render_page"]

HEADLINE = (
    ("label_accuracy", "named as asked", "{:.0%}"),
    ("domain_frechet", "Fréchet", "{:.1f}"),
    ("class_kid", "KID in classes", "{:.1f}"),
    ("class_spread", "spread", "{:.2f}"),
)
"""Metrics beside a row of the picture: name, title, format. None of them says enough alone."""


def render_by_class(report: dict[str, Any], by_class: dict[str, np.ndarray]) -> bytes:
    """Draw all sets class by class, with their metrics and what they owe to what.

    Args:
        report: Result of ``EvaluationReport.to_dict``.
        by_class: Name to ``(classes * each, channels, height, width)``; the reference first.

    Returns:
        PNG bytes.
    """
    rows = {row["name"]: row for row in report["rows"]}
    figure = new_figure((13.5, 0.66 * len(by_class) + 0.2))
    axes: Any = figure.subplots(
        len(by_class), 2, width_ratios=[4.6, 8.9], squeeze=False, gridspec_kw={"wspace": 0.01}
    )
    for (said, drawn), (name, images) in zip(axes, by_class.items(), strict=True):
        show_grid(drawn, images, len(images), "")
        said.axis("off")
        row = rows.get(name)
        said.text(0, 0.98, plain(name), va="top", weight="bold", fontsize=9)
        if row is None:
            continue
        owes = textwrap.fill(plain(row["owes"], " -_.:()/;,>='"), 105)
        said.text(0, 0.68, _metrics(row), va="top", fontsize=8, color="#0043ce")
        said.text(0, 0.40, owes, va="top", fontsize=6, color="#525252")
    return png_bytes(figure)


def _metrics(row: dict[str, Any]) -> str:
    found = row["metrics"]
    return "   ".join(
        f"{title} {form.format(found[name]['estimate'])}"
        for name, title, form in HEADLINE
        if name in found
    )


def render_page(
    title: str, about: str, lines: list[list[str]], said: list[str], pictures: dict[str, bytes]
) -> str:
    """Render an evaluation as one HTML file with its pictures inside.

    Args:
        title: Of the page.
        about: A sentence below it.
        lines: Cells of the table, its head first, the name of a metric in the first cell of a line.
        said: Remarks.
        pictures: Caption to PNG bytes, in order.
    """
    head = "".join(f"<th>{html.escape(each)}</th>" for each in lines[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(each)}</td>" for each in line) + "</tr>"
        for line in lines[1:]
    )
    shown = "".join(
        f"<figure><img alt='{html.escape(caption)}' "
        f"src='data:image/png;base64,{base64.b64encode(png).decode()}'>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, png in pictures.items()
    )
    points = "".join(f"<li>{html.escape(each)}</li>" for each in said)
    return (
        "<!doctype html>\n"
        f"<html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
        "<style>body{font-family:sans-serif;max-width:90rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse;font-size:.85rem}"
        "td,th{border:1px solid #bbb;padding:.25rem .5rem}"
        "div{overflow-x:auto}img{max-width:100%}figure{margin:1rem 0}</style>"
        f"<h1>{html.escape(title)}</h1><p>{html.escape(about)}</p>{shown}"
        f"<div><table><tr>{head}</tr>{body}</table></div><ul>{points}</ul></html>\n"
    )
