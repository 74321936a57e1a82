"""Sets of samples side by side: a row a set, two columns a class, and what each set owes to what."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from .figures import new_figure, plain, show_grid

__all__ = ["HEADLINE", "draw_by_class", "headline_metrics"]

HEADLINE = (
    ("label_accuracy", "named as asked", "{:.0%}"),
    ("domain_frechet", "Fréchet", "{:.1f}"),
    ("class_kid", "KID in classes", "{:.1f}"),
    ("class_spread", "spread", "{:.2f}"),
)
"""Metrics beside a row of the picture: name, title, format. None of them says enough alone."""


def draw_by_class(report: dict[str, Any], by_class: dict[str, np.ndarray]) -> Any:
    """Draw all sets class by class, with their metrics and what they owe to what.

    Args:
        report: Result of ``EvaluationReport.to_dict``.
        by_class: Name to ``(classes * each, channels, height, width)``; the reference first.

    Returns:
        A matplotlib figure.
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
        said.text(0, 0.68, headline_metrics(row), va="top", fontsize=8, color="#0043ce")
        said.text(0, 0.40, owes, va="top", fontsize=6, color="#525252")
    return figure


def headline_metrics(row: dict[str, Any], between: str = "   ") -> str:
    """Return the metrics of :data:`HEADLINE` that a row has, in one line."""
    found = row["metrics"]
    return between.join(
        f"{title} {form.format(found[name]['estimate'])}"
        for name, title, form in HEADLINE
        if name in found
    )
