"""Sampled images in a notebook; functions of plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data import grid_png
from ..notebook import Markup, card, facts, folded, note, picture, table
from .step_records import StepRecord, by_step

__all__ = ["chain_line", "samples_card", "summary", "tile_lines"]

MOST_SHOWN = 64
"""Largest number of images in a grid."""


def summary(images: np.ndarray, manifest: dict[str, Any]) -> tuple[str, ...]:
    """Describe the samples and their target in a few words."""
    options = manifest["sampling"]
    size = " x ".join(str(side) for side in images.shape[1:])
    shots = "exact" if options["shots"] is None else f"{options['shots']} shots"
    return f"{len(images)} images of {size}", f"on {options['target']}", shots


def chain_line(chain: dict[str, Any] | None) -> str:
    """Say which way a chain of states went, and what share of its shots was kept.

    Args:
        chain: The manifest's ``chain``; None, or the option ``steps``, has no line.

    >>> chain_line({"circuits": "one", "kept": [0.5, 0.25], "predicted_kept": [0.5, 0.3]})
    'all steps in one circuit: 0.25 to 0.5 of the shots kept, 0.3 to 0.5 expected'
    """
    if chain is None or chain.get("because") == "chain is 'steps'":
        return ""
    if chain["circuits"] != "one":
        return f"step by step: {chain['because']}"
    kept = f"{_range(chain['kept'])} of the shots "
    kept += "kept" if chain.get("histories") is None else "have the drawn history"
    if chain["predicted_kept"] is not None:
        kept += f", {_range(chain['predicted_kept'])} expected"
    return f"all steps in one circuit: {kept}"


def _range(shares: Sequence[float]) -> str:
    least, most = f"{min(shares):.3g}", f"{max(shares):.3g}"
    return least if least == most else f"{least} to {most}"


def samples_card(
    title: str, images: np.ndarray, manifest: dict[str, Any], records: Sequence[StepRecord] = ()
) -> str:
    """Return the grid of images with their origin, and on a device the loss of each step."""
    options = manifest["sampling"]
    shown = images[:MOST_SHOWN]
    parts: list[Markup] = [picture(grid_png(shown), f"{len(shown)} sampled images")]
    if len(shown) < len(images):
        parts.append(note(f"The first {len(shown)} of {len(images)} images."))
    parts.append(
        facts(
            [
                ("model", manifest["run"]["model"]),
                ("target", options["target"]),
                ("shots for each image and step", options["shots"] or "none: exact"),
                ("mitigation", options["mitigation"]),
                ("scheduler", options["scheduler"]),
                ("seed", options["seed"]),
                ("seconds", manifest["seconds"]),
            ]
        )
    )
    steps = by_step(records)
    if steps:
        head = ("t", "distance to exact", "mitigated", "signal left")
        rows = [
            (each.step, each.raw_distance, each.mitigated_distance, f"{each.signal_left:.0%}")
            for each in steps
        ]
        parts += [note(steps[-1].sentence), folded("step by step", table(head, rows))]
    return card(title, *parts, about=", ".join(summary(images, manifest)))


def tile_lines(manifest: dict[str, Any]) -> list[str]:
    """Say on how many tiles each circuit of a sampling run ran, and how good they are."""
    device = manifest["device"] or {}
    entries = device.get("calls") or [{"name": "tiles", **device}]
    lines = []
    for each in entries:
        if "tiles" not in each:
            continue
        found = each["tiles"]
        best, worst = (found["tiles"][k]["expected_success"] for k in (0, -1))
        lines.append(
            f"{each['name']:<10} {len(found['tiles'])} places of the chip at once, expected success "
            f"{worst:.3f} to {best:.3f}"
        )
    return lines
