"""De Falco's U-Net and its hybrids, with the settings of the paper."""

from __future__ import annotations

from typing import Any

from .base import Preset

__all__ = [
    "DEFALCO_PAPER",
    "PRESETS",
]

DEFALCO_PAPER = "De Falco et al. (2024), Quantum Hybrid Diffusion Models for Image Synthesis"

_HYBRIDS: dict[str, dict[str, Any]] = {
    **{f"{count}hqconv": {"circuits": count} for count in (1, 7)},
    "fullhqconv": {"circuits": 13},
    **{f"{count}fqconv": {"circuits": count, "ansatz": "fqconv"} for count in (1, 7)},
    "fullfqconv": {"circuits": 13, "ansatz": "fqconv"},
    "quanvunet": {"circuits": 1, "quanvolution": True},
}
_DATA = {"dataset": "fashion-mnist"}
_REDUCED: dict[str, Any] = {
    **_DATA,
    "classes": (1, 9),  # trousers and ankle boots
    "train_count": 1600,
    "test_count": 256,
    "batch_size": 32,
    "epochs": 3,
    "learning_rate": 2e-3,
    "checkpoint_every": 1,
    "sample_every": 0,
}
_REDUCED_MODELS: dict[str, dict[str, Any]] = {
    "unet": {},
    "1hqconv": _HYBRIDS["1hqconv"],
    "1fqconv": _HYBRIDS["1fqconv"],
    "transfer": _HYBRIDS["1fqconv"],
}
_REDUCED_TRANSFER = {"transfer_epochs": 2, "epochs": 1}
_REDUCED_DATA: dict[str, dict[str, Any]] = {
    "": {},
    "-mnist": {"dataset": "mnist", "classes": (0, 1)},
}

PRESETS: dict[str, Preset] = {
    "defalco-unet": Preset(
        model="hybrid_unet", training=_DATA, source=f"{DEFALCO_PAPER}, 483,321 parameters"
    ),
    **{
        f"defalco-{name}": Preset(
            model="hybrid_unet", options=options, training=_DATA, source=DEFALCO_PAPER
        )
        for name, options in _HYBRIDS.items()
    },
    **{
        f"defalco-{name}-mnist": Preset(
            model="hybrid_unet",
            options=_HYBRIDS.get(name, {}),
            training={"dataset": "mnist"},
            source=f"{DEFALCO_PAPER}, table 2",
        )
        for name in ("unet", "1hqconv", "7hqconv", "fullhqconv", "quanvunet")
    },
    **{
        f"defalco-transfer-{dataset}": Preset(
            model="hybrid_unet",
            options={"circuits": 1, "ansatz": "fqconv"},
            training={"dataset": dataset, "transfer_epochs": first, "epochs": second},
            source=f"{DEFALCO_PAPER}, transfer learning {first} + {second}",
        )
        for dataset, first, second in (("mnist", 19, 1), ("fashion-mnist", 18, 2))
    },
    **{
        f"defalco-reduced-{name}{suffix}": Preset(
            model="hybrid_unet",
            options=options,
            training={**_REDUCED, **data, **(_REDUCED_TRANSFER if name == "transfer" else {})},
            source="De Falco et al.'s comparison at 150 steps of 32 images; our own settings",
        )
        for name, options in _REDUCED_MODELS.items()
        for suffix, data in _REDUCED_DATA.items()
    },
}
"""Presets by name."""
