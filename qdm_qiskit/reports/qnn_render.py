"""A QNN's outputs on the page of a hardware run: sentences, table and picture of plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..pages import Dots, Mark, Panel

__all__ = [
    "COLUMNS",
    "MOST_LISTED",
    "draw_outputs",
    "output_dots",
    "output_rows",
    "output_sentences",
]

MOST_LISTED = 64
"""Most outputs that the page lists and draws."""
COLUMNS = (
    ("row", "row"),
    ("output", "output"),
    ("value", "value"),
    ("standard error", "error"),
    ("exact", "exact"),
)


def output_sentences(report: dict[str, Any]) -> list[str]:
    """Return what the outputs are, and how far they are from the exact ones.

    Args:
        report: Result of ``HardwareReport.to_dict`` of a QNN's run.
    """
    qnn = report["qnn"]
    sentences = [report["replay"]]
    if qnn["errors"] is None:
        sentences.append("Their standard errors are not known.")
    else:
        largest = max(each for row in qnn["errors"] for each in row)
        sentences.append(
            f"The largest standard error is {largest:.2g}, from the shots alone, with the covariances "
            "of terms that share them."
        )
    if qnn["error"] is None:
        sentences.append("The circuit has too many qubits for exact outputs beside these.")
    else:
        sentences.append(
            f"The outputs are {qnn['error']:.3f} (root mean square) from the exact ones of the "
            "circuit without noise: shot noise and the device's noise together."
        )
    listed = sum(len(row) for row in qnn["outputs"])
    if listed < qnn["count"]:
        sentences.append(f"{listed} of {qnn['count']} outputs are shown; outputs.npz has all.")
    elif listed > MOST_LISTED:
        sentences.append(f"{MOST_LISTED} of {listed} outputs are listed; report.json has all.")
    return sentences


def output_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of outputs, the first :data:`MOST_LISTED`."""
    qnn = report["qnn"]
    found: list[dict[str, Any]] = []
    for row, values in enumerate(qnn["outputs"]):
        for output, value in enumerate(values):
            if len(found) == MOST_LISTED:
                return found
            found.append(
                {
                    "row": row,
                    "output": output,
                    "value": value,
                    "error": None if qnn["errors"] is None else qnn["errors"][row][output],
                    "exact": None if qnn["exact"] is None else qnn["exact"][row][output],
                }
            )
    return found


def output_dots(report: dict[str, Any]) -> list[Dots]:
    """Return the listed outputs with intervals of one standard error, beside the exact ones.

    Args:
        report: As for :func:`output_sentences`.
    """
    marks = []
    for k, row in enumerate(rows := output_rows(report)):
        value, error = row["value"], row["error"]
        ends = (None, None) if error is None else (value - error, value + error)
        marks.append(Mark(k, value, *ends))
        if row["exact"] is not None:
            marks.append(Mark(k, row["exact"], series=1))
    labels = [f"row {row['row']}, output {row['output']}" for row in rows]
    known = any(mark.series for mark in marks)
    names = ("measured", "exact") if known else ("measured",)
    return [Dots("outputs, with one standard error", labels, [Panel("value", marks)], names)]


def draw_outputs(axis: Any, report: dict[str, Any], measured: str, exact: str) -> None:
    """Draw outputs with bars of one standard error, and the exact ones.

    Args:
        axis: Matplotlib's.
        report: As for :func:`output_sentences`.
        measured: Colour of what was measured.
        exact: Colour of what was computed.
    """
    rows = output_rows(report)
    place = np.arange(len(rows))
    errors = [each["error"] for each in rows]
    bars = None if None in errors else np.array(errors)
    values = [each["value"] for each in rows]
    axis.errorbar(place, values, yerr=bars, fmt="o", ms=4, color=measured, label="measured")
    if rows[0]["exact"] is not None:
        axis.plot(place, [each["exact"] for each in rows], "_", ms=12, color=exact, label="exact")
    every = max(1, -(-len(rows) // 16))
    names = [f"{each['row']}.{each['output']}" for each in rows]
    axis.set_xticks(place[::every], names[::every], fontsize=8)
    axis.set_xlabel("row.output")
    axis.set_title("outputs, with one standard error", fontsize=9)
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
