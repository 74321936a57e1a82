"""Models and presets by name, and what can be said of each without training it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .. import options
from ..arguments import checked_text, of_kind
from ..errors import InvalidOption, QdmError, unknown_name
from .base import Denoiser
from .cacioppo import Cacioppo
from .classical_unet import ClassicalUNet
from .defalco import HybridUNet
from .eeqdm import EEQDM, QDDM
from .koelle_dense import QDense, UnitaryQDense
from .koelle_unet import KoelleUNet, QUNet
from .latent import CacioppoLatent
from .presets import PRESETS
from .presets.cacioppo import CACIOPPO_PAPER
from .presets.defalco import DEFALCO_PAPER
from .presets.eeqdm import EEQDM_PAPER, KOELLE_PAPER
from .presets.qamp import QAMP_DECEMBER, QAMP_JANUARY
from .presets.quddpm import QUDDPM_PAPER
from .qamp import QampDecember, QampJanuary
from .quddpm import QuDDPM
from .spec_denoiser import SpecDenoiser

MODELS: dict[str, type[Denoiser]] = {
    "eeqdm": EEQDM,
    "qddm": QDDM,
    "classical_unet": ClassicalUNet,
    "q_dense": QDense,
    "q_dense_unitary": UnitaryQDense,
    "qu_net": QUNet,
    "koelle_unet": KoelleUNet,
    "hybrid_unet": HybridUNet,
    "cacioppo": Cacioppo,
    "cacioppo_latent": CacioppoLatent,
    "qamp_december": QampDecember,
    "qamp_january": QampJanuary,
    "quddpm": QuDDPM,
}
"""Model classes by name, those that a name and options are enough for."""


_MODEL_SOURCES = {
    "eeqdm": EEQDM_PAPER,
    "qddm": KOELLE_PAPER,
    "classical_unet": f"{EEQDM_PAPER}, section 5.2",
    "q_dense": KOELLE_PAPER,
    "q_dense_unitary": f"{KOELLE_PAPER}, unitary single sampling",
    "qu_net": f"{KOELLE_PAPER}, QU-Net",
    "koelle_unet": f"{KOELLE_PAPER}, classical baseline",
    "hybrid_unet": DEFALCO_PAPER,
    "cacioppo": f"{CACIOPPO_PAPER}, full model",
    "cacioppo_latent": f"{CACIOPPO_PAPER}, latent models; layout inferred from their counts",
    "qamp_december": QAMP_DECEMBER,
    "qamp_january": QAMP_JANUARY,
    "quddpm": QUDDPM_PAPER,
}


def model_classes() -> dict[str, type[Denoiser]]:
    """All classes that a folder can hold, by name: :data:`MODELS`, and that of a user's own circuit."""
    return {**MODELS, SpecDenoiser.name: SpecDenoiser}


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
    checked_text(name, "name")
    overrides = overrides or {}
    if name in PRESETS:
        preset = PRESETS[name]
        values = {**preset.options, **overrides}
        config: Any = options.build(MODELS[preset.model].config_class, values)
        return ModelChoice(model=preset.model, preset=name, config=config, source=preset.source)
    if name in MODELS:
        config = options.build(MODELS[name].config_class, overrides)
        return ModelChoice(
            model=name, preset=None, config=config, source=_MODEL_SOURCES.get(name, "")
        )
    raise unknown_model(name)


def unknown_model(name: str) -> QdmError:
    """The error for a name that neither a model nor a preset has; for the caller to raise."""
    if name == SpecDenoiser.name:
        return InvalidOption(
            f"A model '{name}' is made of a circuit, a name is not enough: give the model that "
            "Denoiser.from_spec(spec, image_shape=...) makes, as in resolve_run(model)."
        )
    return unknown_name("model or preset", name, [*MODELS, *PRESETS])


def build_model(choice: ModelChoice, *, generator: torch.Generator | None = None) -> Denoiser:
    """The model with fresh weights.

    Args:
        choice: From :func:`resolve`.
        generator: Source of the initial weights.

    >>> from qdm_qiskit.models import resolve
    >>> build_model(resolve("eeqdm", {"image_size": 4, "depth": 2}))
    <EEQDM: 18 parameters (18 in circuits), 5 qubits, images of 1 x 4 x 4>
    """
    of_kind(choice, ModelChoice, "choice", "resolve(name) makes one")
    return model_classes()[choice.model](choice.config, generator=generator)


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
