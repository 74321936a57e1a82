"""Cacioppo's settings, as the published code states them, and smaller ones that train in minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Preset

__all__ = [
    "CACIOPPO_PAPER",
    "LATENT_NOISE",
    "PRESETS",
]

CACIOPPO_PAPER = "Cacioppo et al., arXiv:2311.15444"
_PUBLISHED: Mapping[str, Any] = {
    "dataset": "mnist",
    "process": "complex_gaussian",
    "schedule": "constant",
    "beta_start": 0.01,
    "beta_end": 0.01,
    "learning_rate": 5e-5,
    "weight_decay": 1e-5,
    "decay_every": 10,
    "decay_factor": 0.97,
    "batch_size": 64,
    "epochs": 2000,
    "sample_every": 100,
    "checkpoint_every": 20,
}
_TWO_DIGITS = {**_PUBLISHED, "classes": (0, 1), "train_count": 8096}
LATENT_NOISE: Mapping[str, Any] = {
    "process": "complex_gaussian",
    "schedule": "linear",
    "beta_start": 0.02,
    "beta_end": 0.5,
    "data_norm": 4.0,
}
"""Ours: the latent models' schedule is not known, and this one ends in noise, where sampling starts."""
_REDUCED: Mapping[str, Any] = {
    **_PUBLISHED,
    "dataset": "digits",
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "decay_every": 0,
    "batch_size": 32,
    "epochs": 40,
    "sample_every": 10,
}

PRESETS: dict[str, Preset] = {
    "cacioppo-16x16": Preset(
        model="cacioppo",
        training=_TWO_DIGITS,
        source=f"{CACIOPPO_PAPER}, full model, default of the published code, 1500 parameters",
    ),
    "cacioppo-16x16-4-4-4": Preset(
        model="cacioppo",
        options={"depths": (4, 4, 4)},
        training=_TWO_DIGITS,
        source=f"{CACIOPPO_PAPER}, full model with four layers a block, 3000 parameters",
    ),
    "cacioppo-digits": Preset(
        model="cacioppo",
        options={"init_std": 0.05},
        training={
            **_REDUCED,
            "classes": (0, 1),
            "schedule": "linear",
            "beta_start": 0.05,
            "beta_end": 0.6,
            "data_norm": 16.0,
        },
        source=f"ours: {CACIOPPO_PAPER}, full model on small digits, from image to noise in ten steps",
    ),
    "cacioppo-digits-8x8": Preset(
        model="cacioppo",
        options={
            "image_size": 8,
            "num_steps": 3,
            "depths": (2, 40, 2),
            "activation": False,
            "init_std": 0.05,
        },
        training={
            **_REDUCED,
            "classes": (0, 1),
            "schedule": "linear",
            "beta_start": 0.5,
            "beta_end": 0.95,
            "data_norm": 4.0,
            "learning_rate": 0.05,
            "decay_every": 2,
            "decay_factor": 0.89,
            "batch_size": 16,
            "epochs": 56,
        },
        source=f"ours: {CACIOPPO_PAPER}, full model on small digits, three large steps, no activation",
    ),
    "cacioppo-latent": Preset(
        model="cacioppo_latent",
        options={"image_size": 16},
        training={**_PUBLISHED, **LATENT_NOISE},
        source=f"{CACIOPPO_PAPER}, latent model; layout inferred from that of 1110 parameters",
    ),
    "cacioppo-latent-conditioned": Preset(
        model="cacioppo_latent",
        options={"image_size": 16, "guided": True},
        training={**_PUBLISHED, **LATENT_NOISE},
        source=f"{CACIOPPO_PAPER}, conditioned latent model, 1110 parameters; layout inferred",
    ),
    "cacioppo-latent-digits": Preset(
        model="cacioppo_latent",
        options={"guided": True, "codec": "autoencoder"},
        training={**_REDUCED, **LATENT_NOISE, "epochs": 20},
        source=f"ours: {CACIOPPO_PAPER}, conditioned latent model on small digits",
    ),
}
"""Presets by name."""
