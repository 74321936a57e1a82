"""Settings of the latent mixed-state QuDDPM (docs/models/mixed.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Preset

__all__ = ["MIXED_SOURCE", "MIXED_TRAINING", "PRESETS"]

MIXED_SOURCE = (
    "ours: mixed states of latents, after the idea of arXiv:2607.07072 (docs/models/mixed.md)"
)
MIXED_TRAINING: Mapping[str, Any] = {
    "dataset": "digits",
    "process": "mixed_states",
    "ensemble_loss": "projected",
    "batch_size": 64,
    "epochs": 10,
    "learning_rate": 0.02,
    "sample_every": 0,
}

PRESETS: dict[str, Preset] = {
    "mixed-digits": Preset(
        model="mixed_quddpm",
        training=MIXED_TRAINING,
        source=f"{MIXED_SOURCE}, digits",
    ),
}
"""Presets by name."""
