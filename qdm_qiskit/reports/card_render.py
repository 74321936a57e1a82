"""A reproduction card as a picture: the paper's figures beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import checked_path
from ..errors import InvalidOption
from ..files import write_bytes
from ..reproduction.card import Found
from ..reproduction.counts import weights_of_pair
from ..reproduction.reproduce import Compared, Reproduction
from .figures import figure_bytes, new_figure, plain

__all__ = ["SUFFIXES", "card_picture", "check_picture", "write_picture"]

SUFFIXES = (".png", ".svg", ".pdf")
"""Files that a picture can be."""
_OURS, _THEIRS = "#0f62fe", "#da1e28"


def check_picture(path: Path) -> Path:
    """Return the path of a picture, checked before any work.

    Raises:
        InvalidOption: If its suffix is none of :data:`SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidOption(
            f"A picture is a file that ends in {', '.join(SUFFIXES)}, got '{path.name}'."
        )
    return path


def write_picture(found: Reproduction, path: str | Path) -> Path:
    """Draw a card, and write it in the format of the file's suffix.

    Raises:
        InvalidOption: If the suffix is none of :data:`SUFFIXES`, or the card has no numbers.
        OutputNotWritable: If the file cannot be written.
    """
    path = checked_path(path, "path")
    form = check_picture(path).suffix[1:]
    content = figure_bytes(card_picture(found), form, 150 if form == "png" else 300)
    write_bytes(path, content)
    return path


def card_picture(found: Reproduction) -> Any:
    """Return a card as a matplotlib figure.

    A card whose figures are all reductions of EEQDM's weights is drawn as the paper's figure 2 is:
    weights of both models against data qubits, and the part that is saved shaded. Any other has a
    row for each figure: what the paper has, what it would take for agreement, and ours with its
    interval.

    Raises:
        InvalidOption: If neither the paper nor this call has a number.
    """
    checks = [each.figure.check or {} for each in found.figures]
    if checks and all(each.get("check") == "reduction" for each in checks):
        return _reduction(found, [int(each["num_data"]) for each in checks])
    return _rows(found)


def _reduction(found: Reproduction, qubits: list[int]) -> Any:
    order = np.argsort(qubits)
    x = np.array(qubits)[order]
    ours, others = np.array([weights_of_pair(int(each)) for each in x]).T
    saved = np.array([each.ours.value for each in found.figures if each.ours])[order]
    figure = new_figure((6.4, 4.0))
    axis = figure.subplots()
    axis.plot(x, others, "o-", color=_THEIRS, label="QDDM")
    axis.plot(x, ours, "s-", color=_OURS, label="EEQDM")
    axis.fill_between(x, ours, others, color=_OURS, alpha=0.15, label="fewer parameters")
    for k, percent in enumerate(saved):
        middle = (float(ours[k]), float(x[k]))
        axis.annotate(
            f"{percent:.1f} %",
            middle[::-1],
            xytext=(0, -12),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    axis.set_xlabel("data qubits")
    axis.set_ylabel("parameters a layer, counted in the circuits")
    axis.set_xticks(x)
    axis.set_ylim(0, None)
    axis.legend(frameon=False)
    axis.set_title(_title(found), fontsize=8)
    return figure


def _rows(found: Reproduction) -> Any:
    known = [(each, each.ours or each.recorded) for each in found.figures]
    rows = [(each, ours) for each, ours in known if ours or not isinstance(each.figure.theirs, str)]
    if not rows:
        raise InvalidOption(
            f"Card '{found.card.name}' has no numbers, so there is nothing to draw."
        )
    figure = new_figure((6.4, 1.2 + 0.32 * len(rows)))
    axis = figure.subplots()
    numbers = [number for each, ours in rows for number in _numbers(each, ours)]
    if min(numbers) > 0 and max(numbers) > 50 * min(numbers):
        axis.set_xscale("log")
    axis.margins(x=0.08)
    for k, (each, ours) in enumerate(rows):
        if not isinstance(each.figure.theirs, str):
            axis.plot(each.figure.theirs, k, "x", color=_THEIRS, zorder=3)
        if ours is not None:
            axis.plot(ours.value, k, "o", color=_OURS, markersize=4, zorder=2)
            if ours.low is not None and ours.high is not None:
                axis.plot([ours.low, ours.high], [k, k], "-", color=_OURS, linewidth=2)
    axis.autoscale(enable=False, axis="x")
    low, high = axis.get_xlim()
    for k, (each, ours) in enumerate(rows):
        if ours is None:
            continue  # nothing of ours can agree
        least, most = each.figure.accepted
        if least < most:
            ends = (max(least, low), min(most, high))
            axis.fill_betweenx([k - 0.4, k + 0.4], *ends, color="#8a8f98", alpha=0.2, linewidth=0)
    axis.set_yticks(range(len(rows)), [plain(each.figure.name, " -_.:,()/%|") for each, _ in rows])
    axis.tick_params(labelsize=7)
    axis.invert_yaxis()
    axis.plot([], [], "x", color=_THEIRS, label="the paper")
    axis.plot([], [], "o", color=_OURS, label="ours")
    axis.fill_between([], [], color="#8a8f98", alpha=0.2, label="agrees")
    axis.legend(frameon=False, fontsize=7, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    figure.suptitle(_title(found), fontsize=8)
    return figure


def _numbers(each: Compared, ours: Found | None) -> list[float]:
    theirs = each.figure.theirs
    found = [] if isinstance(theirs, str) else [float(theirs)]
    if ours is not None:
        found += [end for end in (ours.value, ours.low, ours.high) if end is not None]
    return found


def _title(found: Reproduction) -> str:
    return plain(f"{found.card.name}: {found.verdict}", " -:")
