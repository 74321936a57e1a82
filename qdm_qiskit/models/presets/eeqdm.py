"""EEQDM's settings, those of the models that its paper compares with, and the demo's."""

from __future__ import annotations

from .base import Preset

__all__ = [
    "EEQDM_PAPER",
    "KOELLE_PAPER",
    "PRESETS",
]

EEQDM_PAPER = "Shah and Vatsa, arXiv:2411.15973"
KOELLE_PAPER = "Kölle et al., arXiv:2401.07049"

PRESETS: dict[str, Preset] = {
    "digits-demo": Preset(
        model="qddm",
        options={"image_size": 8, "depth": 4},
        training={
            "dataset": "digits",
            "classes": (0,),
            "epochs": 150,
            "batch_size": 20,
            "learning_rate": 0.01,
            "sample_every": 50,
            "checkpoint_every": 50,
        },
        source=f"ours: the Q-Dense circuit of {KOELLE_PAPER}, shallow enough for a device",
    ),
    **{
        f"eeqdm-{size}x{size}-L{depth}": Preset(
            model="eeqdm",
            options={"image_size": size, "depth": depth},
            source=f"{EEQDM_PAPER}, figure 5" + (" and table 1" if size == 16 else ""),
        )
        for size in (8, 16)
        for depth in (10, 20, 30, 40, 50)
    },
    **{
        f"eeqdm-32x32-L{depth}": Preset(
            model="eeqdm",
            options={"image_size": 32, "depth": depth},
            source=f"{EEQDM_PAPER}, section 4.1 (size), figure 5 (depth)",
        )
        for depth in (10, 50)
    },
    **{
        f"qddm-{size}x{size}-L{depth}": Preset(
            model="qddm",
            options={"image_size": size, "depth": depth},
            source=f"{EEQDM_PAPER}, figure 5",
        )
        for size in (8, 16)
        for depth in (10, 50)
    },
    "qddm-32x32-L50": Preset(
        model="qddm", options={"image_size": 32, "depth": 50}, source=f"{EEQDM_PAPER}, section 4.1"
    ),
    "qddm-8x8-guided-L47": Preset(
        model="qddm",
        options={"image_size": 8, "depth": 47, "guided": True, "num_classes": 2},
        training={"classes": (0, 1)},
        source=f"{KOELLE_PAPER}, guided Q-Dense with 987 parameters",
    ),
    "ddpm-depth2": Preset(
        model="classical_unet",
        options={"image_size": 16, "levels": 2, "start_channels": 3},
        source=f"{EEQDM_PAPER}, table 1, 892 parameters",
    ),
    "ddpm-depth3-channels2": Preset(
        model="classical_unet",
        options={"image_size": 16, "levels": 3, "start_channels": 2},
        source=f"{EEQDM_PAPER}, table 1, 1735 parameters",
    ),
    "ddpm-depth3-channels4": Preset(
        model="classical_unet",
        options={"image_size": 16, "levels": 3, "start_channels": 4},
        source=f"{EEQDM_PAPER}, table 1, 6781 parameters",
    ),
}
"""Presets by name."""
