"""The three forms of a report on tiles: JSON, Markdown, and a picture of each chip with its tiles."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.tiles import TilesReport
from ..files import write_together
from .chips import chip_positions
from .figures import png_bytes
from .transpile_render import markdown_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["render_markdown", "render_png", "write_tiles_report"]

_GREY, _DEAD = "#c6c9ce", "#da1e28"


def write_tiles_report(report: TilesReport, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write ``NAME-tiles.json``, ``.md`` and ``.png``; an older report of this name is replaced.

    Args:
        report: Report to write.
        folder: Folder of the files; made if it does not exist.

    Returns:
        Paths of the JSON, Markdown and PNG files.

    Raises:
        OutputNotWritable: If the folder cannot be made or written, or the disk is full.
    """
    data = report.to_dict()
    rendered = {
        ".json": (json.dumps(data, indent=2) + "\n").encode(),
        ".md": render_markdown(data, report.sentences()),
        ".png": render_png(data),
    }
    paths = {
        Path(folder) / f"{report.name}-tiles{suffix}": text for suffix, text in rendered.items()
    }
    write_together(paths)
    return tuple(paths)


def render_markdown(data: dict[str, Any], sentences: list[str]) -> bytes:
    """Render a table a device: each tile with what is expected of it and what was simulated."""
    between = ", a qubit between tiles" if data["buffer"] else ""
    lines = [f"# Tiles of {data['name']}", "", f"Choice: {data['choice']}{between}.", ""]
    for chip, sentence in zip(data["chips"], sentences, strict=True):
        head = ["tile", "qubits", "expected", "gates", "readout", "waiting", "simulated, 95 %"]
        rows = [
            [
                number,
                " ".join(map(str, tile["qubits"])),
                f"{tile['success']:.3f}",
                f"{tile['gate_success']:.3f}",
                f"{tile['readout_success']:.3f}",
                _number(tile["idle_success"]),
                _interval(tile["simulated"]),
            ]
            for number, tile in enumerate(chip["tiles"])
        ]
        lines += [f"## {chip['backend']}", "", sentence, "", *markdown_table(head, rows), ""]
    versions = ", ".join(f"{k} {v}" for k, v in data["versions"].items())
    lines += [
        "Expected: the chance that no gate fails, nothing is misread and nothing decays while it "
        f"waits. Simulated: cross-entropy fidelity of {data['inputs']} random inputs under the "
        "device's noise, in which waiting is not. Some failures leave part of the signal, so it is "
        f"the higher one. {versions}.",
        "",
    ]
    return "\n".join(lines).encode()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(found: dict[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{found['estimate']:.3f} ({found['low']:.3f} .. {found['high']:.3f})"


def render_png(data: dict[str, Any]) -> bytes:
    """Draw each chip with its tiles coloured by expected success, and expected beside simulated."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chips = data["chips"]
    figure = Figure(figsize=(13.0, 5.2 * len(chips)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(chips), 2, width_ratios=(2.2, 1.0), squeeze=False)
    colours = colormaps["viridis"]
    for (left, right), chip in zip(panels, chips, strict=True):
        _draw_chip(left, chip, colours)
        _draw_successes(right, chip, colours)
    figure.suptitle(f"Tiles of {data['name']}")
    return png_bytes(figure)


def _draw_chip(axes: Axes, chip: dict[str, Any], colours: Colormap) -> None:
    places = chip_positions(chip["device_qubits"], chip["couplers"])
    dead = {tuple(each) for each in chip["dead"]}
    owner = {q: k for k, tile in enumerate(chip["tiles"]) for q in tile["qubits"]}
    for pair in chip["couplers"]:
        one, other = places[pair[0]], places[pair[1]]
        mine = owner.get(pair[0])
        inside = mine is not None and mine == owner.get(pair[1]) and tuple(pair) not in dead
        axes.plot(
            *zip(one, other, strict=True),
            color=colours(chip["tiles"][mine]["success"])
            if inside
            else _DEAD
            if tuple(pair) in dead
            else _GREY,
            linewidth=6 if inside else 1,
            linestyle=":" if tuple(pair) in dead else "-",
            zorder=1,
        )
    for qubit, place in enumerate(places):
        mine = owner.get(qubit)
        axes.plot(
            *place,
            marker="o",
            markersize=9,
            color="white" if mine is None else colours(chip["tiles"][mine]["success"]),
            markeredgecolor=_GREY if mine is None else "none",
            zorder=2,
        )
        axes.text(
            place[0],
            place[1],
            str(qubit),
            fontsize=4.5,
            ha="center",
            va="center",
            zorder=3,
            color="#444444" if mine is None else _readable(chip["tiles"][mine]["success"]),
        )
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title(
        f"{chip['backend']}: {len(chip['tiles'])} tiles; dotted red couplers do not work",
        fontsize=10,
    )


def _readable(success: float) -> str:
    return "white" if success < 0.6 else "black"


def _draw_successes(axes: Axes, chip: dict[str, Any], colours: Colormap) -> None:
    from matplotlib.ticker import MaxNLocator

    tiles = chip["tiles"]
    numbers = np.arange(len(tiles))
    expected = [tile["success"] for tile in tiles]
    axes.bar(numbers, expected, color=[colours(each) for each in expected], label="expected")
    found = [(k, t["simulated"]) for k, t in enumerate(tiles) if t["simulated"] is not None]
    if found:
        estimates = np.array([each["estimate"] for _, each in found])
        low = estimates - [each["low"] for _, each in found]
        high = np.array([each["high"] for _, each in found]) - estimates
        spread = np.maximum([low, high], 0)
        axes.errorbar(
            [k for k, _ in found], estimates, yerr=spread, fmt="k.", capsize=3,
            label="simulated, 95 %",
        )  # fmt: skip
    axes.axhline(chip["floor"], color=_DEAD, linestyle=":", label="floor")
    axes.set_ylim(0, 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("tile")
    axes.set_ylabel("success")
    axes.legend(loc="lower left", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
