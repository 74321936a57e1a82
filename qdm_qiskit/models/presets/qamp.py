"""QAMP's settings: the run behind the published loss, and the model of the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Preset

__all__ = [
    "PRESETS",
    "QAMP_DECEMBER",
    "QAMP_JANUARY",
]

QAMP_DECEMBER = "QAMP 2025 (Jo et al.), published run of 16 December 2025"
QAMP_JANUARY = "QAMP 2025 (Jo et al.), published code of 25 January 2026"
_DECEMBER: Mapping[str, Any] = {
    "dataset": "mnist",
    "train_count": 8096,
    "process": "complex_gaussian",
    "schedule": "constant",
    "beta_start": 0.01,
    "beta_end": 0.01,
    "learning_rate": 1e-3,
    "weight_decay": 1e-5,
    "decay_every": 10,
    "decay_factor": 0.97,
    "batch_size": 512,
    "epochs": 100,
}
_JANUARY: Mapping[str, Any] = {
    **_DECEMBER,
    "schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "weight_decay": 0.0,
    "batch_size": 32,
}

PRESETS: dict[str, Preset] = {
    "qamp-december": Preset(
        model="qamp_december",
        training=_DECEMBER,
        source=f"{QAMP_DECEMBER}, 822,328 parameters",
    ),
    "qamp-december-digits": Preset(
        model="qamp_december",
        training={**_DECEMBER, "dataset": "digits", "train_count": None, "batch_size": 96},
        source=f"ours: {QAMP_DECEMBER} on small digits, as many steps an epoch",
    ),
    "qamp-january": Preset(
        model="qamp_january",
        training=_JANUARY,
        source=f"{QAMP_JANUARY}, 826,392 parameters",
    ),
    "qamp-january-digits": Preset(
        model="qamp_january",
        training={**_JANUARY, "dataset": "digits", "train_count": None, "epochs": 20},
        source=f"ours: {QAMP_JANUARY} on small digits, fewer epochs",
    ),
}
"""Presets by name."""
