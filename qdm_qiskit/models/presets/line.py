"""Settings of the latent model on a line: digits, MNIST, Fashion-MNIST, guided and not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Preset

__all__ = [
    "AMPLITUDES_SOURCE",
    "CODED_SOURCE",
    "LINE_SOURCE",
    "LINE_TRAINING",
    "PRESETS",
]

LINE_SOURCE = "ours: whitened latents as angles on a line of qubits (docs/line.md)"
AMPLITUDES_SOURCE = "ours: latents as amplitudes on a line of qubits (docs/line.md)"
CODED_SOURCE = "ours: Q-Dense on 16 latents in place of 64 pixels (docs/line.md)"
LINE_TRAINING: Mapping[str, Any] = {
    "process": "velocity",
    "radius": 3.5,
    "num_steps": 10,
    "epochs": 400,
    "batch_size": 128,
    "learning_rate": 0.01,
    "decay_every": 10,
    "decay_factor": 0.91,
    "sample_every": 0,
    "checkpoint_every": 40,
}
"""Velocities in ten steps on latents up to 3.5 deviations; the step size falls to 2 %."""
_LARGE: Mapping[str, Any] = {
    **LINE_TRAINING,
    "train_count": 20_000,
    "test_count": 4_000,
    "epochs": 28,
    "decay_every": 1,
    "decay_factor": 0.87,
}


def _preset(dataset: str, source: str, *, guided: bool, **options: Any) -> Preset:
    training = LINE_TRAINING if dataset == "digits" else _LARGE
    return Preset(
        model="line",
        options={"guided": guided, "skip": True, **options},
        training={**training, "dataset": dataset},
        source=f"{LINE_SOURCE}, {source}{', by class' if guided else ''}",
    )


_AMPLITUDES: Mapping[str, Any] = {
    "dataset": "digits",
    "num_steps": 4,
    "epochs": 40,
    "batch_size": 60,
    "learning_rate": 0.02,
    "decay_every": 5,
    "decay_factor": 0.8,
    "sample_every": 0,
    "checkpoint_every": 40,
    "baseline": False,
}

PRESETS: dict[str, Preset] = {
    f"line-{name}{'-guided' if guided else ''}": _preset(dataset, name, guided=guided, **options)
    for name, dataset, options in (
        ("digits", "digits", {}),
        ("mnist", "mnist", {"image_size": 16, "codec": "labelled", "latents": 12}),
        ("fashion", "fashion-mnist", {"image_size": 16}),
    )
    for guided in (False, True)
} | {
    f"line-amplitudes-digits{'-guided' if guided else ''}": Preset(
        model="line_amplitudes",
        options={"guided": guided},
        training=_AMPLITUDES,
        source=f"{AMPLITUDES_SOURCE}, digits{', by class' if guided else ''}",
    )
    for guided in (False, True)
}
PRESETS["coded-digits"] = Preset(
    model="coded",
    options={"inner": "q_dense", "inner_options": ("depth=6",), "side": 4, "codec": "pca"},
    training={"dataset": "digits", "num_steps": 10, "epochs": 40, "sample_every": 0},
    source=f"{CODED_SOURCE}, digits",
)
"""Presets by name."""
