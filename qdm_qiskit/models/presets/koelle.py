"""Kölle's settings: Q-Dense, the unitary model, QU-Net and the classical U-Nets, on 8 x 8 digits."""

from __future__ import annotations

from typing import Any

from .base import Preset
from .eeqdm import KOELLE_PAPER

__all__ = [
    "BINARY_DIGITS",
    "PRESETS",
]

BINARY_DIGITS: dict[str, Any] = {
    "dataset": "digits",
    "classes": (0, 1),
    "train_count": 80,
    "test_count": 20,
    "epochs": 10_000,
    "batch_size": 20,
    "sample_every": 1_000,
    "checkpoint_every": 100,
    "num_steps": 10,
}
"""100 images of the digits 0 and 1, 80 of them to train; 10,000 epochs as in the published code."""


def _preset(
    model: str, source: str, *, learning_rate: float, training: Any = None, **options: Any
) -> Preset:
    return Preset(
        model=model,
        options={"image_size": 8, **options},
        training={**BINARY_DIGITS, "learning_rate": learning_rate, **(training or {})},
        source=f"{KOELLE_PAPER}, {source}",
    )


PRESETS: dict[str, Preset] = {
    "koelle-dense-L50": _preset(
        "q_dense", "unguided Q-Dense with 900 parameters", learning_rate=0.00065, depth=50
    ),
    "koelle-dense-noise-L55": _preset(
        "q_dense",
        "unguided Q-Dense with 990 parameters, predicting noise",
        learning_rate=0.0016,
        training={"goal": "noise"},
        depth=55,
    ),
    "koelle-guided-L47": _preset(
        "q_dense",
        "guided Q-Dense with 987 parameters",
        learning_rate=0.00097,
        depth=47,
        ancilla=True,
        guided=True,
        num_classes=2,
    ),
    "koelle-reupload-L47": _preset(
        "q_dense",
        "guided Q-Dense with re-uploading; the number of groups and the rate are ours",
        learning_rate=0.00097,
        depth=47,
        ancilla=True,
        guided=True,
        num_classes=2,
        reuploads=4,
    ),
    "koelle-unitary-L56": _preset(
        "q_dense_unitary",
        "unitary single sampling with 56 layers; the rate is ours",
        learning_rate=0.00065,
        depth=56,
    ),
    **{
        f"koelle-qunet-L{depth}": _preset(
            "qu_net",
            f"QU-Net with channels 2, 4, 8 and {count} parameters; the rate is the U-Net's",
            learning_rate=0.0032,
            training={"batch_size": 10},
            levels=3,
            start_channels=2,
            depth=depth,
        )
        for depth, count in ((8, 835), (12, 1231))
    },
    **{
        f"koelle-unet-{name}": _preset(
            "koelle_unet",
            f"U-Net with channels {widths} and {count} parameters",
            learning_rate=rate,
            levels=levels,
            start_channels=start,
        )
        for name, levels, start, widths, count, rate in (
            ("depth2", 2, 3, "3, 6", 934, 0.0047),
            ("depth3-channels2", 3, 2, "2, 4, 8", 1843, 0.0032),
            ("depth3-channels4", 3, 4, "4, 8, 16", 7077, 0.0057),
        )
    },
}
"""Presets by name."""
