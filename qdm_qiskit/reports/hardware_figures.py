"""Figures of a hardware run: images by step, distances, fidelities and the cost of jobs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data import image_grid
from ..evaluation.hardware_run import HardwarePictures
from .figures import new_figure
from .qnn_render import draw_outputs
from .training_render import draw_losses

__all__ = [
    "EXACT",
    "MEASURED",
    "MOST_COLUMNS",
    "MOST_IMAGES",
    "draw_chain",
    "draw_outputs_and_cost",
    "draw_report",
    "is_coherent",
    "job_name",
    "shown_steps",
    "times_of",
]

MOST_IMAGES, MOST_COLUMNS = 3, 8
"""Images, and steps of each, in the picture of the chain."""
MEASURED, EXACT = "#0f62fe", "#6f6f6f"
"""Colours."""


def draw_report(report: dict[str, Any], pictures: HardwarePictures) -> Any:
    """Draw a run as one matplotlib figure: of a QNN and of training without images.

    Args:
        report: The same as for :func:`.hardware_render.render_markdown`.
        pictures: The images of the run.
    """
    if "training" in report or report["qnn"] is not None:
        return draw_outputs_and_cost(report)
    return draw_chain(report, pictures.trajectory, pictures.exact)


def draw_chain(report: dict[str, Any], trajectory: np.ndarray, exact: np.ndarray) -> Any:
    """Draw images by step above those of the exact chain; distance, fidelity and cost.

    Args:
        report: The same as for :func:`.hardware_render.render_markdown`.
        trajectory: ``(steps + 1, count, channels, height, width)``: x_T .. x_t.
        exact: The same of the exact chain.

    Returns:
        A matplotlib figure.
    """
    count = min(MOST_IMAGES, exact.shape[1])
    heights = [0.4 + 1.1 * count, 0.1 + 1.1 * count, 3.2]
    figure = new_figure((11, sum(heights)))
    parts: Any = figure.subfigures(3, 1, height_ratios=heights)
    _band(parts[0], "measured", trajectory[:, :count], times_of(report, len(trajectory)))
    _band(parts[1], "exact chain", exact[:, :count], None)
    left, middle, right = parts[2].subplots(1, 3)
    _distances(left, report["steps"])
    _fidelities(middle, report["steps"])
    _costs(right, report)
    return figure


def draw_outputs_and_cost(report: dict[str, Any]) -> Any:
    """Draw outputs of a QNN with their standard errors, or losses of training, and the jobs' cost.

    Args:
        report: The same as for :func:`.hardware_render.render_markdown`.

    Returns:
        A matplotlib figure.
    """
    figure = new_figure((11, 3.6))
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    if "training" in report:
        draw_losses(left, report, MEASURED, EXACT)
    else:
        draw_outputs(left, report, MEASURED, EXACT)
    _costs(right, report)
    right.set_xlabel("job (number of a part, c of a calibration)")
    return figure


def shown_steps(num_steps: int) -> list[int]:
    """Return which of so many steps get a column: first, last, evenly between.

    >>> shown_steps(3), len(shown_steps(1000))
    ([0, 1, 2, 3], 8)
    """
    count = min(num_steps + 1, MOST_COLUMNS)
    return [round(k * num_steps / max(1, count - 1)) for k in range(count)]


def _band(figure: Any, name: str, path: np.ndarray, times: list[int] | None) -> None:
    """Draw some images by step, left to right; with t above if times are given."""
    shown = shown_steps(len(path) - 1)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for axis, k in zip(axes, shown, strict=True):
        grid = image_grid(np.clip(path[k], 0, 1), 1)
        axis.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        if times is not None:
            axis.set_title(f"t = {times[k]}", fontsize=9)
    axes[0].set_ylabel(name, fontsize=9)


def _distances(axis: Any, steps: list[dict[str, Any]]) -> None:
    if _nothing(axis, steps):
        return
    _by_step(axis, steps, "raw_distance", "mitigated_distance")
    t = [each["step"] for each in steps]
    axis.plot(
        t, [each["shot_distance"] for each in steps], "--", color="#ff832b", label="shots alone"
    )
    axis.set_ylim(bottom=0, top=1.15 * axis.get_ylim()[1])
    axis.set_title("distance from exact (total variation)", fontsize=9)
    axis.legend(fontsize=8, frameon=False)


def _fidelities(axis: Any, steps: list[dict[str, Any]]) -> None:
    if _nothing(axis, steps):
        return
    _by_step(axis, steps, "raw_fidelity", "mitigated_fidelity")
    lowest = axis.dataLim.ymin
    axis.set_ylim(max(0.0, lowest - 0.4 * (1.0 - lowest)), 1.0)
    axis.set_title("fidelity to exact (Hellinger)", fontsize=9)
    axis.legend(fontsize=8, frameon=False, loc="lower left")


def _nothing(axis: Any, steps: list[dict[str, Any]]) -> bool:
    """Say so and return True if there are no distributions to compare."""
    if steps[0]["raw_distance"] is not None:
        return False
    axis.text(0.5, 0.5, "no distributions", ha="center", transform=axis.transAxes)
    axis.set(xticks=[], yticks=[])
    return True


def _by_step(axis: Any, steps: list[dict[str, Any]], raw: str, mitigated: str) -> None:
    """Plot a number of each step, raw and mitigated, from t = T on the left."""
    t = [each["step"] for each in steps]
    axis.plot(t, [each[raw] for each in steps], "o-", ms=4, label="raw", color=EXACT)
    if any(each[mitigated] is not None for each in steps):
        values = [each[mitigated] for each in steps]
        axis.plot(t, values, "o-", ms=4, label="mitigated", color=MEASURED)
    axis.set_xlim(max(t) + 0.5, min(t) - 0.5)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("t")
    axis.spines[["top", "right"]].set_visible(False)


def _costs(axis: Any, report: dict[str, Any]) -> None:
    jobs = report["jobs"]
    position = np.arange(len(jobs))
    estimated = [each["estimated"] or 0.0 for each in jobs]
    width = 0.4 if report["spends"] else 0.8
    axis.bar(position - 0.4, estimated, width, align="edge", label="estimated", color="#8bb0ff")
    if report["spends"]:
        charged = [each["charged"] or 0.0 for each in jobs]
        axis.bar(position, charged, width, align="edge", label="charged", color="#ff832b")
    names = [job_name(each["part"]) for each in jobs]
    every = max(1, -(-len(jobs) // 12))
    axis.set_xticks(position[::every], names[::every], fontsize=8)
    axis.set_ylim(bottom=0, top=1.25 * max([1e-9, axis.get_ylim()[1]]))
    axis.set_xlabel("job (t of a step, c of a calibration)")
    axis.set_title("QPU seconds", fontsize=9)
    if jobs:
        axis.legend(fontsize=8, frameon=False)
    else:
        axis.text(0.5, 0.5, "no job is known", ha="center", transform=axis.transAxes)
        axis.set_yticks([])
    axis.spines[["top", "right"]].set_visible(False)


def job_name(part: str) -> str:
    """Return a job's name on an axis.

    >>> job_name("step-0010"), job_name("calibration-0001"), job_name("refit-0001")
    ('10', 'c1', 'r1')
    """
    kind, _, number = part.rpartition("-")
    return {"calibration": "c", "refit": "r"}.get(kind, "") + str(int(number))


def times_of(report: dict[str, Any], count: int) -> list[int]:
    """Return the time of each of so many states of a chain."""
    if is_coherent(report):
        return [report["chain"]["steps"], 0]
    return [report["num_steps"] - k for k in range(count)]


def is_coherent(report: dict[str, Any]) -> bool:
    """Return whether all steps were one circuit."""
    return "chain" in report and report["chain"]["way"] == "coherent"
