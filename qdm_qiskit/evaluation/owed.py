"""What a set of samples owes to which part: the class it was told, codec, circuit, head, device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import QdmError
from ..models import Denoiser, ModelChoice, build_model
from ..models.beside import ClassGaussian, LatentBaseline
from ..models.on_latents import OnLatents
from ..training import RunConfig

__all__ = ["owed", "owed_to_model", "owed_to_target"]

_CODECS = {"pca": "principal components", "autoencoder": "an autoencoder"}
_BASELINES = {
    "class_gaussian": "a Gaussian of the class's latents",
    "linear": "a linear map",
    "mlp": "a classical network",
}


def owed_to_model(model: Denoiser, config: RunConfig) -> list[str]:
    """Say what of a model makes its samples.

    Args:
        model: The denoiser, or one that stands beside it.
        config: The run.

    Returns:
        Parts in words, the class first.
    """
    guided = bool(getattr(config.model_options, "guided", False))
    parts = ["the class, told" if guided else "no class told"]
    if isinstance(model, OnLatents):
        codec = str(getattr(model.config, "codec", ""))
        latents = model.codec.num_latents
        parts.append(f"{latents} latents of {_CODECS.get(codec, codec)}, fitted to training images")
    angles, numbers = model.num_quantum_parameters, model.num_parameters
    if isinstance(model, ClassGaussian) and not model.spread:
        parts.append("their mean in the class, no circuit")
    elif isinstance(model, LatentBaseline):
        parts.append(f"{_BASELINES.get(model.name, model.name)}, no circuit")
    elif model.num_qubits:
        apart = "" if getattr(model.config, "entangled", True) else ", none of two qubits"
        parts.append(f"{angles:,} trained angles of a circuit of {model.num_qubits} qubits{apart}")
    else:
        parts.append("no circuit")
    if numbers > angles:
        parts.append(f"{numbers - angles:,} trained numbers outside it")
    return parts


def owed(config: RunConfig, manifest: Mapping[str, Any]) -> str:
    """Say what samples owe to their model and their target.

    Args:
        config: The run.
        manifest: Record of the samples.

    Returns:
        One sentence without a stop; of a model that nothing here makes, its target alone.
    """
    parts = owed_to_target(manifest)
    try:
        choice = ModelChoice(
            model=config.model,
            preset=None,
            config=config.model_options,
            source="",
            circuit=config.circuit,
        )
        parts = owed_to_model(build_model(choice), config) + parts
    except QdmError:  # of another package that is not installed
        pass
    return "; ".join(parts)


def owed_to_target(manifest: Mapping[str, Any]) -> list[str]:
    """Say what a target and its remedies did, as the record of samples has it.

    Args:
        manifest: Record of ``qdm sample``; entries that it lacks are left out.

    Returns:
        Parts in words; empty for samples without shots.
    """
    sampling, device = _of(manifest, "sampling"), _of(manifest, "device")
    shots, calls = sampling.get("shots"), device.get("calls")
    if not isinstance(shots, int):
        return []
    parts = [f"{shots:,} shots on {sampling.get('target')}"]
    circuits = calls if isinstance(calls, list) and calls else [device]
    gates = [_of(each, "circuit").get("two_qubit_gates") for each in circuits]
    known = [each for each in gates if isinstance(each, int)]
    if known:
        parts.append(f"{max(known):,} two-qubit gates a circuit")
    loader = sampling.get("loader")
    if loader is not None:
        parts.append(f"loader {loader}")
    places = _of(circuits[0], "tiles").get("tiles")
    if isinstance(places, list) and places:
        parts.append(f"{len(places)} places of the chip at once")
    if sampling.get("mitigation", "none") != "none":
        parts.append(f"readout mended by {str(sampling['mitigation']).upper()}")
    refit = _of(manifest, "refit")
    if refit:
        parts.append(f"a head fitted again to {refit.get('circuits')} circuits there")
    return parts


def _of(content: Any, key: str) -> dict[str, Any]:
    found = content.get(key) if isinstance(content, Mapping) else None
    return found if isinstance(found, dict) else {}
