"""How did the loss of our runs fall, and where do the papers' printed figures lie?

Draws what `qdm train` has written (``metrics.jsonl`` of each run's folder), as a list says that is kept
beside the picture: panels, each with curves and with figures that a paper prints.

    python benchmarks/training_curves.py benchmarks/curves/eeqdm.json --runs RUNS --train \
        --png docs/images/eeqdm-curves.png --json benchmarks/results/eeqdm_curves.json

The list::

    {"x": "epoch", "panels": [{
        "title": "depth 10", "y": "mean squared error",
        "curves": [{"label": "EEQDM", "runs": ["eeqdm-0", "eeqdm-1"], "train": "--model eeqdm"}],
        "published": [{"label": "EEQDM, paper", "beside": "EEQDM", "loss": 0.3674, "at": null,
                       "source": "table 1"}]}]}

``x`` is ``epoch`` or ``step``. Runs of a curve are its seeds 0, 1, ..: the line is their mean, the
band reaches from the lowest to the highest. ``--train`` makes the runs that are missing, by `qdm train`
with the curve's options. A published figure without a place (``at``) is a dotted line from side to
side. The dashed grey line is the identity map on the same pairs, which changes nothing. A run with
transfer begins with its classical part.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from qdm_qiskit.errors import InvalidData, QdmError
from qdm_qiskit.files import read_json_object, write_json
from qdm_qiskit.reports.figures import new_figure, png_bytes
from qdm_qiskit.training import read_history
from qdm_qiskit.training.transfer import FOLDER

PANEL = ("title", "y", "scale", "curves", "published")
COLOURS = ("#0f62fe", "#da1e28", "#198038", "#8a3ffc", "#ff832b", "#005d5d", "#9f1853", "#b28600")


def read_curve(runs: Path, names: list[str]) -> dict[str, Any]:
    """The losses of runs that differ in their seeds only.

    Args:
        runs: Folder of the runs' folders.
        names: Of these runs.

    Returns:
        ``epoch`` and ``step``, and for each loss its mean, lowest and highest value at each of them.

    Raises:
        MissingData: If a run has no metrics.
        InvalidData: If the runs are not equally long.
    """
    histories = [_history(runs / name) for name in names]
    steps = [[row["step"] for row in history] for history in histories]
    if any(each != steps[0] for each in steps):
        lengths = ", ".join(f"{n}: {len(h)}" for n, h in zip(names, histories, strict=True))
        raise InvalidData(
            f"The runs of a curve have the same epochs and steps; got epochs {lengths}."
        )
    curve: dict[str, Any] = {
        "runs": names,
        "epoch": list(range(1, len(steps[0]) + 1)),
        "step": steps[0],
    }
    for key in ("test_loss", "identity_loss", "baseline_loss"):
        if all(key in row for history in histories for row in history):
            values = np.array([[row[key] for row in history] for history in histories])
            curve[key] = {
                "mean": _rounded(values.mean(axis=0)),
                "lowest": _rounded(values.min(axis=0)),
                "highest": _rounded(values.max(axis=0)),
            }
    return curve


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def _history(folder: Path) -> list[dict[str, float]]:
    own = list(read_history(folder))
    if not (folder / FOLDER / "metrics.jsonl").is_file():
        return own
    classical = list(read_history(folder / FOLDER))
    before = classical[-1]["step"]
    return classical + [{**row, "step": row["step"] + before} for row in own]


def read_panels(listed: dict[str, Any], runs: Path) -> list[dict[str, Any]]:
    """The panels of a list with the losses of their runs.

    Raises:
        InvalidData: If the list is not as the module's text says.
        MissingData: If a run has no metrics.
    """
    if listed.get("x") not in ("epoch", "step") or not listed.get("panels"):
        raise InvalidData("A list of curves has 'x' (epoch or step) and 'panels'.")
    panels = []
    for panel in listed["panels"]:
        unknown = set(panel) - set(PANEL)
        if unknown or not panel.get("curves"):
            raise InvalidData(
                f"A panel has curves and {', '.join(PANEL)}; got {', '.join(sorted(panel))}."
            )
        curves = [
            {"label": each["label"], **read_curve(runs, each["runs"])} for each in panel["curves"]
        ]
        published = panel.get("published", [])
        for figure in published:
            if not figure.get("source"):
                raise InvalidData(f"The figure '{figure.get('label')}' needs its 'source'.")
        panels.append({**panel, "curves": curves, "published": published})
    return panels


def train_missing(listed: dict[str, Any], runs: Path) -> None:
    """Make the runs of a list that are not there; those without ``train`` come from elsewhere."""
    for panel in listed["panels"]:
        for curve in panel["curves"]:
            for seed, name in enumerate(curve["runs"]):
                if "train" not in curve or (runs / name / "metrics.jsonl").is_file():
                    continue
                words = [
                    *shlex.split(curve["train"]),
                    "--seed",
                    str(seed),
                    "--out",
                    str(runs / name),
                ]
                command = [
                    sys.executable,
                    "-m",
                    "qdm_qiskit.cli.main",
                    "train",
                    *words,
                    "--threads",
                    "1",
                ]
                subprocess.run(command, check=True)  # noqa: S603 (the list is ours)


def draw(panels: list[dict[str, Any]], x: str) -> bytes:
    """A picture of all panels, side by side.

    Args:
        panels: From :func:`read_panels`.
        x: epoch or step.

    Returns:
        PNG bytes.
    """
    figure = new_figure((1.0 + 4.2 * len(panels), 4.2))
    axes: Any = np.atleast_1d(figure.subplots(1, len(panels)))
    for axis, panel in zip(axes, panels, strict=True):
        colours = {}
        for place, curve in enumerate(panel["curves"]):
            colour = colours[curve["label"]] = COLOURS[place % len(COLOURS)]
            _line(axis, curve, x, "test_loss", curve["label"], colour, "-")
        for key, label, colour, style in (
            ("baseline_loss", "classical U-Net, same pairs", "#393939", "-."),
            ("identity_loss", "identity (no change at all)", "#8d8d8d", "--"),
        ):
            held = [curve for curve in panel["curves"] if key in curve]
            if held:  # it is the same for all models of a panel: same data, same noise
                longest = max(held, key=lambda curve: curve[x][-1])
                _line(axis, longest, x, key, label, colour, style)
        for figure_ in panel["published"]:
            colour = colours.get(figure_.get("beside"), "black")
            if figure_.get("at") is None:
                axis.axhline(figure_["loss"], ls=":", lw=1.4, color=colour, label=figure_["label"])
            else:
                axis.plot(
                    figure_["at"],
                    figure_["loss"],
                    "*",
                    ms=9,
                    color=colour,
                    label=figure_["label"],
                )
        axis.set(xlabel=x, ylabel=panel.get("y", "test loss"), yscale=panel.get("scale", "log"))
        axis.set_title(panel.get("title", ""), fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(
            fontsize=7, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2)
        )
    return png_bytes(figure)


def _line(
    axis: Any, curve: dict[str, Any], x: str, key: str, label: str, colour: str, style: str
) -> None:
    found = curve[key]
    marker = "o" if len(curve[x]) < 10 else None
    axis.plot(
        curve[x], found["mean"], style, color=colour, lw=1.3, ms=3, marker=marker, label=label
    )
    if len(curve["runs"]) > 1:
        axis.fill_between(
            curve[x], found["lowest"], found["highest"], color=colour, alpha=0.18, lw=0
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("list", type=Path, help="which runs, which published figures")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs' folders")
    parser.add_argument("--train", action="store_true", help="make the runs that are missing")
    parser.add_argument("--png", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        listed = read_json_object(options.list)
        if options.train:
            train_missing(listed, options.runs)
        panels = read_panels(listed, options.runs)
    except QdmError as error:
        raise SystemExit(f"error: {error}") from error
    if options.png is not None:
        options.png.parent.mkdir(parents=True, exist_ok=True)
        options.png.write_bytes(draw(panels, listed["x"]))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.json, {"x": listed["x"], "panels": panels})
    for panel in panels:
        print(panel.get("title", ""))
        for curve in panel["curves"]:
            found = curve["test_loss"]
            identity = f"{curve['identity_loss']['mean'][-1]:.4g}"
            print(
                f"  {curve['label']:>40}  first {found['mean'][0]:.4g}  last {found['mean'][-1]:.4g} "
                f"({found['lowest'][-1]:.4g} .. {found['highest'][-1]:.4g})  identity {identity}"
            )
        for each in panel["published"]:
            print(f"  {each['label']:>40}  {each['loss']}  ({each['source']})")


if __name__ == "__main__":
    main()
