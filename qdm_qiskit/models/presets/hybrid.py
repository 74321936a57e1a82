"""Settings of score networks with circuits in some of their places (docs/models/hybrid.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Preset
from .line import LINE_TRAINING

__all__ = ["HYBRID_SOURCE", "PRESETS", "SERIES_SOURCE"]

HYBRID_SOURCE = "ours: circuits as time embedding, attention and bottleneck (docs/models/hybrid.md)"
SERIES_SOURCE = (
    "ours: circuits between convolutions in time, after the idea of arXiv:2606.27561 "
    "(docs/models/hybrid.md)"
)
_TRAINING: Mapping[str, Any] = {
    **LINE_TRAINING,
    "epochs": 60,
    "decay_every": 3,
    "decay_factor": 0.82,
    "checkpoint_every": 30,
}

PRESETS: dict[str, Preset] = {
    "hybrid-digits": Preset(
        model="hybrid_score",
        training={**_TRAINING, "dataset": "digits"},
        source=f"{HYBRID_SOURCE}, digits",
    ),
    "hybrid-ising-guided": Preset(
        model="hybrid_score",
        options={
            "image_size": 4,
            "codec": "pca",
            "latents": 16,
            "guided": True,
            "num_classes": 3,
        },
        training={**_TRAINING, "dataset": "ising"},
        source=f"{HYBRID_SOURCE}, spins by temperature",
    ),
    "series-waves": Preset(
        model="series",
        training={**_TRAINING, "dataset": "waves"},
        source=f"{SERIES_SOURCE}, waves",
    ),
}
"""Presets by name."""
