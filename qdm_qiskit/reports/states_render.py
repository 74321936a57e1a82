"""The page of a quantum-state diffusion run: its numbers and Bloch balls."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import checked_path
from ..evaluation.states import StatesReport
from ..files import write_together

__all__ = [
    "bloch_balls",
    "write_states_report",
]


def write_states_report(
    report: StatesReport, pictures: dict[str, np.ndarray], folder: str | Path
) -> tuple[Path, ...]:
    """Write ``states.json`` and ``states.png``, both or neither.

    Raises:
        OutputNotWritable: If the folder cannot be written.
    """
    folder = checked_path(folder, "folder")
    files = {
        folder / "states.png": bloch_balls(pictures),
        folder / "states.json": (json.dumps(report.to_dict(), indent=2) + "\n").encode(),
    }
    write_together(files)
    return tuple(files)


def bloch_balls(vectors: dict[str, np.ndarray]) -> bytes:
    """Draw Bloch balls side by side: a column an ensemble, a row a qubit.

    Args:
        vectors: Name to ``(states, num_qubits, 3)``.

    Returns:
        PNG bytes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns, rows = len(vectors), next(iter(vectors.values())).shape[1]
    figure = Figure(figsize=(1.9 * columns, 2.0 * rows + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    u, v = np.mgrid[0 : 2 * np.pi : 25j, 0 : np.pi : 13j]
    sphere = np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)
    for column, (name, points) in enumerate(vectors.items()):
        for qubit in range(rows):
            place = qubit * columns + column + 1
            axes: Any = figure.add_subplot(rows, columns, place, projection="3d")
            axes.plot_wireframe(*sphere, color="#b0b0b0", linewidth=0.3, alpha=0.5)
            axes.scatter(*points[:, qubit].T, s=3, color="#20639b", alpha=0.6)
            axes.set_box_aspect((1, 1, 1), zoom=1.4)
            axes.set_axis_off()
            axes.view_init(elev=15, azim=-60)
            axes.set_title(name if rows == 1 else f"{name}, qubit {qubit}", fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()
