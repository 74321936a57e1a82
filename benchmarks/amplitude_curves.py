"""How did the infidelity of Cacioppo's and QAMP's models fall, and is it below the identity's?

Draws the runs of `qdm train` (``metrics.jsonl``): on the left the mean over all steps, on the right the
term of t = 1, each with the level of the identity map, which changes nothing, dashed in its run's
colour. The mean hides t = 1, the step that is far from the identity.

    python benchmarks/amplitude_curves.py "MNIST=runs/qamp" "digits=runs/qamp-digits" --published qamp \
        --png docs/images/qamp-december.png --json benchmarks/results/qamp_december.json

``--published qamp`` adds the points of the authors' log of 16 December 2025 (loss of training, 15 steps
an epoch). Cacioppo et al. print no losses, as far as their text and code could be had.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from qdm_qiskit.errors import InvalidData, InvalidOption, QdmError
from qdm_qiskit.files import read_json_object, write_json
from qdm_qiskit.reports.figures import new_figure, png_bytes
from qdm_qiskit.training import read_history

COLOURS = ("#0f62fe", "#da1e28", "#198038", "#8a3ffc", "#ff832b", "#005d5d")
PANELS = (
    ("train_loss", "identity_loss", "all t, training images"),
    ("test_loss_first_step", "identity_loss_first_step", "t = 1, test images"),
)
"""Loss, its identity, title."""
STEPS_AN_EPOCH = 15
"""Of the authors: 8,096 images in batches of 512, without the rest."""
PUBLISHED: dict[str, dict[str, dict[int, float]]] = {
    "qamp": {
        "train_loss": {1: 0.955, 10: 0.41, 91: 0.2503},
        "test_loss_first_step": {91: 0.213},
    }
}
"""By name: loss, then epoch to value. Read off the authors' TensorBoard file of run 20251216-012254."""


def read_run(label: str, folder: Path) -> dict[str, Any]:
    """The losses of a run, epoch by epoch.

    Raises:
        MissingData: If it has no metrics.
        InvalidData: If its process has no term of t = 1.
    """
    history = read_history(folder)
    keys = ["test_loss", *(key for loss, identity, _ in PANELS for key in (loss, identity))]
    if any(key not in row for row in history for key in keys):
        raise InvalidData(
            f"{folder} has no losses at t = 1; it must be a run of a process that trains all steps of "
            "each image, as complex_gaussian does."
        )
    config = read_json_object(folder / "config.json")
    return {
        "label": label,
        "dataset": config["data"]["dataset"],
        "classes": config["data"]["classes"],
        "batch_size": config["training"]["batch_size"],
        "step": [int(row["step"]) for row in history],
        **{key: [float(f"{row[key]:.5g}") for row in history] for key in keys},
    }


def draw(runs: list[dict[str, Any]], published: dict[str, dict[int, float]]) -> bytes:
    """The picture.

    Args:
        runs: From :func:`read_run`.
        published: Loss, then epoch to value.

    Returns:
        PNG bytes.
    """
    figure = new_figure((9.5, 4.6))
    axes = figure.subplots(1, 2)
    for axis, (loss, identity, title) in zip(axes, PANELS, strict=True):
        for colour, run in zip(COLOURS, runs, strict=False):
            axis.plot(run["step"], run[loss], color=colour, lw=1.4, label=run["label"])
            axis.axhline(run[identity][-1], color=colour, lw=1.1, ls="--")
        points = {STEPS_AN_EPOCH * epoch: value for epoch, value in published.get(loss, {}).items()}
        if points:
            axis.plot(points.keys(), points.values(), "k*", ms=10, label="published run")
        axis.plot([], [], color="#525252", lw=1.1, ls="--", label="doing nothing")
        axis.set(xlabel="steps of the optimiser", xscale="log", title=title)
        axis.set_ylim(0, 1.02)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("infidelity with the posterior mean")
    lines, labels = axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, fontsize=8, frameon=False, ncols=3, loc="outside lower center")
    return png_bytes(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="LABEL=FOLDER of each run")
    parser.add_argument("--published", choices=sorted(PUBLISHED))
    parser.add_argument("--png", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    published = PUBLISHED.get(options.published, {})
    try:
        if len(options.runs) > len(COLOURS) or not all("=" in each for each in options.runs):
            raise InvalidOption(
                f"Give 1 to {len(COLOURS)} runs as LABEL=FOLDER, got {' '.join(options.runs)}."
            )
        runs = [
            read_run(label, Path(folder))
            for label, _, folder in (each.rpartition("=") for each in options.runs)
        ]
        if options.json is not None:
            write_json(options.json, {"runs": runs, "published": published})
    except QdmError as error:
        raise SystemExit(f"error: {error}") from error
    if options.png is not None:
        options.png.write_bytes(draw(runs, published))
    for run in runs:
        epochs = len(run["step"])
        print(f"{run['label']}: {epochs} epochs, {run['step'][-1]} steps")
        for epoch in sorted({1, 10, 91, epochs} & set(range(1, epochs + 1))):
            print(
                f"  epoch {epoch:>4}  "
                + "  ".join(
                    f"{key} {run[key][epoch - 1]:.4f}"
                    for key in ("train_loss", "test_loss", "test_loss_first_step")
                )
            )
        print(
            f"  identity {run['identity_loss'][-1]:.4f}, at t = 1 "
            f"{run['identity_loss_first_step'][-1]:.4f}"
        )


if __name__ == "__main__":
    main()
