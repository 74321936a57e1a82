"""Models and presets by name, and the description of each without training it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .. import options
from ..arguments import checked_text, of_kind
from ..circuits import CIRCUITS
from ..circuits.loaders import EXACT, loader_origin
from ..doors import Door, Origin, Parts, outside_names
from ..errors import InvalidExtension, InvalidOption, QdmError, unknown_name
from .base import Denoiser, refused_train_loader
from .contract import check_model, checked_class
from .presets import PRESETS
from .spec_denoiser import SpecDenoiser, config_of_circuit

__all__ = [
    "MODELS",
    "MODEL_DOOR",
    "ModelChoice",
    "build_model",
    "describe",
    "has_model",
    "model_class",
    "part_origins",
    "resolve",
    "take_class",
    "unknown_model",
]

MODEL_DOOR: Door[type[Denoiser]] = Door(
    "model",
    "model",
    {
        "eeqdm": "qdm_qiskit.models.eeqdm:EEQDM",
        "qddm": "qdm_qiskit.models.eeqdm:QDDM",
        "classical_unet": "qdm_qiskit.models.classical_unet:ClassicalUNet",
        "q_dense": "qdm_qiskit.models.koelle_dense:QDense",
        "q_dense_unitary": "qdm_qiskit.models.koelle_dense:UnitaryQDense",
        "qu_net": "qdm_qiskit.models.koelle_unet:QUNet",
        "koelle_unet": "qdm_qiskit.models.koelle_unet:KoelleUNet",
        "hybrid_unet": "qdm_qiskit.models.defalco:HybridUNet",
        "cacioppo": "qdm_qiskit.models.cacioppo:Cacioppo",
        "cacioppo_latent": "qdm_qiskit.models.latent:CacioppoLatent",
        "qamp_december": "qdm_qiskit.models.qamp:QampDecember",
        "qamp_january": "qdm_qiskit.models.qamp:QampJanuary",
        "quddpm": "qdm_qiskit.models.quddpm:QuDDPM",
        "mixed_quddpm": "qdm_qiskit.models.mixed_quddpm:MixedQuDDPM",
        "coded": "qdm_qiskit.models.coded:Coded",
        "line": "qdm_qiskit.models.line:Line",
        "line_amplitudes": "qdm_qiskit.models.line_amplitudes:LineAmplitudes",
        "hybrid_score": "qdm_qiskit.models.hybrid_score:HybridScore",
        "series": "qdm_qiskit.models.series:Series",
        SpecDenoiser.name: "qdm_qiskit.models.spec_denoiser:SpecDenoiser",
    },
    checked_class,
)
"""Door of models: other packages' come by the entry-point group ``qdm_qiskit.model``."""

MODELS: Mapping[str, type[Denoiser]] = Parts(MODEL_DOOR, without=SpecDenoiser.name)
"""Model classes by name, those that a name and options are enough for."""

_given: dict[str, type[Denoiser]] = {}


def take_class(kind: type[Denoiser]) -> type[Denoiser]:
    """Register a class that no package brings by its name, until the process ends.

    What is given a model or its class calls this, so that the folders that it writes can be read
    again in the same process; in another one they are read with ``model_class=``.

    Args:
        kind: The class. A class of the same name that was given before is forgotten.

    Returns:
        The class.

    Raises:
        InvalidArgument: If it is no model that can be trained and saved.
        InvalidOption: If its name is that of another model.
    """
    name = checked_class(kind).name
    if name in PRESETS or (name in MODEL_DOOR and MODEL_DOOR.get(name) is not kind):
        raise InvalidOption(
            f"`name` of {kind.__name__} is '{name}', which another model or preset has; choose one "
            "that is free."
        )
    if name not in MODEL_DOOR:
        _given[name] = kind
    return kind


def has_model(name: str) -> bool:
    """Return True if a folder can hold a model of this name here."""
    return name in _given or name in MODEL_DOOR


def model_class(name: str) -> type[Denoiser]:
    """Return the class of a model.

    Raises:
        UnknownName: If there is none of this name.
        InvalidExtension: If another package brings it, and it cannot be used.
    """
    return _given[name] if name in _given else MODEL_DOOR.get(name)


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Model name with resolved options."""

    model: str
    preset: str | None
    config: Any
    source: str
    circuit: str | None = None
    """Name of the circuit that it is made of, if it was named."""


def resolve(name: str, overrides: Mapping[str, Any] | None = None) -> ModelChoice:
    """Return a model or preset name and options as one resolved choice.

    Args:
        name: A preset, a model, or a circuit of :data:`~qdm_qiskit.circuits.TEMPLATES`; of the three
            the first that there is.
        overrides: Options that replace those of the preset; values may be text. A circuit takes its
            template's options, and those of :meth:`.Denoiser.from_spec`, with the image's size.

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
        config: Any = _config_of(model_class(preset.model), values)
        return ModelChoice(model=preset.model, preset=name, config=config, source=preset.source)
    if name != SpecDenoiser.name and has_model(name):
        kind = model_class(name)
        config = _config_of(kind, overrides)
        return ModelChoice(model=name, preset=None, config=config, source=kind.source)
    if name in CIRCUITS:
        config = config_of_circuit(name, overrides)
        return ModelChoice(
            model=SpecDenoiser.name, preset=None, config=config, source=config.source, circuit=name
        )
    raise unknown_model(name)


def _config_of(kind: type[Denoiser], values: Mapping[str, Any]) -> Any:
    if "train_loader" in values and "train_loader" not in options.field_types(kind.config_class):
        raise refused_train_loader(kind)
    return options.build(kind.config_class, values)


def unknown_model(name: str) -> QdmError:
    """Return the error for a name that no model, preset or circuit has; the caller raises it."""
    if name == SpecDenoiser.name:
        return InvalidOption(
            f"A model '{name}' is made of a circuit, a name is not enough: give the model that "
            "Denoiser.from_spec(spec, image_shape=...) makes, as in resolve_run(model), or the name "
            "of a circuit from `qdm circuits list`."
        )
    known = [*MODELS, *_given, *PRESETS, *outside_names("circuit")]
    return unknown_name("model or preset", name, known)


def build_model(choice: ModelChoice, *, generator: torch.Generator | None = None) -> Denoiser:
    """Return the model with fresh weights.

    Args:
        choice: From :func:`resolve`.
        generator: Source of the initial weights.

    Raises:
        InvalidExtension: If the class of another package does not do what a model has to.
        InvalidOption, InvalidTemplate: If the model refuses its options.

    >>> from qdm_qiskit.models import resolve
    >>> build_model(resolve("eeqdm", {"image_size": 4, "depth": 2}))
    <EEQDM: 18 parameters (18 in circuits), 5 qubits, images of 1 x 4 x 4>
    """
    of_kind(choice, ModelChoice, "choice", "resolve(name) makes one")
    try:
        model = model_class(choice.model)(choice.config, generator=generator)
    except QdmError:
        raise
    except Exception as error:
        if choice.model in _given or MODEL_DOOR.origin(choice.model).package == "qdm_qiskit":
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InvalidExtension(
            f"Model '{choice.model}' of package {MODEL_DOOR.origin(choice.model).package} cannot be "
            f"built: {reason}"
        ) from error
    check_model(model, choice.config)
    return model


def describe(name: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a model or preset as JSON values.

    Args, errors: as for :func:`resolve`.

    Returns:
        Keys name, preset, parameters, quantum_parameters, qubits, source and options; of what another
        package brings also "origins".
    """
    choice = resolve(name, overrides)
    model = build_model(choice)
    origins = part_origins(choice.model, choice.config, choice.circuit)
    return {
        "name": choice.circuit or choice.model,
        "preset": choice.preset,
        "parameters": model.num_parameters,
        "quantum_parameters": model.num_quantum_parameters,
        "qubits": model.num_qubits,
        "source": choice.source,
        "options": asdict(choice.config),
        **({"origins": origins} if origins else {}),
    }


def part_origins(model: str, config: Any, circuit: str | None = None) -> dict[str, dict[str, str]]:
    """Return the origins of those parts of a model that are not of this package.

    Args:
        model: Its name.
        config: Its options.
        circuit: Name of the circuit that it is made of, if it was named.

    Returns:
        Package, version and module by kind, "model", "loader" and "circuit", for files. The package
        is empty text where the part is an object that no package brings.
    """
    loader = getattr(config, "loader", EXACT)
    found = {
        "model": _given_origin(_given[model]) if model in _given else MODEL_DOOR.origin(model),
        "circuit": CIRCUITS.origin(circuit) if circuit else None,
        "loader": loader_origin(loader) if isinstance(loader, str) else None,
    }
    return {
        kind: asdict(origin)
        for kind, origin in found.items()
        if origin is not None and origin.package != "qdm_qiskit"
    }


def _given_origin(kind: type[Denoiser]) -> Origin:
    return Origin("", "", f"{kind.__module__}:{kind.__qualname__}")
