"""Models and presets by name, and what can be said of each without training it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from .. import options
from ..errors import unknown_name
from .base import Denoiser
from .classical_unet import ClassicalUNet
from .eeqdm import EEQDM, QDDM

MODELS: dict[str, type[Denoiser]] = {
    "eeqdm": EEQDM,
    "qddm": QDDM,
    "classical_unet": ClassicalUNet,
}
"""Model classes by name."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Options of a model that a paper uses, or that we recommend."""

    model: str
    """Name in :data:`MODELS`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that differ from the model's defaults."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Recommended options of data, diffusion and training loop."""
    source: str
    """Where the setting stands."""


_EEQDM = "Shah and Vatsa, arXiv:2411.15973"
_QDDM = "Kölle et al., arXiv:2401.07049"

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
        source=f"ours: the Q-Dense circuit of {_QDDM}, shallow enough for a device",
    ),
    **{
        f"eeqdm-{size}x{size}-L{depth}": Preset(
            model="eeqdm",
            options={"image_size": size, "depth": depth},
            source=f"{_EEQDM}, figure 5" + (" and table 1" if size == 16 else ""),
        )
        for size in (8, 16)
        for depth in (10, 20, 30, 40, 50)
    },
    **{
        f"eeqdm-32x32-L{depth}": Preset(
            model="eeqdm",
            options={"image_size": 32, "depth": depth},
            source=f"{_EEQDM}, section 4.1 (size), figure 5 (depth)",
        )
        for depth in (10, 50)
    },
    **{
        f"qddm-{size}x{size}-L{depth}": Preset(
            model="qddm",
            options={"image_size": size, "depth": depth},
            source=f"{_EEQDM}, figure 5",
        )
        for size in (8, 16)
        for depth in (10, 50)
    },
    "qddm-32x32-L50": Preset(
        model="qddm", options={"image_size": 32, "depth": 50}, source=f"{_EEQDM}, section 4.1"
    ),
    "qddm-8x8-guided-L47": Preset(
        model="qddm",
        options={"image_size": 8, "depth": 47, "guided": True, "num_classes": 2},
        training={"classes": (0, 1)},
        source=f"{_QDDM}, guided Q-Dense with 987 parameters",
    ),
    "ddpm-depth2": Preset(
        model="classical_unet",
        options={"image_size": 16, "levels": 2, "start_channels": 3},
        source=f"{_EEQDM}, table 1, 892 parameters",
    ),
    "ddpm-depth3-channels2": Preset(
        model="classical_unet",
        options={"image_size": 16, "levels": 3, "start_channels": 2},
        source=f"{_EEQDM}, table 1, 1735 parameters",
    ),
    "ddpm-depth3-channels4": Preset(
        model="classical_unet",
        options={"image_size": 16, "levels": 3, "start_channels": 4},
        source=f"{_EEQDM}, table 1, 6781 parameters",
    ),
}
"""Presets by name."""

_MODEL_SOURCES = {"eeqdm": _EEQDM, "qddm": _QDDM, "classical_unet": f"{_EEQDM}, section 5.2"}


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A model name with resolved options."""

    model: str
    preset: str | None
    config: Any
    source: str


def resolve(name: str, overrides: Mapping[str, Any] | None = None) -> ModelChoice:
    """A model or preset name and options as one resolved choice.

    Args:
        name: A key of :data:`MODELS` or :data:`PRESETS`.
        overrides: Options that replace those of the preset; values may be text.

    Returns:
        The choice.

    Raises:
        UnknownName: If there is neither a model nor a preset of this name.
        InvalidOption: If an option is unknown or out of range.
    """
    overrides = overrides or {}
    if name in PRESETS:
        preset = PRESETS[name]
        values = {**preset.options, **overrides}
        config: Any = options.build(MODELS[preset.model].config_class, values)
        return ModelChoice(model=preset.model, preset=name, config=config, source=preset.source)
    if name in MODELS:
        config = options.build(MODELS[name].config_class, overrides)
        return ModelChoice(model=name, preset=None, config=config, source=_MODEL_SOURCES[name])
    raise unknown_name("model or preset", name, [*MODELS, *PRESETS])


def build_model(choice: ModelChoice, *, generator: torch.Generator | None = None) -> Denoiser:
    """The model with fresh weights.

    Args:
        choice: From :func:`resolve`.
        generator: Source of the initial weights.
    """
    return MODELS[choice.model](choice.config, generator=generator)


def describe(name: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a model or preset is, as JSON values.

    Args, errors: as for :func:`resolve`.

    Returns:
        Keys name, preset, parameters, quantum_parameters, qubits, source and options.
    """
    choice = resolve(name, overrides)
    model = build_model(choice)
    return {
        "name": choice.model,
        "preset": choice.preset,
        "parameters": model.num_parameters,
        "quantum_parameters": model.num_quantum_parameters,
        "qubits": model.num_qubits,
        "source": choice.source,
        "options": asdict(choice.config),
    }
