"""Pictures of an analysis, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .entanglement import haar_meyer_wallach
from .gradients import GradientScan
from .summary import CircuitAnalysis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLOCH_LABELS",
    "COLOURS",
    "HAAR",
    "MAX_BALLS",
    "OURS",
    "PALETTE",
    "analysis_pictures",
    "bloch_picture",
    "entanglement_picture",
    "expressibility_picture",
    "gradients_picture",
    "scan_picture",
]

MAX_BALLS = 12
"""Qubits whose Bloch ball is drawn."""
BLOCH_LABELS = {"|0>": (0, 0, 1.2), "|1>": (0, 0, -1.2), "x": (1.2, 0, 0), "y": (0, 1.2, 0)}
"""Names and places of the poles, and of the axes x and y."""
OURS, HAAR = "#0f62fe", "#8a8f98"
PALETTE = ("#da1e28", "#0f62fe", "#f1a01b", "#198038", "#8a3ffc")
COLOURS = {"global": "#da1e28", "local": "#0f62fe"}


def analysis_pictures(analysis: CircuitAnalysis) -> dict[str, bytes]:
    """File name to PNG: expressibility, entanglement, Bloch balls, gradients and Fisher spectrum."""
    return {
        "expressibility.png": expressibility_picture(analysis),
        "entanglement.png": entanglement_picture(analysis),
        "bloch.png": bloch_picture(analysis),
        "gradients.png": gradients_picture(analysis),
    }


def expressibility_picture(analysis: CircuitAnalysis) -> bytes:
    """Fidelities of random pairs beside those of Haar states."""
    figure, (axes,) = _figure(5.2, 3.6)
    found = analysis.expressibility
    edges = np.linspace(0, 1, len(found.histogram) + 1)
    axes.stairs(found.histogram, edges, fill=True, color=OURS, alpha=0.5, label=analysis.name)
    axes.stairs(found.haar_histogram, edges, color="black", label="Haar")
    axes.set_yscale("log")
    # Haar's last bins hold less than any number of samples can show.
    least = found.histogram[found.histogram > 0].min() / 3
    axes.set_ylim(least, max(found.histogram.max(), found.haar_histogram.max()) * 2)
    axes.set_xlabel("fidelity of two random states")
    axes.set_ylabel("frequency")
    axes.set_title(f"KL to Haar {found.divergence}", fontsize=10)
    axes.legend(frameon=False)
    return _png(figure)


def entanglement_picture(analysis: CircuitAnalysis) -> bytes:
    """Meyer-Wallach Q of random states, with the circuit's mean and Haar's."""
    figure, (axes,) = _figure(5.2, 3.6)
    q = analysis.entanglement
    axes.hist(q, bins=50, range=(0, 1), color=OURS, alpha=0.5)
    axes.axvline(float(q.mean()), color=OURS, label=f"mean {q.mean():.3f}")
    haar = haar_meyer_wallach(analysis.num_qubits)
    axes.axvline(haar, color="black", linestyle="--", label=f"Haar mean {haar:.3f}")
    axes.set_xlabel("Meyer-Wallach Q")
    axes.set_ylabel("states")
    axes.set_title(analysis.name, fontsize=10)
    axes.legend(frameon=False)
    return _png(figure)


def bloch_picture(analysis: CircuitAnalysis) -> bytes:
    """Reduced states of each qubit in its Bloch ball, with the ends of the axes named."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = min(analysis.num_qubits, MAX_BALLS)
    columns = min(shown, 4)
    rows = -(-shown // columns)
    figure = Figure(figsize=(2.6 * columns, 2.8 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    u, v = np.mgrid[0 : 2 * np.pi : 25j, 0 : np.pi : 13j]
    sphere = np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)
    for qubit in range(shown):
        axes = figure.add_subplot(rows, columns, qubit + 1, projection="3d")
        axes.plot_wireframe(*sphere, color=HAAR, linewidth=0.3, alpha=0.5)
        axes.scatter(*analysis.bloch[:, qubit].T, s=3, color=OURS, alpha=0.5)
        for name, place in BLOCH_LABELS.items():
            axes.text(*place, name, fontsize=8, ha="center", va="center")
        axes.set_box_aspect((1, 1, 1), zoom=1.2)
        axes.set_axis_off()
        length = np.linalg.norm(analysis.bloch[:, qubit], axis=1).mean()
        axes.set_title(f"qubit {qubit}: mean length {length:.2f}", fontsize=9)
    return _png(figure)


def gradients_picture(analysis: CircuitAnalysis) -> bytes:
    """Variance of each derivative, and the spectrum of the Fisher information."""
    figure, (left, right) = _figure(9.0, 3.6, panels=2)
    for observable, values in analysis.gradients.items():
        variances = values.var(axis=0, ddof=1)
        alive = np.flatnonzero(variances)
        still = f", {len(variances) - len(alive)} are 0" if len(alive) < len(variances) else ""
        label = f"{observable} cost{still}"
        left.plot(alive, variances[alive], ".", color=COLOURS[observable], label=label)
    if any(np.any(values) for values in analysis.gradients.values()):
        left.set_yscale("log")
    left.set_xlabel("parameter, by name: weights, then inputs")
    left.set_ylabel("variance of the derivative")
    left.set_title(analysis.name, fontsize=10)
    left.legend(frameon=False)
    # Zeros have no logarithm: they are drawn below the lower edge.
    lowest = max(float(analysis.spectrum.eigenvalues.max()), 1.0) * 1e-8
    for row in analysis.spectrum.eigenvalues:
        drawn = np.maximum(row, lowest / 10)
        right.plot(np.arange(1, len(row) + 1), drawn, color=OURS, alpha=0.4, linewidth=0.8)
    right.set_yscale("log")
    right.set_ylim(lowest, lowest * 3e8)
    right.set_xlabel("eigenvalue, largest first")
    right.set_title(
        f"Fisher information: {analysis.spectrum.largest_rank} directions of at most "
        f"{analysis.spectrum.bound}",
        fontsize=10,
    )
    return _png(figure)


def scan_picture(scans: Mapping[str, GradientScan], title: str) -> bytes:
    """Gradient variance against the number of qubits, dotted where 2-designs would be.

    Args:
        scans: Label to scan; each is drawn with intervals and, from 3 sizes on, the better fit.
        title: Above the picture.
    """
    figure, (axes,) = _figure(5.6, 4.0)
    for k, (label, scan) in enumerate(scans.items()):
        sizes = np.array(scan.qubits)
        values = np.array([each.value for each in scan.variances])
        below = values - [each.low for each in scan.variances]
        above = [each.high for each in scan.variances] - values
        colour = PALETTE[k % len(PALETTE)]
        if len(sizes) >= 3 and values.min() > 0:
            line, power = scan.exponential(), scan.power_law()
            if line.chi_squared <= power.chi_squared:
                label = f"{label}: 2^({line.slope:.2f} ± {line.error:.2f}) a qubit"
            else:
                label = f"{label}: n^({power.slope:.2f} ± {power.error:.2f})"
        axes.errorbar(
            sizes,
            values,
            [below.tolist(), above.tolist()],  # of one point Matplotlib 3.10 would ask an array
            fmt="o-",
            markersize=3,
            capsize=2,
            color=colour,
            label=label,
        )
        axes.plot(sizes, scan.deep_limits, ":", color=colour)
    axes.plot([], [], ":", color=HAAR, label="limit of 2-designs")
    axes.set_xticks(sorted({n for scan in scans.values() for n in scan.qubits}))
    axes.set_yscale("log", base=2)
    axes.set_xlabel("qubits")
    axes.set_ylabel("variance of the derivative")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def _figure(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figure and canvas by hand: pyplot would set a global backend for the caller's process.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, panels, k + 1) for k in range(panels)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
    return file.getvalue()
