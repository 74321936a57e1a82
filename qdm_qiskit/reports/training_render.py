"""Training by a hardware run on its page: sentences, table and picture of plain values."""

from __future__ import annotations

from typing import Any

from ..pages import Chart, Curve

__all__ = [
    "LOSSES",
    "MOST_LISTED",
    "draw_losses",
    "loss_charts",
    "loss_rows",
    "loss_sentences",
]

MOST_LISTED = 64
"""Most steps whose loss the page lists."""
LOSSES = (("step of the optimizer", "step"), ("loss, by the counts, before it", "loss"))


def loss_sentences(report: dict[str, Any]) -> list[str]:
    """Return what was trained, and what became of the loss.

    Args:
        report: Result of ``HardwareReport.to_dict`` of a training run.
    """
    training = report["training"]
    losses = training["losses"]
    found = [report["replay"], f"Training: {training['words']}."]
    found.append(
        f"By the counts the loss was {losses[0]:.4g} in the first step"
        + (f" and {losses[-1]:.4g} in the last" if len(losses) > 1 else "")
        + ", each of its own noisy images, shot noise and the device's noise included."
    )
    if training["exact_before"] is not None:
        found.append(
            "Without a device, over the noisy images of all steps, it is "
            f"{training['exact_before']:.4g} at the weights that the run began with and "
            f"{training['exact_after']:.4g} at those it has now."
        )
    if len(losses) > MOST_LISTED:
        found.append(f"{MOST_LISTED} of {len(losses)} losses are listed; report.json has all.")
    return found


def loss_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of losses: all, or :data:`MOST_LISTED` evenly over the steps."""
    losses = report["training"]["losses"]
    count = min(len(losses), MOST_LISTED)
    places = [round(k * (len(losses) - 1) / max(1, count - 1)) for k in range(count)]
    return [{"step": place + 1, "loss": losses[place]} for place in places]


def loss_charts(report: dict[str, Any]) -> list[Chart]:
    """Return the loss of each step as a chart, with the exact ones before and after.

    Args:
        report: As for :func:`loss_sentences`.
    """
    training = report["training"]
    losses = training["losses"]
    curves = [Curve("by the counts", list(range(1, len(losses) + 1)), losses)]
    if training["exact_before"] is not None:
        ends = [training["exact_before"], training["exact_after"]]
        curves.append(Curve("without a device", [1, len(losses) + 1], ends, dashed=True))
    return [Chart("loss", "step of the optimizer", "loss", curves)]


def draw_losses(axis: Any, report: dict[str, Any], measured: str, exact: str) -> None:
    """Draw the loss of each step, and the exact ones before and after.

    Args:
        axis: Matplotlib's.
        report: As for :func:`loss_sentences`.
        measured: Colour of what was measured.
        exact: Colour of what was computed.
    """
    training = report["training"]
    losses = training["losses"]
    axis.plot(range(1, len(losses) + 1), losses, ".-", color=measured, label="by the counts")
    if training["exact_before"] is not None:
        ends = [training["exact_before"], training["exact_after"]]
        axis.plot([1, len(losses) + 1], ends, "_", ms=12, color=exact, label="without a device")
    axis.set_xlabel("step of the optimizer")
    axis.set_title("loss", fontsize=9)
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
