"""QuDDPM's tasks: clustered states, and states on a circle."""

from __future__ import annotations

from .base import Preset

__all__ = [
    "PRESETS",
    "QUDDPM_PAPER",
]

QUDDPM_PAPER = "Zhang et al., arXiv:2310.05866"

PRESETS: dict[str, Preset] = {
    "quddpm-clustered": Preset(
        model="quddpm",
        options={"num_qubits": 2},
        training={"dataset": "clustered-states", "ensemble_loss": "mmd"},
        source=f"{QUDDPM_PAPER}, clustered states on two qubits; steps, depth and rate are ours",
    ),
    "quddpm-circular": Preset(
        model="quddpm",
        options={"num_qubits": 1, "num_ancillas": 2},
        training={"dataset": "circular-states", "ensemble_loss": "wasserstein"},
        source=f"{QUDDPM_PAPER}, states on a circle; steps, depth and rate are ours",
    ),
}
"""Presets by name."""
