"""Settings for rows of numbers: tables, series, spins and showers (docs/data.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Preset
from .line import LINE_TRAINING

__all__ = ["PRESETS", "ROWS_SOURCE"]

ROWS_SOURCE = "ours: rows of numbers as whitened latents on a line of qubits (docs/data.md)"
_LINE: Mapping[str, Any] = {
    **LINE_TRAINING,
    "epochs": 80,
    "decay_every": 4,
    "decay_factor": 0.82,
    "checkpoint_every": 40,
}
_FEW: Mapping[str, Any] = {
    "epochs": 320,
    "decay_every": 16,
    "batch_size": 64,
    "checkpoint_every": 160,
}
"""For a few hundred rows: 640 to 2,560 steps."""


def _line(dataset: str, size: int, latents: int, *, classes: int = 0, **training: Any) -> Preset:
    guided = {"guided": True, "num_classes": classes} if classes else {}
    return Preset(
        model="line",
        options={
            "image_size": size,
            "codec": "pca",
            "latents": latents,
            "skip": True,
            **guided,
        },
        training={**_LINE, "dataset": dataset, **training},
        source=f"{ROWS_SOURCE}, {dataset}{', by class' if classes else ''}",
    )


PRESETS: dict[str, Preset] = {
    "line-iris": _line("iris", 3, 6, **_FEW),
    "line-wine": _line("wine", 4, 15, **_FEW),
    "line-breast-cancer": _line("breast-cancer", 6, 16, **_FEW),
    "line-diabetes": _line("diabetes", 4, 11, **_FEW),
    "line-waves": _line("waves", 4, 16),
    "line-waves-guided": _line("waves", 4, 16, classes=2),
    "line-ising": _line("ising", 4, 16),
    "line-ising-guided": _line("ising", 4, 16, classes=3),
    "line-showers-guided": _line("showers", 5, 18, classes=2),
    "qddm-ising": Preset(
        model="qddm",
        options={"image_size": 4, "depth": 10},
        training={"dataset": "ising", "epochs": 40, "batch_size": 60, "sample_every": 0},
        source="ours: the Q-Dense circuit on spins (docs/data.md)",
    ),
}
"""Presets by name."""
